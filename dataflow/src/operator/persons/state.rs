//! All persons of one worker, and how time, facts and definitions change them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::change::Cause;
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Subject;
use differential_dataflow::consolidation::consolidate;
use hashbrown::HashSet;

use super::compared::Compared;
use super::happen::{Happened, Redefined, Scratch};
use super::person::Person;
use super::preview::Scan;
use super::standing::{publish, publish_members};
use super::{Batch, Context, Emit};
use crate::operator::sharded::Sharded;
use crate::plan::Plan;
use crate::row::{Answer, Fact, Member};

/// The persons, and when each of them has to be looked at again.
#[derive(Default)]
pub struct Persons {
    pub(super) people: Sharded<Subject, Person>,
    due: BTreeSet<(u64, Subject)>,
    /// Who has changed at the present time so that more can come of it at this very time.
    changed: HashSet<Subject>,
    pub(super) plan: Arc<Plan>,
    /// The preview under way.
    pub(super) scan: Option<Box<Scan>>,
    scratch: Scratch,
}

impl Persons {
    /// The least time at which an answer changes by itself.
    pub fn next_wakeup(&self) -> Option<u64> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Lets `time` come. No earlier wake-up may be left.
    pub(super) fn wake(&mut self, time: u64, emit: &mut Emit) {
        self.changed.clear();
        while let Some((_, id)) = self.due.first().copied().filter(|(due, _)| *due <= time) {
            self.due.pop_first();
            let Some(person) = self.people.of(&id).get_mut(&id) else { continue };
            person.wakeup = None;
            self.changed.insert(id);
            // With no wake-up in between, what was true last is what was true until now.
            let before = person.standing(&self.plan, time.saturating_sub(1), false);
            let after = person.standing(&self.plan, time, false);
            publish(&before, &after, Cause::Time, emit);
            person.wakeup = after.next_change;
            reschedule(id, None, person.wakeup, &mut self.due);
        }
    }

    /// Takes in what arrived for `time`, after [`Persons::wake`].
    pub(super) fn take_in(&mut self, time: u64, mut batch: Batch, emit: &mut Emit) {
        let context = batch.context.take().unwrap_or_default();
        self.scan.take_if(|_| context.plan.is_some());
        if let Some(plan) = context.plan.as_ref().filter(|_| context.is_first) {
            self.plan = plan.clone();
        }
        consolidate(&mut batch.facts);
        consolidate(&mut batch.events);
        // Then a person can change more than once at this time, or for what happens to another.
        let is_redefined = context.plan.is_some() && !context.is_first;
        let shares_changes = !context.erased.is_empty();
        let (mut facts, mut events) = (&batch.facts[..], &batch.events[..]);
        let first = |facts: &Facts, events: &Events| {
            facts
                .first()
                .map(|row| row.0.0)
                .into_iter()
                .chain(events.first().map(|row| row.0.0))
                .min()
        };
        while let Some(id) = first(facts, events) {
            let about = split_person(&mut facts, id);
            let happened = split_person(&mut events, id);
            if is_redefined {
                self.changed.insert(id);
            }
            if !about.is_empty() || shares_changes || self.changed.contains(&id) {
                self.update(time, id, about, happened, &context, emit);
            } else {
                self.happen(time, id, happened, &context, emit);
            }
        }
        if let Some(plan) = context.plan.as_ref().filter(|_| !context.is_first) {
            self.redefine(time, plan.clone(), emit);
        }
    }

    /// Takes in events of a person that stays who it is.
    fn happen(
        &mut self,
        time: u64,
        id: Subject,
        events: &Events,
        context: &Context,
        emit: &mut Emit,
    ) {
        if let Some(scan) = &mut self.scan {
            scan.touch(id);
        }
        let shard = self.people.of(&id);
        let person = shard.entry(id).or_default();
        let cause = context.cause(person.subjects());
        let update = Happened { time, events, cause, plan: &self.plan };
        let before = person.wakeup;
        person.happen(update, &mut self.scratch, emit);
        reschedule(id, before, person.wakeup, &mut self.due);
        if person.is_empty() {
            shard.remove(&id);
        }
    }

