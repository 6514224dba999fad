//! A judgement with its witnesses: the same evaluation, observed.

use std::cmp::Reverse;
use std::sync::Arc;

use cebe_schemas::definition::{Clause, Did};
use cebe_schemas::explanation::{
    Assertion, Attribute, Counted, Counting, Follower, Judged, NextChange, Witness,
};
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::{Group, Subject};
use cebe_schemas::time::Millis;

use super::Known;
use super::observer::{Observer, Period};
use super::segment::{holds, is_ahead, judge};

/// The most events that are shown of a clause, and what followed each of them.
const WITNESSES_MAX: usize = 20;
/// The most evaluations by which exact times are sought, for all clauses of a definition together.
const STEPS_MAX: usize = 2_000;

/// Why `clause` is true or false of a person at `now`. `named` gives the customer id of a member.
pub fn explain(
    clause: &Clause,
    known: &Known,
    now: Millis,
    named: &dyn Fn(Subject) -> Option<Arc<str>>,
) -> Option<Judged> {
    // A step takes as long as the person has events.
    let steps = 1 + STEPS_MAX * 500 / (known.events.len() + 500);
    let mut explaining = Explaining { known, now, named, steps, open: Vec::new(), judged: None };
    judge(clause, known, now, &mut explaining);
    explaining.judged
}

/// What CDP said last of a person and a segment.
pub fn asserted(
    segment_id: &str,
    known: &Known,
    named: &dyn Fn(Subject) -> Option<Arc<str>>,
) -> Option<Assertion> {
    let last = known.assertion(segment_id)?;
    Some(Assertion {
        entered: last.entered,
        customer_id: named(last.subject),
        occurred_at: last.stamp.occurred_at_ms,
    })
}

struct Explaining<'a> {
    known: &'a Known<'a>,
    now: Millis,
    named: &'a dyn Fn(Subject) -> Option<Arc<str>>,
    /// Evaluations that are left.
    steps: usize,
    open: Vec<Open>,
    judged: Option<Judged>,
}

/// A clause that is being judged.
#[derive(Default)]
struct Open {
    clauses: Vec<Judged>,
    events: Vec<Looked>,
}

/// An event that was looked at.
struct Looked {
    event: EventFact,
    followers: Vec<Millis>,
    periods: Vec<Period>,
}

impl Observer for Explaining<'_> {
    const WHOLE: bool = true;

    fn begin(&mut self) {
        self.open.push(Open::default());
    }

    fn event(&mut self, event: &EventFact) {
        let looked = Looked { event: *event, followers: Vec::new(), periods: Vec::new() };
        if let Some(open) = self.open.last_mut() {
            open.events.push(looked);
        }
    }

    fn follower(&mut self, at: Millis) {
        if let Some(looked) = self.looked().filter(|looked| looked.followers.len() < WITNESSES_MAX)
        {
            looked.followers.push(at);
        }
    }

    fn period(&mut self, period: Period) {
        self.looked().into_iter().for_each(|looked| looked.periods.push(period));
    }

    fn end(&mut self, clause: &Clause, holds: bool, until: Option<Millis>) {
        let Open { clauses, events } = self.open.pop().unwrap_or_default();
        let mut judged = Judged {
            clause: clause.shown(),
            holds,
            next_change: self.next_change(clause, holds, until),
            attribute: None,
            asserted: None,
            counted: None,
            clauses,
        };
        match clause {
            Clause::Attribute { name, .. } => judged.attribute = self.attribute(name),
            Clause::InSegment { segment_id, .. } => {
                judged.asserted = asserted(segment_id, self.known, self.named);
            }
            Clause::Did(did) => judged.counted = Some(self.counted(did, events)),
            Clause::All(_) | Clause::Any(_) | Clause::Not(_) => {}
        }
        match self.open.last_mut() {
            Some(outer) => outer.clauses.push(judged),
            None => self.judged = Some(judged),
        }
    }
}

impl Explaining<'_> {
    fn looked(&mut self) -> Option<&mut Looked> {
        self.open.last_mut()?.events.last_mut()
    }

    /// An evaluation gives a time up to which nothing changes: the next one is made there, until the
    /// answer is another.
    fn next_change(&mut self, clause: &Clause, held: bool, until: Option<Millis>) -> NextChange {
        let mut until = until;
        while let Some(at) = until {
            let Some(left) = self.steps.checked_sub(1) else { return NextChange::NotBefore(at) };
            self.steps = left;
            let (holds, next) = holds(clause, self.known, at);
            if holds != held {
                return NextChange::At(at);
            }
            until = next;
        }
        NextChange::Never
    }

    fn attribute(&self, name: &str) -> Option<Attribute> {
        let last = self.known.statement(name)?;
        Some(Attribute {
            value: last.value.as_ref().map(|value| value.value().clone()).unwrap_or_default(),
            customer_id: (self.named)(last.subject),
            occurred_at: last.stamp.occurred_at_ms,
        })
    }

    fn counted(&self, did: &Did, events: Vec<Looked>) -> Counted {
        let mut all: Vec<_> = events
            .into_iter()
            .map(|looked| (counting(&looked.periods, self.now), looked))
            .collect();
        all.sort_by_key(|((counts, _), looked)| (*counts, Reverse(looked.event.occurred_at_ms)));
        let is_now = |(counts, _): &&((Counting, _), _)| counts.0 == Counting::Now;
        Counted {
            count: all.iter().filter(is_now).count() as u64,
            at_least: did.at_least,
            at_most: (did.at_most != u32::MAX).then_some(did.at_most),
            events_held: all.len() as u64,
            events: all.into_iter().take(WITNESSES_MAX).map(|one| self.witness(did, one)).collect(),
            selectors: [Some(&did.event), did.then.as_ref().map(|then| &then.event)]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
        }
    }

    fn witness(
        &self,
        did: &Did,
        ((counts, period), looked): ((Counting, Option<Period>), Looked),
    ) -> Witness {
        let Looked { event, followers, .. } = looked;
        let follower = |occurred_at| Follower { occurred_at, found: Vec::new() };
        let group_key = match event.group {
            Group::NONE => "".into(),
            group => self.known.groups.get(group).unwrap_or_default(),
        };
        Witness {
            event_name: did.event.name().into(),
            // Values that are no text are marked inside, so as to differ from texts.
            group_key: group_key.strip_prefix('\u{1}').map_or(group_key.clone(), Arc::from),
            occurred_at: event.occurred_at_ms,
            counts,
            counts_from: period.map(|(from, _)| from),
            counts_until: period.and_then(|(_, until)| until),
            followed_by: followers.into_iter().map(follower).collect(),
            found: Vec::new(),
        }
    }
}

/// Whether an event counts at `now`, and the period that says so.
fn counting(periods: &[Period], now: Millis) -> (Counting, Option<Period>) {
    let mut ahead = periods.iter().copied().filter(|period| is_ahead(*period, now));
    match (ahead.next(), periods.last()) {
        (Some(period), _) if period.0 <= now => (Counting::Now, Some(period)),
        (Some(period), _) => (Counting::Later, Some(period)),
        (None, Some(over)) => (Counting::NoMore, Some(*over)),
        (None, None) => (Counting::Not, None),
    }
}
