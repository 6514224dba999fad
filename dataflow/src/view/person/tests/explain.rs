//! Explanations against evaluation, of which they are an observation.

use cebe_schemas::explanation::{Counting, Judged, NextChange};

use super::*;
use crate::view::person::explain::explain;
use crate::view::person::segment::holds;

fn judged(held: &Held, retention: Retention, clause: &Clause, now: Millis) -> Judged {
    let named = |subject: Subject| Some(subject.0.to_string().into());
    explain(clause, &held.known(retention), now, &named).unwrap()
}

/// A clause and what was told of it, and of each in it.
fn each<'a>(
    clause: &'a Clause,
    judged: &'a Judged,
    visit: &mut impl FnMut(&'a Clause, &'a Judged),
) {
    visit(clause, judged);
    let inner: Vec<&Clause> = match clause {
        Clause::All(of) | Clause::Any(of) => of.iter().collect(),
        Clause::Not(inner) => vec![inner],
        Clause::InSegment { defined: Some(defined), .. } => vec![defined],
        _ => vec![],
    };
    assert_eq!(inner.len(), judged.clauses.len());
    inner.iter().zip(&judged.clauses).for_each(|(clause, judged)| each(clause, judged, visit));
}

/// The first time after `now` at which a clause is otherwise, by trying all of them.
fn changes(clause: &Clause, raw: &Raw, now: Millis) -> NextChange {
    let is_in = belongs(clause, raw, now);
    // Beyond, only retention: two years later.
    let later = (now + 1..LAST + 30).find(|later| belongs(clause, raw, *later) != is_in);
    later.map_or(NextChange::Never, NextChange::At)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Each clause of the tree is what it is alone, and changes when it does alone.
    #[test]
    fn each_clause_is_told_as_it_is_alone(said in said(), clause in clause(), now in 0..LAST) {
        let (held, names) = (Held::new(&said), group_names());
        // Long enough for nothing to leave.
        let retention = Retention { months: 1_000 };
        let raw = said.raw(&names, retention);
        let told = judged(&held, retention, &clause, now);
        prop_assert_eq!(told.holds, holds(&clause, &held.known(retention), now).0);
        let mut all = Vec::new();
        each(&clause, &told, &mut |clause, judged| all.push((clause, judged)));
        for (clause, judged) in all {
            prop_assert_eq!(judged.holds, belongs(clause, &raw, now), "{:?}", clause);
            let near = match judged.next_change {
                NextChange::At(at) if at >= LAST + 30 => NextChange::Never,
                other => other,
            };
            prop_assert_eq!(near, changes(clause, &raw, now), "{:?}", clause);
            if let (Clause::Did(did), Some(counted)) = (clause, &judged.counted) {
                let (count, least) = (counted.count, u64::from(did.at_least));
                let enough = count >= least && count <= u64::from(did.at_most);
                prop_assert_eq!(enough, judged.holds);
                let is_within = |at: Millis| {
                    at <= now && did.within_ms.is_none_or(|width| at + width > now)
                };
                let selected = said.events.iter().filter(|e| e.event == did.event.event());
                let in_window = selected.filter(|e| is_within(e.occurred_at_ms)).count() as u64;
                prop_assert!(did.then.is_some() || count == in_window, "{} {:?}", count, clause);
            }
        }
    }

    /// Without the events that are said to count, none does; without those that are not, all do.
    #[test]
    fn the_events_that_count_are_what_counts(said in said(), clause in did(), now in 0..LAST) {
        let retention = Retention::default();
        let of = |said: &Said| {
            judged(&Held::new(said), retention, &clause, now).counted.unwrap()
        };
        let counted = of(&said);
        let count = |counts: Counting| counted.events.iter().filter(move |w| w.counts == counts);
        prop_assert_eq!(count(Counting::Now).count() as u64, counted.count);
        let Clause::Did(did) = &clause else { return Ok(()) };
        // In a sequence of one type an event is both what counts and what follows.
        prop_assume!(did.then.as_ref().is_none_or(|then| then.event != did.event));
        let is_witness = |event: &EventFact, counts: Counting| {
            let text = |group: Group| TEXTS.get(group.0 as usize).copied().unwrap_or_default();
            let same = |w: &&cebe_schemas::explanation::Witness| {
                w.occurred_at == event.occurred_at_ms && &*w.group_key == text(event.group)
            };
            event.event == did.event.event() && count(counts).any(|w| same(&w))
        };
        let mut without = said.clone();
        without.events.retain(|event| !is_witness(event, Counting::Now));
        prop_assert_eq!(of(&without).count, 0);
        let mut only = said.clone();
        only.events.retain(|event| {
            event.event != did.event.event() || is_witness(event, Counting::Now)
        });
        prop_assert_eq!(of(&only).count, counted.count);
    }
}

/// What an evaluation announces is only a time before which nothing changes.
#[test]
fn a_change_is_told_as_it_comes_and_not_as_it_is_announced() {
    let event = |event, occurred_at_ms| EventFact {
        event: EventType(event),
        group: Group(0),
        occurred_at_ms,
    };
    let (a, b) = (EventType(0), EventType(1));
    let events = vec![event(0, 5), event(1, 5), event(1, 7)];
    let held = Held::new(&Said { attributes: vec![], assertions: vec![], events });
    let at_six = |clause: &Clause| judged(&held, Retention::default(), clause, 6);
    // Once the first is true, the second is false, and the other way around.
    let both = |width| {
        let first = Clause::Not(Box::new(Clause::did(a, 1, Some(10))));
        Clause::All(vec![first, Clause::did(b, 1, Some(width))])
    };
    let known = held.known(Retention::default());
    assert_eq!(holds(&both(7), &known, 6), (false, Some(15)));
    assert_eq!(at_six(&both(7)).next_change, NextChange::Never);
    assert_eq!(at_six(&both(9)).next_change, NextChange::At(15));
    let counted = at_six(&Clause::did(b, 2, None)).counted.unwrap();
    let counts: Vec<_> = counted.events.iter().map(|w| (w.occurred_at, w.counts)).collect();
    assert_eq!(counts, [(5, Counting::Now), (7, Counting::Later)]);
    assert_eq!((counted.count, counted.events[1].counts_from), (1, Some(7)));
}