    /// Takes in anything.
    fn update(
        &mut self,
        time: u64,
        id: Subject,
        facts: &Facts,
        events: &Events,
        context: &Context,
        emit: &mut Emit,
    ) {
        if let Some(scan) = &mut self.scan {
            scan.touch(id);
        }
        let shard = self.people.of(&id);
        let person = shard.entry(id).or_default();
        let whole = !facts.is_empty() && !context.is_restoring;
        let members_change =
            whole && facts.first().is_some_and(|row| matches!(row.0.1, Fact::Member(_)));
        report_erased(person, context, emit);
        let before = person.standing(&self.plan, time, whole);
        let members = if members_change { person.members().to_vec() } else { Vec::new() };
        person.apply(facts, events);
        report_erased(person, context, emit);
        let after = person.standing(&self.plan, time, whole);
        if members_change {
            let first_seen = |member: &Member| context.cause(std::iter::once(&member.subject));
            publish_members(&members, person.members(), first_seen, emit);
        }
        let cause = match goes_along(facts, events) {
            true => Cause::Erase,
            false => context.cause(person.subjects()),
        };
        publish(&before, &after, cause, emit);
        let before = std::mem::replace(&mut person.wakeup, after.next_change);
        reschedule(id, before, person.wakeup, &mut self.due);
        if person.is_empty() {
            shard.remove(&id);
        }
    }

    /// Puts `plan` in force and looks at everybody whose definitions it changes.
    fn redefine(&mut self, time: u64, plan: Arc<Plan>, emit: &mut Emit) {
        let old = std::mem::replace(&mut self.plan, plan);
        let compared = Compared::new(&old, &self.plan);
        let all_differ = old.retention != self.plan.retention;
        for (id, person) in self.people.iter_mut() {
            let Some(account) = person.account() else { continue };
            let differ = compared.of(account);
            if differ.is_none() && !all_differ {
                continue;
            }
            let wakeup = person.wakeup;
            match differ.filter(|_| !all_differ && !self.changed.contains(id)) {
                Some((before, after)) => {
                    let update = Redefined { time, before, after, plan: &self.plan };
                    person.redefine(update, &mut self.scratch, emit);
                }
                None => {
                    let before = person.standing(&old, time, false);
                    let after = person.standing(&self.plan, time, false);
                    publish(&before, &after, Cause::Definition, emit);
                    person.wakeup = after.next_change;
                }
            }
            reschedule(*id, wakeup, person.wakeup, &mut self.due);
        }
    }
}

/// Facts of one time, sorted, and how often each comes or goes.
type Facts = [((Subject, Fact), isize)];
/// As [`Facts`].
type Events = [((Subject, EventFact), isize)];

/// Splits what is about `person` off `rows`, which are about it and those after it.
fn split_person<'r, T>(
    rows: &mut &'r [((Subject, T), isize)],
    person: Subject,
) -> &'r [((Subject, T), isize)] {
    let others = rows.iter().position(|row| row.0.0 != person).unwrap_or(rows.len());
    let (mine, others) = rows.split_at(others);
    *rows = others;
    mine
}

/// Moves a wake-up.
fn reschedule(
    id: Subject,
    before: Option<u64>,
    after: Option<u64>,
    due: &mut BTreeSet<(u64, Subject)>,
) {
    if before != after {
        if let Some(time) = before {
            due.remove(&(time, id));
        }
        due.extend(after.map(|time| (time, id)));
    }
}

/// Whether an event without a customer id, held so far, is erased along with somebody else's.
fn goes_along(facts: &Facts, events: &Events) -> bool {
    let is_gone =
        |taken: &EventFact| events.iter().any(|((_, event), diff)| *diff < 0 && event == taken);
    facts.iter().any(|((_, fact), diff)| match fact {
        Fact::Taken(event) => *diff > 0 && is_gone(event),
        _ => false,
    })
}

/// Says so if one of the customers of `person` is erased.
fn report_erased(person: &Person, context: &Context, emit: &mut Emit) {
    let Some(canonical) = person.members().first() else { return };
    if !context.erased.is_empty() && person.subjects().any(|s| context.erased.contains(s)) {
        let (account, customer) = (canonical.account, canonical.customer_id.clone());
        emit.reason(Answer::Erased { account, customer }, Cause::Erase, 1);
    }
}
