//! What a person goes through that stays who it is, nearly everything there is: only the definitions
//! that look at such events, or that came or went, are evaluated; and nobody else speaks under its
//! name, so what changes is final.

use std::sync::Arc;

use cebe_schemas::change::{Cause, Seen};
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::{Group, Subject};
use cebe_schemas::time::Millis;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Emit;
use super::person::Person;
use crate::operator::difference;
use crate::plan::{AccountPlan, Plan};
use crate::row::{Member, RateKey, SegmentId};
use crate::view::person::{Scope, Truth, evaluate, evaluate_some};

/// Something is otherwise about a person than before, at the time of the tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalChange {
    /// Who speaks for the person, before and now.
    pub canonical: Arc<Member>,
    /// What.
    pub what: What,
    /// Why.
    pub cause: Cause,
}

/// What can be otherwise without the person being another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was seen earlier or later.
    Seen(Option<Seen>, Option<Seen>),
    /// It entered a segment by its definition, or left it.
    Segment(SegmentId, bool),
}

/// Rates that moved, with the first of the causes.
pub type Rates = HashMap<RateKey, Cause, FixedState>;

/// Room to evaluate in.
#[derive(Default)]
pub struct Scratch {
    before: Vec<Truth>,
    after: Vec<Truth>,
    groups: Vec<Group>,
}

/// Events that came and went at one time.
pub struct Happened<'u> {
    pub time: u64,
    /// Sorted.
    pub events: &'u [((Subject, EventFact), isize)],
    pub cause: Cause,
    pub plan: &'u Plan,
}

/// Definitions that came and went at one time.
pub struct Redefined<'u> {
    pub time: u64,
    /// Those that went.
    pub before: &'u AccountPlan,
    /// Those that came.
    pub after: &'u AccountPlan,
    /// All that are in force now.
    pub plan: &'u Plan,
}

impl Person {
    /// Takes in events, and keeps its wake-up.
    pub fn happen(&mut self, update: Happened, scratch: &mut Scratch, emit: &mut Emit) {
        let Happened { time, events, cause, plan } = update;
        let Some(canonical) = self.members().first().cloned() else {
            return self.apply_events(events);
        };
        let (seen, all) = (self.seen(), plan.of(canonical.account));
        let readers = all.readers(events.iter().map(|((_, event), _)| event.event));
        if let Some(readers) = readers {
            let mut groups = std::mem::take(&mut scratch.groups);
            groups.clear();
            groups.extend(events.iter().map(|((_, event), _)| event.group));
            groups.sort_unstable();
            groups.dedup();
            // An event that names no group can be about any.
            let named = (groups.first() != Some(&Group::NONE)).then_some(&groups[..]);
            let scope = Scope { readers: Some(&readers), groups: named };
            let definitions = [all, all, all];
            self.judge(time, plan, definitions, scope, scratch, |me| me.apply_events(events));
            scratch.groups = groups;
        } else {
            self.apply_events(events);
        }
        if seen != self.seen() {
            let (canonical, what) = (canonical.clone(), What::Seen(seen, self.seen()));
            emit.updates.final_changes.push(FinalChange { canonical, what, cause });
        }
        self.turn_all(&canonical, cause, scratch, emit);
    }

    /// Has other definitions from now on, and keeps its wake-up.
    pub fn redefine(&mut self, update: Redefined, scratch: &mut Scratch, emit: &mut Emit) {
        let Redefined { time, before, after, plan } = update;
        let Some(canonical) = self.members().first().cloned() else { return };
        let definitions = [before, after, plan.of(canonical.account)];
        self.judge(time, plan, definitions, Scope::default(), scratch, |_| {});
        self.turn_all(&canonical, Cause::Definition, scratch, emit);
    }

    /// Leaves in `scratch` what the first definitions say before `change`, and the second after it; the
    /// third are all there are then.
    fn judge(
        &mut self,
        time: u64,
        plan: &Plan,
        [first, second, all]: [&AccountPlan; 3],
        scope: Scope,
        scratch: &mut Scratch,
        change: impl FnOnce(&mut Person),
    ) {
        let Scratch { before, after, .. } = scratch;
        let now = Millis::try_from(time).unwrap_or(Millis::MAX);
        let wakeup = self.wakeup.and_then(|at| Millis::try_from(at).ok());
        let just_after = wakeup.and_then(|at| at.checked_add(1));
        let soonest = evaluate_some(&self.known(plan), first, scope, now, just_after, before);
        let was_theirs = wakeup.is_some() && soonest == wakeup;
        change(self);
        let (known, others) = (self.known(plan), wakeup.filter(|_| !was_theirs));
        let mut next = evaluate_some(&known, second, scope, now, others, after);
        if was_theirs && next != wakeup {
            // Theirs was the soonest, so nothing is known of the others but that they are later.
            next = evaluate(&known, all, now, &mut Vec::new());
        }
        // Whatever a definition says, nobody is woken twice for one time.
        self.wakeup = next.and_then(|at| u64::try_from(at).ok()).filter(|at| *at > time);
    }

    /// Emits the difference that is in `scratch`.
    fn turn_all(
        &self,
        canonical: &Arc<Member>,
        cause: Cause,
        scratch: &mut Scratch,
        emit: &mut Emit,
    ) {
        let Scratch { before, after, .. } = scratch;
        difference(before, after, |truth, diff| self.turn(canonical, *truth, diff, cause, emit));
        before.clear();
        after.clear();
    }

    fn turn(
        &self,
        canonical: &Arc<Member>,
        truth: Truth,
        diff: isize,
        cause: Cause,
        emit: &mut Emit,
    ) {
        match truth {
            Truth::Segment(segment) | Truth::Asserted(segment) => {
                // Who is asserted to belong belongs all the same.
                if !self.is_asserted(segment) {
                    let what = What::Segment(segment, diff > 0);
                    emit.updates.final_changes.push(FinalChange {
                        canonical: canonical.clone(),
                        what,
                        cause,
                    });
                }
            }
            Truth::Rate { metric, group, hit } => {
                let rate = RateKey { account: canonical.account, metric, group };
                (emit.weights)(rate, (diff * isize::from(hit), diff));
                let first = emit.updates.rates.entry(rate).or_insert(cause);
                *first = cause.min(*first);
            }
        }
    }
}
