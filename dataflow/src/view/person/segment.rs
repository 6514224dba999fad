//! Segments: whether a clause is true of a person, and until when it surely stays so.

use cebe_schemas::definition::{Clause, Did, Then};
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use super::observer::{Observer, Period};
use super::{Known, Selected, of_group, sooner};

/// Whether `clause` is true at `now`, and a time up to which that does not change by itself.
///
/// For a leaf it is the time of its next change. For `all` and `any` it is, while they are decided by
/// some of their clauses (a false one, a true one), the greatest time of those, since all of them
/// have to change first; or else the least time of all clauses. `None`: it never changes.
pub fn holds(clause: &Clause, known: &Known, now: Millis) -> (bool, Option<Millis>) {
    judge(clause, known, now, &mut ())
}

/// As [`holds`], observed.
pub fn judge<O: Observer>(
    clause: &Clause,
    known: &Known,
    now: Millis,
    observer: &mut O,
) -> (bool, Option<Millis>) {
    observer.begin();
    let (holds, until) = match clause {
        Clause::All(all) => combined(all, false, known, now, observer),
        Clause::Any(any) => combined(any, true, known, now, observer),
        Clause::Not(inner) => {
            let (holds, until) = judge(inner, known, now, observer);
            (!holds, until)
        }
        Clause::Attribute { name, test } => {
            (test.holds(known.attribute(name).map(|value| value.value())), None)
        }
        Clause::Did(it) => did(it, known, now, observer),
        Clause::InSegment { segment_id, defined } => {
            let is_asserted = known.is_asserted(segment_id);
            let looked_at = defined.as_ref().filter(|_| !is_asserted || O::WHOLE);
            match looked_at.map(|defined| judge(defined, known, now, observer)) {
                Some(by_definition) if !is_asserted => by_definition,
                _ => (is_asserted, None),
            }
        }
    };
    observer.end(clause, holds, until);
    (holds, until)
}

/// `decisive` if that is what any of `clauses` is.
fn combined<O: Observer>(
    clauses: &[Clause],
    decisive: bool,
    known: &Known,
    now: Millis,
    observer: &mut O,
) -> (bool, Option<Millis>) {
    let mut is_decided_for_ever = false;
    let mut decided_until = None;
    let mut soonest = None;
    for clause in clauses {
        match judge(clause, known, now, observer) {
            (value, None) if value == decisive && O::WHOLE => is_decided_for_ever = true,
            (value, None) if value == decisive => return (decisive, None),
            (value, Some(until)) if value == decisive => {
                decided_until = decided_until.max(Some(until));
            }
            (_, until) => soonest = soonest.into_iter().chain(until).min(),
        }
    }
    match decided_until {
        _ if is_decided_for_ever => (decisive, None),
        Some(until) => (decisive, Some(until)),
        None => (!decisive, soonest),
    }
}

/// Whether a period comes to anything, at `now` or later.
pub fn is_ahead((from, until): Period, now: Millis) -> bool {
    until.is_none_or(|until| until > now.max(from))
}

fn did<O: Observer>(
    did: &Did,
    known: &Known,
    now: Millis,
    observer: &mut O,
) -> (bool, Option<Millis>) {
    let first = Selected::new(&did.event, known);
    let until = |event: &EventFact| {
        let t = event.occurred_at_ms;
        let end = did.within_ms.and_then(|width| t.checked_add(width));
        if end.is_some() && did.within_ms.is_some_and(|width| first.outlasts(width)) {
            return end;
        }
        sooner(end, first.end(t))
    };
    let mut counted = Counted::new(now);
    match &did.then {
        None => first.events.iter().for_each(|event| {
            observer.event(event);
            let period = (event.occurred_at_ms, until(event));
            observer.period(period);
            counted.add(period);
        }),
        Some(then) => {
            let followers = Followers::new(then, Selected::new(&then.event, known));
            for event in first.events {
                observer.event(event);
                if O::WHOLE {
                    followers.in_time(event).for_each(|at| observer.follower(at));
                }
                followers.periods(event, until(event), &mut |period| {
                    observer.period(period);
                    counted.add(period);
                });
            }
        }
    }
    counted.judge(did)
}

/// How many events count now, and when others begin or these end.
struct Counted {
    now: Millis,
    count: i64,
    /// When those that count now end.
    ends: Vec<Millis>,
    /// What those that do not count yet add to the count, and when.
    later: Vec<(Millis, i64)>,
}

impl Counted {
    fn new(now: Millis) -> Counted {
        Counted { now, count: 0, ends: Vec::new(), later: Vec::new() }
    }

