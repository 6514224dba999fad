//! What the dataflow tells the world: exact differences, each with its cause.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fact::AttributeValue;
use crate::id::{Subject, Token};
use crate::time::Millis;

/// Why something changed. When several apply the first of this list is published (product §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A customer was erased.
    Erase,
    /// A link between customers went.
    Unmerge,
    /// A link between customers came.
    Merge,
    /// A definition or a setting changed.
    Definition,
    /// It would have happened at this time without any record.
    Time,
    /// An event from a backfill topic.
    Backfill,
    /// An event that happened more than an hour before it arrived.
    LateEvent,
    /// An event.
    Event,
}

/// All changes of one logical time; at most one for each key of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The logical time: the T of the tick, or an earlier wake-up after the T of the tick before.
    pub t_ms: Millis,
    /// In no order: they are sorted when they are numbered.
    pub changes: Vec<Change>,
}

/// The answer of the dataflow to one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct TickOutput {
    /// The T of the tick.
    pub t_ms: Millis,
    /// In order of time; none is empty.
    pub moments: Vec<Moment>,
    /// When the next answer changes by itself, if any does.
    pub next_wakeup_ms: Option<Millis>,
}

/// Why a customer is kept from being linked (product §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quarantine {
    /// It holds an identifier that too many customers hold.
    Holders,
    /// It would be part of a person of too many members.
    Members,
}

impl Quarantine {
    /// The name in tables and topics.
    pub fn as_str(self) -> &'static str {
        match self {
            Quarantine::Holders => "holders",
            Quarantine::Members => "members",
        }
    }
}

/// What is known of a person as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Profile {
    /// All customer ids of the person, shortlex; the first is the canonical one.
    pub member_ids: Vec<Arc<str>>,
    /// (name, value), sorted by name.
    pub attributes: Vec<(Arc<str>, Arc<AttributeValue>)>,
    /// The teams of its events, sorted.
    pub team_ids: Vec<Arc<str>>,
}

/// When the events of a person happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The earliest.
    pub first_ms: Millis,
    /// The latest.
    pub last_ms: Millis,
}

/// One key of one view has another value than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A customer id belongs to another person than before.
    Identity {
        /// The tenant.
        account_id: Arc<str>,
        /// The member.
        qontak_customer_id: Arc<str>,
        /// Canonical id before; none: the customer was not known.
        old: Option<Arc<str>>,
        /// Canonical id now; none: the customer is not known any more.
        new: Option<Arc<str>>,
        /// Why.
        cause: Cause,
    },
    /// A person has another profile than before.
    Customer {
        /// The tenant.
        account_id: Arc<str>,
        /// Canonical id of the person.
        customer_id: Arc<str>,
        /// Before; none: there was no such person.
        old: Option<Arc<Profile>>,
        /// Now; none: there is no such person any more.
        new: Option<Arc<Profile>>,
        /// Why.
        cause: Cause,
    },
    /// The first or the last event of a person is another than before.
    Seen {
        /// The tenant.
        account_id: Arc<str>,
        /// Canonical id of the person.
        customer_id: Arc<str>,
        /// Before; none: it had no event.
        old: Option<Seen>,
        /// Now; none: it has no event any more.
        new: Option<Seen>,
        /// Why.
        cause: Cause,
    },
    /// A person entered or left a segment.
    Segment {
        /// The tenant.
        account_id: Arc<str>,
        /// Which segment.
        segment_id: Arc<str>,
        /// Canonical id of the person.
        customer_id: Arc<str>,
        /// Entered, or exited.
        entered: bool,
        /// Version of the definition when the person entered; 0 if it was only asserted.
        definition_version: u32,
        /// Why.
        cause: Cause,
    },
    /// A rate moved.
    Metric {
        /// The tenant.
        account_id: Arc<str>,
        /// Which metric.
        metric: Arc<str>,
        /// Which group.
        group_key: Arc<str>,
        /// Before.
        old: Rate,
        /// Now.
        new: Rate,
        /// Why.
        cause: Cause,
    },
    /// Who named an identifier and no customer is erased until then, along with a customer, or no
    /// longer.
    Forgotten {
        /// The tenant.
        account_id: Arc<str>,
        /// The identifier.
        token: Token,
        /// What happened by then.
        until_ms: Millis,
        /// It is, or it is no longer.
        erased: bool,
    },
    /// A customer is kept from being linked, or no longer.
    Quarantine {
        /// The tenant.
        account_id: Arc<str>,
        /// Which protection.
        reason: Quarantine,
        /// The identifier that too many hold; none for a person of too many members.
        token: Option<Token>,
        /// Tells persons of too many members from each other; none for an identifier.
        cluster: Option<Subject>,
        /// One holder, or one member.
        qontak_customer_id: Arc<str>,
        /// That began, or ended.
        entered: bool,
        /// Why.
        cause: Cause,
    },
}

/// Distinct persons in a rate; 0/0 where there is no row.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Rate {
    /// Those with a credited numerator event.
    pub numerator: u64,
    /// Those with a denominator event.
    pub denominator: u64,
}

impl Rate {
    /// The quotient; none while nobody is in the denominator.
    pub fn value(self) -> Option<f64> {
        (self.denominator > 0).then(|| self.numerator as f64 / self.denominator as f64)
    }
}

/// What was published last of a person and a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which segment.
    pub segment_id: Arc<str>,
    /// Canonical id of the person.
    pub customer_id: Arc<str>,
    /// When it entered or left.
    pub t_ms: Millis,
    /// It belongs, or no longer.
    pub entered: bool,
    /// Version of the definition when it entered; 0 if it was only asserted.
    pub definition_version: u32,
}

impl Membership {
    /// Of whom and of which segment.
    pub fn place(&self) -> (&str, &str, &str) {
        (&self.account_id, &self.segment_id, &self.customer_id)
    }

    /// Those that `moments` publish.
    pub fn of(moments: &[Moment]) -> Vec<Membership> {
        let changes = moments.iter().flat_map(|m| m.changes.iter().map(|change| (m.t_ms, change)));
        let membership = |(t_ms, change): (Millis, &Change)| match change {
            Change::Segment {
                account_id,
                segment_id,
                customer_id,
                entered,
                definition_version,
                ..
            } => Some(Membership {
                account_id: account_id.clone(),
                segment_id: segment_id.clone(),
                customer_id: customer_id.clone(),
                t_ms,
                entered: *entered,
                definition_version: *definition_version,
            }),
            _ => None,
        };
        changes.filter_map(membership).collect()
    }
}
