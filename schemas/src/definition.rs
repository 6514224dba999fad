//! Segments and metrics as data, compiled for the person stage.

use std::sync::Arc;

use crate::id::EventType;
use crate::time::Millis;

/// All definitions in force at one logical time. Cheap to share, never changed in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Sorted by (`account_id`, `segment_id`).
    pub segments: Vec<Arc<Segment>>,
    /// Sorted by (`account_id`, `metric`); those without an account hold for every account.
    pub metrics: Vec<Arc<Metric>>,
}

/// A segment of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Unique within the account.
    pub segment_id: Arc<str>,
    /// Given by the author, 1 if absent.
    pub version: u32,
    /// Who belongs to it.
    pub when: Clause,
}

/// One clause of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Did `event` at least `at_least` times, within the last `within_ms` if given: an event at
    /// `t` counts while `now − within_ms < t ≤ now`.
    Did {
        /// Which events count.
        event: EventType,
        /// How many make the clause true; at least 1.
        at_least: u32,
        /// Width of the window; none: since ever.
        within_ms: Option<Millis>,
    },
}

/// A rate: of the customers with a denominator event, those with a numerator event of the same
/// group in `denominator ≤ numerator ≤ denominator + within_ms`, both ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The tenant; none: every account.
    pub account_id: Option<Arc<str>>,
    /// Unique within the account.
    pub metric: Arc<str>,
    /// Opens a window.
    pub denominator: EventType,
    /// Is credited to a window.
    pub numerator: EventType,
    /// Width of the window.
    pub within_ms: Millis,
}

impl Metric {
    /// `reply_rate`: replies that name their broadcast, within 72 hours of its `sent`.
    pub fn reply_rate() -> Metric {
        Metric {
            account_id: None,
            metric: "reply_rate".into(),
            denominator: EventType::named("broadcast.sent"),
            numerator: EventType::named("broadcast.replied"),
            within_ms: 72 * 3_600_000,
        }
    }
}