    fn add(&mut self, period: Period) {
        if !is_ahead(period, self.now) {
            return;
        }
        let (from, until) = period;
        if from <= self.now {
            self.count += 1;
            self.ends.extend(until);
        } else {
            self.later.push((from, 1));
            self.later.extend(until.map(|until| (until, -1)));
        }
    }

    /// Whether there are enough and not too many, and when that next changes.
    fn judge(self, did: &Did) -> (bool, Option<Millis>) {
        let Counted { mut count, mut ends, later: mut steps, .. } = self;
        let least = i64::from(did.at_least);
        let enough =
            |count: i64| count >= least && (did.at_most == u32::MAX || count <= did.at_most.into());
        let holds = enough(count);
        if steps.is_empty() && did.at_most == u32::MAX {
            // It changes with the one end that leaves too few.
            let before = usize::try_from(count - least).ok().filter(|before| *before < ends.len());
            return (holds, before.map(|before| *ends.select_nth_unstable(before).1));
        }
        steps.extend(ends.into_iter().map(|end| (end, -1)));
        steps.sort_unstable();
        let next = steps.chunk_by(|a, b| a.0 == b.0).find(|at_once| {
            count += at_once.iter().map(|(_, step)| step).sum::<i64>();
            enough(count) != holds
        });
        (holds, next.map(|at_once| at_once[0].0))
    }
}

/// The events that have to follow others, or must not.
struct Followers<'a> {
    then: &'a Then,
    selected: Selected<'a>,
    /// Of all groups, sorted.
    times: Vec<Millis>,
}

impl<'a> Followers<'a> {
    fn new(then: &'a Then, selected: Selected<'a>) -> Self {
        let mut times = Vec::new();
        if !then.same_group {
            times.extend(selected.events.iter().map(|e| e.occurred_at_ms));
            times.sort_unstable();
        }
        Followers { then, selected, times }
    }

    /// Pushes when `event` counts, which it does until `until` at most. What follows it can leave
    /// before it does, and then does not follow it any more.
    fn periods(&self, event: &EventFact, until: Option<Millis>, push: &mut impl FnMut(Period)) {
        if self.then.same_group && event.group == Group::NONE {
            return;
        }
        if self.then.is_missing {
            self.missing(self.last(event), self.in_time(event), until, push);
        } else {
            self.present(self.in_time(event), until, push);
        }
    }

    /// The last time at which something can follow `event`.
    fn last(&self, event: &EventFact) -> Option<Millis> {
        self.then.within_ms.and_then(|width| event.occurred_at_ms.checked_add(width))
    }

    /// The times of what follows `event`, sorted.
    fn in_time(&self, event: &EventFact) -> impl Iterator<Item = Millis> {
        let last = self.last(event);
        self.after(event).take_while(move |next| last.is_none_or(|last| *next <= last))
    }

    /// From the first that follows on, until all that follow have left.
    fn present(
        &self,
        following: impl Iterator<Item = Millis>,
        until: Option<Millis>,
        push: &mut impl FnMut(Period),
    ) {
        let mut period: Option<Period> = None;
        for next in following {
            let end = self.selected.end(next);
            match &mut period {
                Some((_, Some(held))) if next <= *held => match end {
                    Some(end) => *held = end.max(*held),
                    None => period = period.map(|(from, _)| (from, None)),
                },
                _ => {
                    let over = period.replace((next, end));
                    over.into_iter().for_each(|(from, end)| push((from, sooner(end, until))));
                }
            }
            if period.is_some_and(|(_, end)| sooner(end, until) == until) {
                break;
            }
        }
        period.into_iter().for_each(|(from, end)| push((from, sooner(end, until))));
    }

    /// Once the time to follow is over, and whatever followed has left.
    fn missing(
        &self,
        last: Option<Millis>,
        following: impl Iterator<Item = Millis>,
        until: Option<Millis>,
        push: &mut impl FnMut(Period),
    ) {
        let Some(mut from) = last.and_then(|last| last.checked_add(1)) else { return };
        for next in following {
            match self.selected.end(next) {
                Some(end) if until.is_none_or(|until| end < until) => from = from.max(end),
                _ => return,
            }
        }
        push((from, until));
    }

    /// The times of what happens after `event`, sorted.
    fn after(&self, event: &EventFact) -> impl Iterator<Item = Millis> {
        let t = event.occurred_at_ms;
        let (mut same, mut any) = (&[][..], &[][..]);
        if self.then.same_group {
            same = of_group(self.selected.events, event.group);
            same = &same[same.partition_point(|e| e.occurred_at_ms <= t)..];
        } else {
            any = &self.times[self.times.partition_point(|time| *time <= t)..];
        }
        same.iter().map(|e| e.occurred_at_ms).chain(any.iter().copied())
    }
}
