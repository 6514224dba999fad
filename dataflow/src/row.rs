//! The rows that flow between the views.

use std::cmp::Ordering;
use std::sync::Arc;

use cebe_schemas::change::{Cause, Profile, Quarantine, Seen};
use cebe_schemas::fact::{AttributeFact, EventFact, Identifier, MergeFact, Stamp};
use cebe_schemas::id::{Group, Subject, Token};
use cebe_schemas::time::Millis;
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

/// Something said of one customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Said {
    /// An event of its own, which some team may have published: it exists.
    Known(Member, Option<Arc<str>>, Millis),
    /// It is erased.
    Erased(Millis),
    /// Anything else.
    Statement(Statement),
}

/// Something said of one customer, which a later statement about the same overwrites and an erasure
/// takes back. Boxed where it is rare: many are held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Statement {
    /// It has an attribute, or has it no more.
    Attribute(Arc<AttributeFact>),
    /// It belongs to a segment, or not.
    Assertion(Arc<Assertion>),
    /// It has an identifier.
    Identifier(Box<(Identifier, Millis)>),
    /// A team published an event without a customer id, then.
    AliasTeam(Arc<str>, Millis),
    /// It is linked to another customer, or not. Said of both.
    Link(Arc<MergeFact>),
    /// An event of the first names the second. Said of both.
    Mention(Box<(Subject, Arc<Member>, Millis)>),
}

/// What CDP said last of a customer and a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Assertion {
    /// Which segment.
    pub segment: SegmentId,
    /// Its id as published.
    pub segment_id: Arc<str>,
    /// Which statement wins.
    pub stamp: Stamp,
    /// Of whom.
    pub subject: Subject,
    /// Entered.
    pub entered: bool,
}

/// A customer that is kept from being linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Quarantined {
    /// Which protection.
    pub reason: Quarantine,
    /// The identifier that too many hold.
    pub token: Option<Token>,
    /// The least customer of the person that would have too many members.
    pub cluster: Option<Subject>,
    /// The customer.
    pub subject: Subject,
}

/// What a person consists of. Boxed where it is rare: most are events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fact {
    /// This customer belongs to the person.
    Member(Arc<Member>),
    /// Events with these identifiers and no customer id are the person's.
    Alias(Box<Subject>),
    /// One of its customers is erased until then. The person does not hold it, but is told why it
    /// changes.
    Erased(Box<(Subject, Millis)>),
    /// An event that is erased. Not held either.
    Taken(EventFact),
    /// The last statement of one of its customers about an attribute.
    Attribute(Arc<AttributeFact>),
    /// A team that published an event of one of its customers.
    Team(Arc<str>),
    /// A team that published an event without a customer id, and when.
    AliasTeam(Box<(Arc<str>, Millis)>),
    /// The last statement of CDP about one of its customers and a segment.
    Assertion(Arc<Assertion>),
    /// One of its customers is kept from being linked.
    Quarantined(Box<Quarantined>),
    /// An event of one of its customers.
    Event(EventFact),
}

impl Fact {
    /// When that happened which an erasure of some customer may take along, events aside; of what is only
    /// said of a customer, the erased part is gone before.
    pub fn happened_at(&self) -> Option<Millis> {
        match self {
            Fact::Assertion(assertion) => Some(assertion.stamp.occurred_at_ms),
            Fact::AliasTeam(team) => Some(team.1),
            _ => None,
        }
    }
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
    /// What is known of the person as a whole.
    Customer {
        /// The tenant.
        account: AccountId,
        /// The canonical id of the person.
        customer: Arc<str>,
        /// What is known.
        profile: Arc<Profile>,
    },
    /// When the events of the person happened.
    Seen {
        /// The tenant.
        account: AccountId,
        /// The canonical id of the person.
        customer: Arc<str>,
        /// When.
        seen: Seen,
    },
    /// The person belongs to a segment.
    Segment {
        /// The tenant.
        account: AccountId,
        /// Which segment.
        segment: SegmentId,
        /// The canonical id of the person.
        customer: Arc<str>,
        /// By definition; else it is only asserted.
        defined: bool,
    },
    /// One of the person's customers was erased just now: no state, but a reason.
    Erased {
        /// The tenant.
        account: AccountId,
        /// The canonical id of the person, before or now.
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
    /// Events that name an identifier and no customer are erased until then.
    Forgotten {
        /// The tenant.
        account: AccountId,
        /// The identifier.
        token: Token,
        /// What happened by then.
        until_ms: Millis,
    },
    /// A member is kept from being linked.
    Quarantined {
        /// The tenant.
        account: AccountId,
        /// The canonical id of the person.
        customer: Arc<str>,
        /// The member's id.
        member: Arc<str>,
        /// Which protection, and of what.
        held: Quarantined,
    },
}

/// An [`Answer`] that became true (+1) or untrue (−1), and why.
pub type Reason = (Answer, Cause);

/// Numerator and denominator as the weight of a row.
pub type Weight = (isize, isize);
