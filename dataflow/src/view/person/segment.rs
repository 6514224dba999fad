//! Segments: whether a clause is true of a person, and until when it surely stays so.

use cebe_schemas::definition::{Clause, Did, Then};
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use super::{Known, of_group, of_type};

/// Whether `clause` is true at `now`, and a time up to which that does not change by itself.
///
/// For a leaf it is the time of its next change. For `all` and `any` it is, while they are decided by
/// some of their clauses (a false one, a true one), the greatest time of those, since all of them
/// have to change first; or else the least time of all clauses. `None`: it never changes.
pub fn holds(clause: &Clause, known: &Known, now: Millis) -> (bool, Option<Millis>) {
    match clause {
        Clause::All(all) => combined(all, false, known, now),
        Clause::Any(any) => combined(any, true, known, now),
        Clause::Not(inner) => {
            let (holds, until) = holds(inner, known, now);
            (!holds, until)
        }
        Clause::Attribute { name, test } => {
            (test.holds(known.attribute(name).map(|value| value.value())), None)
        }
        Clause::Did(it) => did(it, known.events, now),
        Clause::InSegment { segment_id, defined } => match defined {
            _ if known.is_asserted(segment_id) => (true, None),
            Some(defined) => holds(defined, known, now),
            None => (false, None),
        },
    }
}

/// `decisive` if that is what any of `clauses` is.
fn combined(
    clauses: &[Clause],
    decisive: bool,
    known: &Known,
    now: Millis,
) -> (bool, Option<Millis>) {
    let mut decided_until = None;
    let mut soonest = None;
    for clause in clauses {
        match holds(clause, known, now) {
            (value, None) if value == decisive => return (decisive, None),
            (value, Some(until)) if value == decisive => {
                decided_until = decided_until.max(Some(until));
            }
            (_, until) => soonest = soonest.into_iter().chain(until).min(),
        }
    }
    match decided_until {
        Some(until) => (decisive, Some(until)),
        None => (!decisive, soonest),
    }
}

/// When an event counts: from the first on, and until the second comes.
type Counts = (Millis, Option<Millis>);

fn did(did: &Did, events: &[EventFact], now: Millis) -> (bool, Option<Millis>) {
    let enough = |count: i64| {
        count >= i64::from(did.at_least) && (did.at_most == u32::MAX || count <= did.at_most.into())
    };
    let end = |t: Millis| did.within_ms.and_then(|width| t.checked_add(width));
    let first = of_type(events, did.event.event());
    match &did.then {
        None => {
            counted(now, enough, first.iter().map(|e| (e.occurred_at_ms, end(e.occurred_at_ms))))
        }
        Some(then) => {
            let followers = Followers::new(then, of_type(events, then.event.event()));
            let counts = |e: &EventFact| {
                let from = followers.counts_from(e)?;
                Some((from, end(e.occurred_at_ms)))
            };
            counted(now, enough, first.iter().filter_map(counts))
        }
    }
}

/// Whether `enough` count at `now`, and when that next changes.
fn counted(
    now: Millis,
    enough: impl Fn(i64) -> bool,
    events: impl Iterator<Item = Counts>,
) -> (bool, Option<Millis>) {
    let mut count = 0;
    let mut steps = Vec::new();
    for (from, until) in events {
        if until.is_some_and(|until| until <= now.max(from)) {
            continue;
        }
        match from <= now {
            true => count += 1,
            false => steps.push((from, 1)),
        }
        steps.extend(until.map(|until| (until, -1)));
    }
    let holds = enough(count);
    steps.sort_unstable();
    let next = steps.chunk_by(|a, b| a.0 == b.0).find(|at_once| {
        count += at_once.iter().map(|(_, step)| step).sum::<i64>();
        enough(count) != holds
    });
    (holds, next.map(|at_once| at_once[0].0))
}

/// The events that have to follow others, or must not.
struct Followers<'a> {
    then: &'a Then,
    /// Sorted by group, and by time within it.
    events: &'a [EventFact],
    /// Of all groups, sorted.
    times: Vec<Millis>,
}

impl<'a> Followers<'a> {
    fn new(then: &'a Then, events: &'a [EventFact]) -> Self {
        let mut times = Vec::new();
        if !then.same_group {
            times.extend(events.iter().map(|e| e.occurred_at_ms));
            times.sort_unstable();
        }
        Followers { then, events, times }
    }

    /// When `event` begins to count, if it ever does.
    fn counts_from(&self, event: &EventFact) -> Option<Millis> {
        if self.then.same_group && event.group == Group::NONE {
            return None;
        }
        let t = event.occurred_at_ms;
        let last = self.then.within_ms.and_then(|width| t.checked_add(width));
        let next = self.next_after(event).filter(|next| last.is_none_or(|last| *next <= last));
        match (self.then.is_missing, next) {
            (false, next) => next,
            (true, Some(_)) => None,
            (true, None) => last?.checked_add(1),
        }
    }

    fn next_after(&self, event: &EventFact) -> Option<Millis> {
        let t = event.occurred_at_ms;
        if !self.then.same_group {
            return self.times.get(self.times.partition_point(|time| *time <= t)).copied();
        }
        let same = of_group(self.events, event.group);
        same.get(same.partition_point(|e| e.occurred_at_ms <= t)).map(|e| e.occurred_at_ms)
    }
}
