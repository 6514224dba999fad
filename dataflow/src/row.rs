//! The rows that flow between the views.

use std::cmp::Ordering;
use std::sync::Arc;

use cebe_schemas::change::Cause;
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::{Group, Subject};
use serde::{Deserialize, Serialize};

/// An account, numbered at the edge: fixed size, and cheap to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u32);

/// A segment of one account, numbered at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub u32);

/// The name of a metric, numbered at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MetricId(pub u32);

/// A customer id that is known to exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The hashed id.
    pub subject: Subject,
    /// The tenant.
    pub account: AccountId,
    /// The id as published.
    pub customer_id: Arc<str>,
}

/// Shortlex by id (product §4), so that the least member of a person gives its canonical id.
impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        fn key(m: &Member) -> (usize, &str, AccountId, Subject) {
            (m.customer_id.len(), &m.customer_id, m.account, m.subject)
        }
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a person consists of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fact {
    /// This customer belongs to the person.
    Member(Arc<Member>),
    /// An event of one of its customers.
    Event(EventFact),
}

/// One metric of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RateKey {
    /// The tenant.
    pub account: AccountId,
    /// Which metric.
    pub metric: MetricId,
    /// Which group.
    pub group: Group,
}

/// Something that is true of a person, by its canonical id; what the views agree on publishing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// A member belongs to the person.
    Identity {
        /// The tenant.
        account: AccountId,
        /// The member's id.
        member: Arc<str>,
        /// The canonical id of the person.
        canonical: Arc<str>,
    },
    /// The person belongs to a segment.
    Segment {
        /// The tenant.
        account: AccountId,
        /// Which segment.
        segment: SegmentId,
        /// The canonical id of the person.
        customer: Arc<str>,
    },
    /// The person is in the denominator of a rate.
    Rate {
        /// Of which.
        rate: RateKey,
        /// The canonical id of the person.
        customer: Arc<str>,
        /// It is in the numerator as well.
        hit: bool,
    },
}

/// An [`Answer`] that became true (+1) or untrue (−1), and why.
pub type Reason = (Answer, Cause);

/// Numerator and denominator as the weight of a row.
pub type Weight = (isize, isize);
