//! Rates: the groups that a person was touched by, and those that it answered.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use super::{Known, Selected, Truth, of_group, sooner};
use crate::plan::{By, GroupTexts, MetricPlan, day_group};

/// Pushes one row for each group with a denominator event, a touch, and returns a time up to which
/// that does not change by itself: when the first event leaves. `None`: it never changes.
pub fn rate(
    metric: &MetricPlan,
    known: &Known,
    now: Millis,
    truths: &mut Vec<Truth>,
) -> Option<Millis> {
    let (touches, touches_until) = kept(Selected::new(&metric.denominator, known), now);
    if touches.is_empty() {
        return None;
    }
    let (answers, answers_until) = kept(Selected::new(&metric.numerator, known), now);
    push_rates(metric, &touches, &answers, known.groups, truths);
    sooner(touches_until, answers_until)
}

/// Those that have not left, and when the first of them leaves.
fn kept(selected: Selected<'_>, now: Millis) -> (Cow<'_, [EventFact]>, Option<Millis>) {
    let Selected { events, retention } = selected;
    let Some(retention) = retention else { return (Cow::Borrowed(events), None) };
    let first_end =
        |events: &[EventFact]| retention.first_end(events.iter().map(|e| e.occurred_at_ms));
    match first_end(events) {
        Some(end) if end <= now => {
            let mut kept = events.to_vec();
            kept.retain(|event| retention.end(event.occurred_at_ms) > now);
            let end = first_end(&kept);
            (Cow::Owned(kept), end)
        }
        end => (Cow::Borrowed(events), end),
    }
}

fn push_rates(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    texts: &GroupTexts,
    truths: &mut Vec<Truth>,
) {
    let mut push = |group, hit| truths.push(Truth::Rate { metric: metric.metric, group, hit });
    match &metric.by {
        By::Account => {
            push(Group::NONE, any_answered(metric, touches, answers));
        }
        By::Group => {
            let credits = Credits::new(metric, touches, answers, texts);
            for touches in credits.touches.chunk_by(|a, b| a.group == b.group) {
                push(touches[0].group, touches.iter().any(|touch| credits.is_answered(touch)));
            }
        }
        By::Day(zone) => {
            let credits = Credits::new(metric, touches, answers, texts);
            let of_day = |touch: &EventFact| {
                (day_group(zone.day(touch.occurred_at_ms)), credits.is_answered(touch))
            };
            let mut days: Vec<_> = credits.touches.iter().map(of_day).collect();
            days.sort_unstable();
            for day in days.chunk_by(|a, b| a.0 == b.0) {
                push(day[0].0, day.iter().any(|(_, hit)| *hit));
            }
        }
    }
}

/// Whether any touch is answered by any answer in time, whatever their groups.
fn any_answered(metric: &MetricPlan, touches: &[EventFact], answers: &[EventFact]) -> bool {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.occurred_at_ms).collect();
    times.sort_unstable();
    touches.iter().any(|touch| any_in_time(metric, touch.occurred_at_ms, &times, |time| *time))
}

/// Which answers count for which group.
struct Credits<'a> {
    metric: &'a MetricPlan,
    /// Those that name their group.
    touches: &'a [EventFact],
    answers: &'a [EventFact],
    /// Answers that name no group, each with that of the last touch before it, sorted.
    unnamed: Vec<(Group, Millis)>,
}

impl<'a> Credits<'a> {
    fn new(
        metric: &'a MetricPlan,
        touches: &'a [EventFact],
        answers: &'a [EventFact],
        texts: &GroupTexts,
    ) -> Self {
        let touches = &touches[touches.partition_point(|touch| touch.group == Group::NONE)..];
        let unnamed = last_touches(metric, touches, of_group(answers, Group::NONE), texts);
        Credits { metric, touches, answers, unnamed }
    }

    fn is_answered(&self, touch: &EventFact) -> bool {
        let (group, at) = (touch.group, touch.occurred_at_ms);
        let from = self.unnamed.partition_point(|(of, _)| *of < group);
        let to = self.unnamed.partition_point(|(of, _)| *of <= group);
        let named = of_group(self.answers, group);
        any_in_time(self.metric, at, named, |answer| answer.occurred_at_ms)
            || any_in_time(self.metric, at, &self.unnamed[from..to], |(_, time)| *time)
    }
}

/// The answers, each with the group that it is credited to: that of the last touch before it, and of
/// several at one time that with the greatest text in shortlex order.
fn last_touches(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    texts: &GroupTexts,
) -> Vec<(Group, Millis)> {
    if answers.is_empty() {
        return Vec::new();
    }
    let mut by_time: Vec<_> = touches.iter().map(|t| (t.occurred_at_ms, t.group)).collect();
    by_time.sort_unstable();
    by_time.dedup();
    let credited = |answer: &EventFact| {
        let at = answer.occurred_at_ms;
        let last = by_time[..by_time.partition_point(|(time, _)| *time <= at)].last()?.0;
        let from = by_time.partition_point(|(time, _)| *time < last);
        let to = by_time.partition_point(|(time, _)| *time <= last);
        let in_time = last.checked_add(metric.within_ms).is_none_or(|end| at <= end);
        let group = in_time.then(|| greatest(&by_time[from..to], texts))??;
        Some((group, at))
    };
    let mut credits: Vec<_> = answers.iter().filter_map(credited).collect();
    credits.sort_unstable();
    credits
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

/// Whether any of `answers`, sorted by time, is in the window that a touch opens, both ends in.
fn any_in_time<T>(
    metric: &MetricPlan,
    touch: Millis,
    answers: &[T],
    time: impl Fn(&T) -> Millis,
) -> bool {
    let next = answers.get(answers.partition_point(|answer| time(answer) < touch));
    let end = touch.checked_add(metric.within_ms);
    next.is_some_and(|answer| end.is_none_or(|end| time(answer) <= end))
}
