//! One person: what it consists of, and what is true of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::change::Cause;
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;

use super::Emit;
use crate::operator::difference;
use crate::plan::Plan;
use crate::row::{AccountId, Answer, Fact, Member, RateKey};
use crate::view::person::{Truth, evaluate};

/// The customers and events of one person.
#[derive(Default)]
pub struct Person {
    /// Its wake-up, which [`Person::schedule`] keeps.
    pub wakeup: Option<u64>,
    /// Sorted, so that the first is the canonical one.
    members: Vec<Arc<Member>>,
    /// Sorted, with repeats.
    events: Vec<EventFact>,
}

/// What is true of a person at some time.
#[derive(Default)]
pub struct Standing {
    /// Who speaks for the person; nobody: nothing is true of it.
    canonical: Option<Arc<Member>>,
    truths: Vec<Truth>,
    /// When the truths next change by themselves.
    pub next_change: Option<u64>,
}

impl Person {
    /// Sorted shortlex.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// The tenant; none for a person without members.
    pub fn account(&self) -> Option<AccountId> {
        self.members.first().map(|member| member.account)
    }

    /// Nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.events.is_empty()
    }

    /// What is true of it at `time`, but for its members.
    pub fn standing(&self, plan: &Plan, time: u64) -> Standing {
        let Some(canonical) = self.members.first() else { return Standing::default() };
        let mut truths = Vec::new();
        let now = Millis::try_from(time).unwrap_or(Millis::MAX);
        let next = evaluate(&self.events, plan.of(canonical.account), now, &mut truths);
        Standing {
            canonical: Some(canonical.clone()),
            truths,
            // Whatever a definition says, nobody is woken twice for one time.
            next_change: next.and_then(|at| u64::try_from(at).ok()).filter(|at| *at > time),
        }
    }

    /// Adds and removes facts; they are sorted and each occurs once.
    pub fn apply(&mut self, facts: &[((Subject, Fact), isize)]) {
        let members = facts.iter().filter_map(|((_, fact), diff)| match fact {
            Fact::Member(member) => Some((member.clone(), *diff)),
            Fact::Event(_) => None,
        });
        apply(&mut self.members, members);
        let events = facts.iter().filter_map(|((_, fact), diff)| match fact {
            Fact::Member(_) => None,
            Fact::Event(event) => Some((*event, *diff)),
        });
        apply(&mut self.events, events);
    }

    /// Moves its wake-up to `at`.
    pub fn schedule(&mut self, id: Subject, at: Option<u64>, due: &mut BTreeSet<(u64, Subject)>) {
        if self.wakeup != at {
            if let Some(time) = std::mem::replace(&mut self.wakeup, at) {
                due.remove(&(time, id));
            }
            due.extend(at.map(|time| (time, id)));
        }
    }
}

/// Adds and removes sorted values in linear time, also when one person takes over another.
fn apply<T: Ord + Clone>(values: &mut Vec<T>, changes: impl Iterator<Item = (T, isize)>) {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (value, diff) in changes {
        let to = if diff > 0 { &mut added } else { &mut removed };
        to.extend(std::iter::repeat_n(value, diff.unsigned_abs()));
    }
    let mut removed = removed.iter().peekable();
    if removed.peek().is_some() {
        values.retain(|value| removed.next_if_eq(&value).is_none());
        debug_assert!(removed.peek().is_none(), "only what is held can be removed");
    }
    if !added.is_empty() {
        values.reserve_exact(added.len());
        values.append(&mut added);
        // Stable: it merges runs that are sorted already.
        values.sort();
    }
}

/// Emits the difference between two standings of one person.
pub fn publish(before: &Standing, after: &Standing, cause: Cause, emit: Emit) {
    let mut each = |canonical: &Member, truth: &Truth, diff| {
        emit((answer(canonical, *truth), cause), diff);
    };
    match (&before.canonical, &after.canonical) {
        (Some(old), Some(new)) if old == new => {
            difference(&before.truths, &after.truths, |truth, diff| each(new, truth, diff));
        }
        (old, new) => {
            for (standing, canonical, diff) in [(before, old, -1), (after, new, 1)] {
                let Some(canonical) = canonical else { continue };
                standing.truths.iter().for_each(|truth| each(canonical, truth, diff));
            }
        }
    }
}

/// Emits who belongs to the person no more, and who does now, each for a cause of its own.
pub fn publish_members(
    before: &[Arc<Member>],
    after: &[Arc<Member>],
    cause: impl Fn(&Member) -> Cause,
    emit: Emit,
) {
    let mut each = |canonical: &Member, member: &Member, diff| {
        emit((identity(canonical, member), cause(member)), diff);
    };
    match (before.first(), after.first()) {
        (Some(old), Some(new)) if old == new => {
            difference(before, after, |member, diff| each(new, member, diff));
        }
        (old, new) => {
            for (members, canonical, diff) in [(before, old, -1), (after, new, 1)] {
                let Some(canonical) = canonical else { continue };
                members.iter().for_each(|member| each(canonical, member, diff));
            }
        }
    }
}

fn identity(canonical: &Member, member: &Member) -> Answer {
    Answer::Identity {
        account: member.account,
        member: member.customer_id.clone(),
        canonical: canonical.customer_id.clone(),
    }
}

fn answer(canonical: &Member, truth: Truth) -> Answer {
    let (account, customer) = (canonical.account, canonical.customer_id.clone());
    match truth {
        Truth::Segment(segment) => Answer::Segment { account, segment, customer },
        Truth::Rate { metric, group, hit } => {
            Answer::Rate { rate: RateKey { account, metric, group }, customer, hit }
        }
    }
}
