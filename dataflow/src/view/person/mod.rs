//! Everything that is true of one person, from what is known of it, by one pure function.
//!
//! * `segment`: whether a clause is true, and until when it surely stays so. It tells an `observer`,
//!   of which `explain` is one.
//! * `rate`: the groups that a person was touched by, and those that it answered.

use std::sync::Arc;

use cebe_schemas::definition::Selector;
use cebe_schemas::fact::{AttributeFact, AttributeValue, EventFact};
use cebe_schemas::id::Group;
use cebe_schemas::time::{Millis, Retention};

use crate::plan::{AccountPlan, GroupTexts, Readers};
use crate::row::{Assertion, MetricId, SegmentId};

pub mod explain;
mod observer;
#[cfg(test)]
pub mod oracle;
mod rate;
mod segment;
#[cfg(test)]
mod tests;

/// What a person is judged by.
pub struct Known<'a> {
    /// The last statement of each member about each attribute, sorted.
    pub attributes: &'a [Arc<AttributeFact>],
    /// The last statement of CDP about each member and segment, sorted.
    pub assertions: &'a [Arc<Assertion>],
    /// All events, sorted.
    pub events: &'a [EventFact],
    /// The texts of the groups that they name.
    pub groups: &'a GroupTexts,
    /// For how long they count.
    pub retention: Retention,
}

impl Known<'_> {
    /// The value of an attribute: the last one of all members, unless it was cleared.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.statement(name)?.value.as_deref()
    }

    /// The last statement of all members about an attribute.
    pub fn statement(&self, name: &str) -> Option<&AttributeFact> {
        let to = self.attributes.partition_point(|fact| &*fact.name <= name);
        let last = self.attributes[..to].last().filter(|fact| &*fact.name == name)?;
        Some(last)
    }

    /// Whether the last statement of all members asserts a segment.
    pub fn is_asserted(&self, segment_id: &str) -> bool {
        self.assertion(segment_id).is_some_and(|last| last.entered)
    }

    /// The last statement of all members about a segment.
    pub fn assertion(&self, segment_id: &str) -> Option<&Assertion> {
        let same = |assertion: &&Arc<Assertion>| &*assertion.segment_id == segment_id;
        self.assertions.iter().rfind(same).map(|last| &**last)
    }

    /// Segments that the last statement of all members asserts, in no order.
    pub fn asserted(&self) -> impl Iterator<Item = SegmentId> {
        let of_one_segment = self.assertions.chunk_by(|a, b| a.segment == b.segment);
        of_one_segment.filter_map(|all| all.last().filter(|last| last.entered)).map(|a| a.segment)
    }
}

/// The attributes of a person by those of its members, sorted.
pub fn profile(attributes: &[Arc<AttributeFact>]) -> Vec<(Arc<str>, Arc<AttributeValue>)> {
    let of_one_name = attributes.chunk_by(|a, b| a.name == b.name);
    let last = of_one_name.filter_map(|all| all.last());
    last.filter_map(|fact| Some((fact.name.clone(), fact.value.clone()?))).collect()
}

/// Something that is true of a person at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// The person belongs to the segment by its definition.
    Segment(SegmentId),
    /// CDP says that the person belongs to the segment.
    Asserted(SegmentId),
    /// The person is in the denominator of the group, and in the numerator as well on a hit.
    Rate {
        /// Which metric.
        metric: MetricId,
        /// Which group.
        group: Group,
        /// There is a numerator event in time.
        hit: bool,
    },
}

/// Pushes what the definitions of `plan` make true of a person at `now_ms`, sorted, and returns the
/// least of the times that [`segment::holds`] and [`rate::rate`] give: until then nothing changes by
/// itself, and never if there is none.
pub fn evaluate(
    known: &Known,
    plan: &AccountPlan,
    now_ms: Millis,
    truths: &mut Vec<Truth>,
) -> Option<Millis> {
    evaluate_some(known, plan, Scope::default(), now_ms, None, truths)
}

/// What to look at.
#[derive(Clone, Copy, Default)]
pub struct Scope<'a> {
    /// Some definitions; none: all.
    pub readers: Option<&'a Readers>,
    /// What rates by group say of these, sorted, is enough; none: of all.
    pub groups: Option<&'a [Group]>,
}

/// As [`evaluate`] within a `scope`; of the times and `soonest`, the least.
pub fn evaluate_some(
    known: &Known,
    plan: &AccountPlan,
    Scope { readers, groups }: Scope,
    now_ms: Millis,
    mut soonest: Option<Millis>,
    truths: &mut Vec<Truth>,
) -> Option<Millis> {
    for (id, clause) in plan.segments_of(readers) {
        let (holds, until) = segment::holds(clause, known, now_ms);
        if holds {
            truths.push(Truth::Segment(*id));
        }
        soonest = sooner(soonest, until);
    }
    for metric in plan.metrics_of(readers) {
        soonest = rate::rate(metric, known, groups, now_ms, soonest, truths);
    }
    debug_assert!(truths.is_sorted());
    debug_assert!(soonest.is_none_or(|next| next > now_ms));
    soonest
}

/// The events that a selector selects.
#[derive(Clone, Copy)]
struct Selected<'a> {
    /// Sorted by group, and by time within it.
    events: &'a [EventFact],
    /// For how long they count; none: for ever.
    retention: Option<Retention>,
}

impl<'a> Selected<'a> {
    fn new(selector: &Selector, known: &Known<'a>) -> Self {
        let event = selector.event();
        let from = known.events.partition_point(|e| e.event < event);
        let to = known.events.partition_point(|e| e.event <= event);
        let retention = selector.leaves().then_some(known.retention);
        Selected { events: &known.events[from..to], retention }
    }

    /// Whether no event leaves before this long is over.
    fn outlasts(&self, width_ms: Millis) -> bool {
        self.retention.is_none_or(|retention| retention.outlasts(width_ms))
    }

    /// When an event that happened at `occurred_at_ms` counts no more; none: never.
    fn end(&self, occurred_at_ms: Millis) -> Option<Millis> {
        self.retention.map(|retention| retention.end(occurred_at_ms))
    }
}

/// The lesser time, where none is never.
fn sooner(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The events of one group, out of sorted ones of one type.
fn of_group(events: &[EventFact], group: Group) -> &[EventFact] {
    let from = events.partition_point(|e| e.group < group);
    let to = events.partition_point(|e| e.group <= group);
    &events[from..to]
}
