//! Everything that is true of one person, from the person's events, by one pure function.

use std::sync::Arc;

use cebe_schemas::definition::Clause;
use cebe_schemas::fact::{AttributeFact, AttributeValue, EventFact};
use cebe_schemas::id::{EventType, Group};
use cebe_schemas::time::Millis;

use crate::plan::{AccountPlan, MetricPlan};
use crate::row::{Assertion, MetricId, SegmentId};

#[cfg(test)]
pub mod oracle;
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
}

impl Known<'_> {
    /// The value of an attribute: the last one of all members, unless it was cleared.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        let to = self.attributes.partition_point(|fact| &*fact.name <= name);
        let last = self.attributes[..to].last().filter(|fact| &*fact.name == name)?;
        last.value.as_deref()
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

/// Pushes what the definitions of `plan` make true of a person at `now_ms`, sorted, and returns when
/// that next changes by itself, if it does.
pub fn evaluate(
    known: &Known,
    plan: &AccountPlan,
    now_ms: Millis,
    truths: &mut Vec<Truth>,
) -> Option<Millis> {
    let mut next_change = None;
    for (segment, clause) in plan.segments() {
        let (holds, until) = holds(clause, known, now_ms);
        if holds {
            truths.push(Truth::Segment(*segment));
        }
        next_change = next_change.into_iter().chain(until).min();
    }
    for metric in plan.metrics() {
        rate(metric, known.events, truths);
    }
    debug_assert!(truths.is_sorted());
    debug_assert!(next_change.is_none_or(|next| next > now_ms));
    next_change
}

/// Whether `clause` is true at `now`, and when that next changes by itself.
fn holds(clause: &Clause, known: &Known, now: Millis) -> (bool, Option<Millis>) {
    let Clause::Did { event, at_least, within_ms } = clause;
    // Events left of the window can never matter again.
    let current =
        |e: &&EventFact| within_ms.is_none_or(|w| e.occurred_at_ms > now.saturating_sub(w));
    let mut times: Vec<_> =
        of_type(known.events, *event).iter().filter(current).map(|e| e.occurred_at_ms).collect();
    times.sort_unstable();
    did(&times, now, (*at_least).max(1) as usize, |t| {
        within_ms.map_or(Millis::MAX, |width| t.saturating_add(width))
    })
}

/// Whether at least `n` of `times` (sorted, none past its end yet) count at `now`: each does from
/// itself until just before its `end`, which is `MAX` for never.
fn did(
    times: &[Millis],
    now: Millis,
    n: usize,
    end: impl Fn(Millis) -> Millis,
) -> (bool, Option<Millis>) {
    let mut begun = times.partition_point(|t| *t <= now);
    if begun < n {
        // False until one begins before the (n − 1)-th before it has ended.
        let completes = |last: &usize| times[*last] < end(times[last + 1 - n]);
        let next = (begun.max(n - 1)..times.len()).find(completes);
        return (false, next.map(|last| times[last]));
    }
    // True until the n-th latest ends, unless later ones take over by then.
    let mut until = end(times[begun - n]);
    while begun < times.len() && times[begun] <= until {
        begun += 1;
        until = end(times[begun - n]);
    }
    (true, (until < Millis::MAX).then_some(until))
}

/// Pushes one row for each group with a denominator event.
fn rate(metric: &MetricPlan, events: &[EventFact], truths: &mut Vec<Truth>) {
    let numerators = of_type(events, metric.numerator);
    for touches in of_type(events, metric.denominator).chunk_by(|a, b| a.group == b.group) {
        let group = touches[0].group;
        if group == Group::NONE {
            continue;
        }
        // The latest touch before it opens the window that ends last.
        let credited = |numerator: &EventFact| {
            let at = numerator.occurred_at_ms;
            let before = touches.partition_point(|touch| touch.occurred_at_ms <= at);
            let latest = before.checked_sub(1).map(|i| touches[i].occurred_at_ms);
            latest.is_some_and(|touch| at.saturating_sub(touch) <= metric.within_ms)
        };
        let hit = of_group(numerators, group).iter().any(credited);
        truths.push(Truth::Rate { metric: metric.metric, group, hit });
    }
}

/// The events of one type, out of sorted ones.
fn of_type(events: &[EventFact], event: EventType) -> &[EventFact] {
    let from = events.partition_point(|e| e.event < event);
    let to = events.partition_point(|e| e.event <= event);
    &events[from..to]
}

/// The events of one group, out of sorted ones of one type.
fn of_group(events: &[EventFact], group: Group) -> &[EventFact] {
    let from = events.partition_point(|e| e.group < group);
    let to = events.partition_point(|e| e.group <= group);
    &events[from..to]
}
