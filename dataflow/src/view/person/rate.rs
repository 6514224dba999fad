//! Rates: the groups that a person was touched by, and those that it answered.

use std::cmp::Reverse;
use std::sync::Arc;

use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use super::{Known, Truth, of_group, of_type};
use crate::plan::{By, GroupTexts, MetricPlan};

/// Pushes one row for each group with a denominator event, a touch.
pub fn rate(metric: &MetricPlan, known: &Known, truths: &mut Vec<Truth>) {
    let touches = of_type(known.events, metric.denominator);
    let answers = of_type(known.events, metric.numerator);
    match metric.by {
        By::Account => account(metric, touches, answers, truths),
        By::Group => groups(metric, touches, answers, known.groups, truths),
    }
}

fn account(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    truths: &mut Vec<Truth>,
) {
    if touches.is_empty() {
        return;
    }
    let mut times: Vec<_> = touches.iter().map(|touch| touch.occurred_at_ms).collect();
    times.sort_unstable();
    let credited = |answer: &EventFact| {
        let last = last_until(&times, answer.occurred_at_ms, |time| *time);
        last.is_some_and(|touch| is_in_time(*touch, answer, metric))
    };
    let hit = answers.iter().any(credited);
    truths.push(Truth::Rate { metric: metric.metric, group: Group::NONE, hit });
}

fn groups(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    texts: &GroupTexts,
    truths: &mut Vec<Truth>,
) {
    let touches = &touches[touches.partition_point(|touch| touch.group == Group::NONE)..];
    let unnamed = last_touches(metric, touches, of_group(answers, Group::NONE), texts);
    for touches in touches.chunk_by(|a, b| a.group == b.group) {
        let group = touches[0].group;
        // The latest touch before it opens the window that ends last.
        let credited = |answer: &EventFact| {
            let last = last_until(touches, answer.occurred_at_ms, |touch| touch.occurred_at_ms);
            last.is_some_and(|touch| is_in_time(touch.occurred_at_ms, answer, metric))
        };
        let hit =
            unnamed.binary_search(&group).is_ok() || of_group(answers, group).iter().any(credited);
        truths.push(Truth::Rate { metric: metric.metric, group, hit });
    }
}

/// The groups, sorted, that answers without a group are credited to: that of the last touch before
/// each, and of several at one time that with the greatest text in shortlex order.
fn last_touches(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    texts: &GroupTexts,
) -> Vec<Group> {
    if answers.is_empty() {
        return Vec::new();
    }
    let mut by_time: Vec<_> = touches.iter().map(|t| (t.occurred_at_ms, t.group)).collect();
    by_time.sort_unstable();
    by_time.dedup();
    let credited = |answer: &EventFact| {
        let last = last_until(&by_time, answer.occurred_at_ms, |(time, _)| *time)?.0;
        let from = by_time.partition_point(|(time, _)| *time < last);
        let to = by_time.partition_point(|(time, _)| *time <= last);
        is_in_time(last, answer, metric).then(|| greatest(&by_time[from..to], texts))?
    };
    let mut groups: Vec<_> = answers.iter().filter_map(credited).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn greatest(touches: &[(Millis, Group)], texts: &GroupTexts) -> Option<Group> {
    if let [(_, only)] = touches {
        return Some(*only);
    }
    let shortlex = |group: &Group| {
        let text: Option<Arc<str>> = texts.get(*group);
        // Texts are there before their facts; without them the choice is the same every time still.
        (text.map(|text| (text.len(), text)), Reverse(*group))
    };
    touches.iter().map(|(_, group)| *group).max_by_key(shortlex)
}

/// The last of `sorted` with a time up to `until`.
fn last_until<T>(sorted: &[T], until: Millis, time: impl Fn(&T) -> Millis) -> Option<&T> {
    sorted[..sorted.partition_point(|one| time(one) <= until)].last()
}

fn is_in_time(touch: Millis, answer: &EventFact, metric: &MetricPlan) -> bool {
    touch.checked_add(metric.within_ms).is_none_or(|end| answer.occurred_at_ms <= end)
}
