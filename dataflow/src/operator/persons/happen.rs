//! Events of a person that stays who it is, nearly all there are: only the definitions that look at
//! such events are evaluated, and nobody else speaks under its name, so what changes is final.

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
use crate::plan::{AccountPlan, Plan, Readers};
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

impl Person {
    /// Takes in events, and keeps its wake-up.
    pub fn happen(&mut self, update: Happened, scratch: &mut Scratch, emit: &mut Emit) {
        let Some(canonical) = self.members().first().cloned() else {
            return self.apply_events(update.events);
        };
        let seen = self.seen();
        let plan = update.plan.of(canonical.account);
        match plan.readers(update.events.iter().map(|((_, event), _)| event.event)) {
            None => self.apply_events(update.events),
            Some(readers) => self.judge(&update, plan, &readers, scratch),
        }
        let cause = update.cause;
        if seen != self.seen() {
            let (canonical, what) = (canonical.clone(), What::Seen(seen, self.seen()));
            emit.updates.final_changes.push(FinalChange { canonical, what, cause });
        }
        let Scratch { before, after, .. } = scratch;
        difference(before, after, |truth, diff| self.turn(&canonical, *truth, diff, cause, emit));
        before.clear();
        after.clear();
    }

    /// Leaves what `readers` say before and after in `scratch`.
    fn judge(
        &mut self,
        update: &Happened,
        plan: &AccountPlan,
        readers: &Readers,
        scratch: &mut Scratch,
    ) {
        let Scratch { before, after, groups } = scratch;
        groups.clear();
        groups.extend(update.events.iter().map(|((_, event), _)| event.group));
        groups.sort_unstable();
        groups.dedup();
        // An event that names no group can be about any.
        let groups = (groups.first() != Some(&Group::NONE)).then_some(&groups[..]);
        let scope = Scope { readers: Some(readers), groups };
        let now = Millis::try_from(update.time).unwrap_or(Millis::MAX);
        let wakeup = self.wakeup.and_then(|at| Millis::try_from(at).ok());
        let just_after = wakeup.and_then(|at| at.checked_add(1));
        let known = self.known(update.plan);
        let soonest = evaluate_some(&known, plan, scope, now, just_after, before);
        let was_theirs = wakeup.is_some() && soonest == wakeup;
        self.apply_events(update.events);
        let known = self.known(update.plan);
        let others = wakeup.filter(|_| !was_theirs);
        let mut next = evaluate_some(&known, plan, scope, now, others, after);
        if was_theirs && next != wakeup {
            // Theirs was the soonest, so nothing is known of the others but that they are later.
            next = evaluate(&known, plan, now, &mut Vec::new());
        }
        // Whatever a definition says, nobody is woken twice for one time.
        self.wakeup = next.and_then(|at| u64::try_from(at).ok()).filter(|at| *at > update.time);
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
