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
/// that does not change by itself: when the first event leaves, or `soonest` if that is sooner.
/// `None`: it never changes. If only events of `groups` have come or gone, sorted, rows that this
/// cannot have changed may be missing.
pub fn rate(
    metric: &MetricPlan,
    known: &Known,
    groups: Option<&[Group]>,
    now: Millis,
    soonest: Option<Millis>,
    truths: &mut Vec<Truth>,
) -> Option<Millis> {
    let (touches, until) = kept(Selected::new(&metric.denominator, known), now, soonest);
    if touches.is_empty() {
        return soonest;
    }
    let (answers, until) = kept(Selected::new(&metric.numerator, known), now, until);
    match groups.filter(|_| metric.by == By::Group && of_group(&answers, Group::NONE).is_empty()) {
        // Without answers that name no group, each group is on its own.
        Some(groups) => {
            for group in groups {
                push_group(metric, of_group(&touches, *group), &answers, &[], truths);
            }
        }
        None => push_rates(metric, &touches, &answers, known.groups, truths),
    }
    until
}

/// Those that have not left, and when the first of them leaves, or `soonest` if that is sooner.
fn kept(
    selected: Selected<'_>,
    now: Millis,
    soonest: Option<Millis>,
) -> (Cow<'_, [EventFact]>, Option<Millis>) {
    let Selected { events, retention } = selected;
    let Some(retention) = retention else { return (Cow::Borrowed(events), soonest) };
    let times = || events.iter().map(|event| event.occurred_at_ms);
    // Most of the time no calendar is needed to see that nobody has left or is the first to leave.
    let surely = times().min().map(|first| retention.surely_until(first));
    if surely.is_none_or(|surely| surely > now && soonest.is_some_and(|soonest| soonest <= surely))
    {
        return (Cow::Borrowed(events), soonest);
    }
    let end = retention.first_end(times());
    if end.is_none_or(|end| end > now) {
        return (Cow::Borrowed(events), sooner(soonest, end));
    }
    let mut kept = events.to_vec();
    kept.retain(|event| retention.end(event.occurred_at_ms) > now);
    let end = retention.first_end(kept.iter().map(|event| event.occurred_at_ms));
    (Cow::Owned(kept), sooner(soonest, end))
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
            let unnamed = last_touches(metric, touches, answers, texts);
            for touches in named(touches).chunk_by(|a, b| a.group == b.group) {
                push_group(metric, touches, answers, &unnamed, truths);
            }
        }
        By::Day(zone) => {
            let unnamed = last_touches(metric, touches, answers, texts);
            let mut days: Vec<(Group, bool)> = Vec::new();
            for touches in named(touches).chunk_by(|a, b| a.group == b.group) {
                let mut credits = Credits::new(metric, touches[0].group, answers, &unnamed);
                for touch in touches {
                    let day = day_group(zone.day(touch.occurred_at_ms));
                    let hit = credits.are_to(touch);
                    match days.last_mut().filter(|(last, _)| *last == day) {
                        Some((_, last)) => *last |= hit,
                        None => days.push((day, hit)),
                    }
                }
            }
            days.sort_unstable();
            for day in days.chunk_by(|a, b| a.0 == b.0) {
                push(day[0].0, day.iter().any(|(_, hit)| *hit));
            }
        }
    }
}

/// Pushes the row of the group of `touches`, if there are any.
fn push_group(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    unnamed: &[(Group, Millis)],
    truths: &mut Vec<Truth>,
) {
    let Some(group) = touches.first().map(|touch| touch.group) else { return };
    let mut credits = Credits::new(metric, group, answers, unnamed);
    let hit = touches.iter().any(|touch| credits.are_to(touch));
    truths.push(Truth::Rate { metric: metric.metric, group, hit });
}

/// Those that name their group.
fn named(touches: &[EventFact]) -> &[EventFact] {
    &touches[touches.partition_point(|touch| touch.group == Group::NONE)..]
}

/// Whether any touch is answered by any answer in time, whatever their groups.
fn any_answered(metric: &MetricPlan, touches: &[EventFact], answers: &[EventFact]) -> bool {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.occurred_at_ms).collect();
    times.sort_unstable();
    touches.iter().any(|touch| {
        let at = touch.occurred_at_ms;
        let end = at.checked_add(metric.within_ms).unwrap_or(Millis::MAX);
        times.get(times.partition_point(|time| *time < at)).is_some_and(|time| *time <= end)
    })
}

/// The answers that are credited to one group.
struct Credits<'a> {
    metric: &'a MetricPlan,
    /// Those that name it, by time.
    named: &'a [EventFact],
    /// Those that name no group, by time.
    unnamed: &'a [(Group, Millis)],
}

impl<'a> Credits<'a> {
    fn new(
        metric: &'a MetricPlan,
        group: Group,
        answers: &'a [EventFact],
        unnamed: &'a [(Group, Millis)],
    ) -> Self {
        let from = unnamed.partition_point(|(of, _)| *of < group);
        let to = unnamed.partition_point(|(of, _)| *of <= group);
        Credits { metric, named: of_group(answers, group), unnamed: &unnamed[from..to] }
    }

    /// Whether any is in the window that `touch` opens, both ends in. Touches come in order of time.
    fn are_to(&mut self, touch: &EventFact) -> bool {
        let at = touch.occurred_at_ms;
        let end = at.checked_add(self.metric.within_ms).unwrap_or(Millis::MAX);
        while self.named.first().is_some_and(|answer| answer.occurred_at_ms < at) {
            self.named = &self.named[1..];
        }
        while self.unnamed.first().is_some_and(|(_, time)| *time < at) {
            self.unnamed = &self.unnamed[1..];
        }
        self.named.first().is_some_and(|answer| answer.occurred_at_ms <= end)
            || self.unnamed.first().is_some_and(|(_, time)| *time <= end)
    }
}

/// The answers that name no group, each with the one that it is credited to: that of the last touch
/// before it, and of several at one time that with the greatest text in shortlex order.
fn last_touches(
    metric: &MetricPlan,
    touches: &[EventFact],
    answers: &[EventFact],
    texts: &GroupTexts,
) -> Vec<(Group, Millis)> {
    let answers = of_group(answers, Group::NONE);
    if answers.is_empty() {
        return Vec::new();
    }
    let mut by_time: Vec<_> = named(touches).iter().map(|t| (t.occurred_at_ms, t.group)).collect();
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
