//! What the dataflow tells the world: exact differences, each with its cause.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

/// All changes of one logical time, sorted; at most one for each key of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The logical time: the T of the tick, or an earlier wake-up after the T of the tick before.
    pub t_ms: Millis,
    /// Sorted by their natural order.
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
        /// Version of the definition in force.
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
