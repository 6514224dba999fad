//! All persons of one worker, and how time, facts and definitions change them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cebe_schemas::change::Cause;
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Subject;
use differential_dataflow::consolidation::consolidate;

use super::person::Person;
use super::preview::Scan;
use super::standing::{publish, publish_members};
use super::{Batch, Context, Emit};
use crate::operator::sharded::Sharded;
use crate::plan::Plan;
use crate::row::{AccountId, Answer, Fact, Member};

/// The persons, and when each of them has to be looked at again.
#[derive(Default)]
pub struct Persons {
    pub(super) people: Sharded<Subject, Person>,
    due: BTreeSet<(u64, Subject)>,
    pub(super) plan: Arc<Plan>,
    /// The preview under way.
    pub(super) scan: Option<Box<Scan>>,
}

impl Persons {
    /// The least time at which an answer changes by itself.
    pub fn next_wakeup(&self) -> Option<u64> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Lets `time` come. No earlier wake-up may be left.
    pub fn wake(&mut self, time: u64, emit: Emit) {
        while let Some((_, id)) = self.due.first().copied().filter(|(due, _)| *due <= time) {
            self.due.pop_first();
            let Some(person) = self.people.of(&id).get_mut(&id) else { continue };
            person.wakeup = None;
            // With no wake-up in between, what was true last is what was true until now.
            let before = person.standing_before(&self.plan, time.saturating_sub(1), false);
            let after = person.standing(&self.plan, time, false);
            publish(&before, &after, Cause::Time, emit);
            person.settle(id, after, &mut self.due);
        }
    }

    /// Takes in what arrived for `time`, after [`Persons::wake`].
    pub(super) fn take_in(&mut self, time: u64, mut batch: Batch, emit: Emit) {
        let context = batch.context.take().unwrap_or_default();
        self.scan.take_if(|_| context.plan.is_some());
        if let Some(plan) = context.plan.as_ref().filter(|_| context.is_first) {
            self.plan = plan.clone();
        }
        consolidate(&mut batch.facts);
        for facts in batch.facts.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            self.update(time, facts[0].0.0, facts, &context, emit);
        }
        if let Some(plan) = context.plan.as_ref().filter(|_| !context.is_first) {
            self.redefine(time, plan.clone(), emit);
        }
    }

    fn update(
        &mut self,
        time: u64,
        id: Subject,
        facts: &[((Subject, Fact), isize)],
        context: &Context,
        emit: Emit,
    ) {
        if let Some(scan) = &mut self.scan {
            scan.touch(id);
        }
        let shard = self.people.of(&id);
        let person = shard.entry(id).or_default();
        let members_change = matches!(facts[0].0.1, Fact::Member(_));
        let read = |fact: &Fact| match (fact, person.account()) {
            (Fact::Event(event), Some(account)) => self.plan.of(account).reads(event.event),
            _ => false,
        };
        // Facts are sorted by kind: events are last.
        let whole = !matches!(facts[0].0.1, Fact::Event(_));
        if !whole && !facts.iter().any(|((_, fact), _)| read(fact)) {
            report_erased(person, context, emit);
            let before = person.sighting();
            person.apply(facts);
            let cause = context.cause(person.subjects());
            publish(&before, &person.sighting(), cause, emit);
            if person.is_empty() {
                shard.remove(&id);
            }
            return;
        }
        report_erased(person, context, emit);
        let before = person.standing_before(&self.plan, time, whole);
        let members = if members_change { person.members().to_vec() } else { Vec::new() };
        person.apply(facts);
        report_erased(person, context, emit);
        let after = person.standing(&self.plan, time, whole);
        if members_change {
            let first_seen = |member: &Member| context.cause(std::iter::once(&member.subject));
            publish_members(&members, person.members(), first_seen, emit);
        }
        let cause = match goes_along(facts) {
            true => Cause::Erase,
            false => context.cause(person.subjects()),
        };
        publish(&before, &after, cause, emit);
        person.settle(id, after, &mut self.due);
        if person.is_empty() {
            shard.remove(&id);
        }
    }

    /// Puts `plan` in force and looks at everybody whose definitions it changes.
    fn redefine(&mut self, time: u64, plan: Arc<Plan>, emit: Emit) {
        let old = std::mem::replace(&mut self.plan, plan);
        let mut affected: HashMap<AccountId, bool> = HashMap::new();
        for (id, person) in self.people.iter_mut() {
            let Some(account) = person.account() else { continue };
            let differs =
                || old.of(account) != self.plan.of(account) || old.retention != self.plan.retention;
            if *affected.entry(account).or_insert_with(differs) {
                let before = person.standing_before(&old, time, false);
                let after = person.standing(&self.plan, time, false);
                publish(&before, &after, Cause::Definition, emit);
                person.settle(*id, after, &mut self.due);
            }
        }
    }
}

/// Whether an event without a customer id, held so far, is erased along with somebody else's.
fn goes_along(facts: &[((Subject, Fact), isize)]) -> bool {
    let is_gone = |event: EventFact| {
        facts.iter().any(|((_, fact), diff)| *diff < 0 && *fact == Fact::Event(event))
    };
    facts.iter().any(|((_, fact), diff)| match fact {
        Fact::Taken(event) => *diff > 0 && is_gone(*event),
        _ => false,
    })
}

/// Says so if one of the customers of `person` is erased.
fn report_erased(person: &Person, context: &Context, emit: Emit) {
    let Some(canonical) = person.members().first() else { return };
    if !context.erased.is_empty() && person.subjects().any(|s| context.erased.contains(s)) {
        let (account, customer) = (canonical.account, canonical.customer_id.clone());
        emit((Answer::Erased { account, customer }, Cause::Erase), 1);
    }
}
