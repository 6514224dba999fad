//! Segments and metrics as data, compiled for the person stage.
//!
//! * `clause`: who belongs to a segment.
//! * `predicate`: what attributes and properties are tested for.
//! * `selector`: which events count; to the dataflow, an event type.
//! * `metric`: rates, those that are shipped among them.
//! * `resolve`: definitions in terms of what is stored.
//! * `shown`: clauses as authors write them.
//! * `selectors`: the facts that an event leaves beside its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::time::Retention;
use crate::zone::Zone;

mod clause;
mod metric;
mod predicate;
mod resolve;
mod selector;
mod selectors;
mod shown;
#[cfg(test)]
mod tests;

pub use clause::{Clause, Did, Then};
pub use metric::{GroupBy, Metric};
pub use predicate::{Check, Test};
pub use selector::{Filter, Grouping, Selector};
pub use selectors::Selectors;

/// All definitions in force at one logical time. Cheap to share, never changed in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Sorted by (`account_id`, `segment_id`).
    pub segments: Vec<Arc<Segment>>,
    /// Sorted by (`account_id`, `metric`); those without an account hold for every account.
    pub metrics: Vec<Arc<Metric>>,
    /// By account, for metrics by day; the others have the default.
    pub zones: BTreeMap<Arc<str>, Zone>,
    /// For how long events count, but for those that [never leave](Selector::leaves).
    pub retention: Retention,
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
    /// What readers of the definition are told.
    pub about: About,
}

/// A definition as readers are told of it; the dataflow does not look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Given by the author.
    pub title: Option<Arc<str>>,
    /// The definition as it was given: one JSON object.
    pub definition: Arc<str>,
    /// Who put it in force; `cebe` for what is shipped.
    pub changed_by: Arc<str>,
}
