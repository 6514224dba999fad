//! The person stage: a `reduce` that time can wake as well.
//!
//! Each person is one value and at most one wake-up: the time when its answer next changes by
//! itself. So the passing of time costs what it changes, however many ends of windows lie ahead.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use cebe_schemas::change::Cause;
use cebe_schemas::fact::{EventFact, Linking};
use cebe_schemas::id::Subject;
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashSet;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;

use super::{Pending, Shared, complete, route};
use crate::plan::Plan;
use crate::row::{Answer, Fact, RateKey, Reason, Weight};

mod compared;
mod explain;
mod happen;
mod person;
mod preview;
mod standing;
mod state;

pub use compared::Compared;
pub use explain::Told;
pub use happen::{FinalChange, Rates, What};
pub use preview::Differences;
pub use state::Persons;

/// The least wake-up of a worker, for the worker to read.
pub type Wakeup = Rc<Cell<Option<u64>>>;

/// What concerns all persons at one logical time.
#[derive(Debug, Default)]
pub struct Context {
    /// The definitions in force from then on, if it changes them.
    pub plan: Option<Arc<Plan>>,
    /// The first time of all: its definitions have always been in force.
    pub is_first: bool,
    /// What is true has been published before.
    pub is_restoring: bool,
    /// What links from then on, if it changes that.
    pub linking: Option<Arc<Linking>>,
    /// If it does: whoever any event is about.
    pub spoken_of: HashSet<Subject>,
    /// Customers that are erased.
    pub erased: HashSet<Subject>,
    /// Customers, and aliases, that events of a backfill are about or name.
    pub backfilled: HashSet<Subject>,
    /// Customers, and aliases, with an event that happened long before it arrived.
    pub late: HashSet<Subject>,
}

impl Context {
    /// Whether any person could be concerned.
    pub fn says_something(&self) -> bool {
        self.plan.is_some()
            || self.is_restoring
            || self.linking.is_some()
            || !self.backfilled.is_empty()
            || !self.late.is_empty()
            || !self.erased.is_empty()
    }

    /// The cause of what events did to whoever goes by these. Where a person came together or
    /// came apart, that is the cause; it is known where all changes of a time meet.
    fn cause<'a>(&self, subjects: impl Iterator<Item = &'a Subject> + Clone) -> Cause {
        let any_of = |set: &HashSet<Subject>| {
            !set.is_empty() && subjects.clone().any(|subject| set.contains(subject))
        };
        if any_of(&self.backfilled) {
            Cause::Backfill
        } else if any_of(&self.late) {
            Cause::LateEvent
        } else if self.linking.is_some() && !any_of(&self.spoken_of) {
            Cause::Definition
        } else {
            Cause::Event
        }
    }
}

/// Where the differences of one logical time go.
struct Emit<'a> {
    time: u64,
    /// Only the weights are told.
    is_restoring: bool,
    updates: &'a mut PersonUpdates,
    weights: &'a mut dyn FnMut(RateKey, Weight),
}

impl Emit<'_> {
    /// Something became true or untrue of a person, and perhaps of another one under the same name.
    fn reason(&mut self, answer: Answer, cause: Cause, diff: isize) {
        if let Answer::Rate { rate, hit, .. } = &answer {
            (self.weights)(*rate, (diff * isize::from(*hit), diff));
        }
        if !self.is_restoring {
            self.updates.reasons.push(((answer, cause), self.time, diff));
        }
    }
}

/// What changes about persons, for the edge to publish.
#[derive(Debug, Default)]
pub struct PersonUpdates {
    /// Of persons that come together, come apart or are woken: what counts is their sum.
    pub reasons: Vec<(Reason, u64, isize)>,
    /// Of all others, at the time of the tick: final.
    pub final_changes: Vec<FinalChange>,
    /// The rates that these have moved.
    pub rates: Rates,
}

/// What arrived for one logical time.
#[derive(Default)]
struct Batch {
    facts: Vec<((Subject, Fact), isize)>,
    events: Vec<((Subject, EventFact), isize)>,
    context: Option<Arc<Context>>,
}

impl Batch {
    fn take_in(&mut self, (person, fact): (Subject, Fact), diff: isize) {
        match fact {
            Fact::Event(event) => self.events.push(((person, event), diff)),
            fact => self.facts.push(((person, fact), diff)),
        }
    }
}

/// From (person, fact) to what is true of each person, as exact differences: first what the passing
/// of time changes, each at its own logical time, then what the facts of a time change. They go to
/// `updates`, but for the weight of each person in each rate. `wakeup` always has the least wake-up of
/// this worker, and `people` its persons.
pub fn persons<'s>(
    facts: VecCollection<'s, u64, (Subject, Fact)>,
    contexts: StreamVec<'s, u64, Arc<Context>>,
    wakeup: Wakeup,
    people: Shared<Persons>,
    updates: Rc<RefCell<PersonUpdates>>,
) -> VecCollection<'s, u64, RateKey, Weight> {
    let pact = Exchange::new(|((person, _), _, _): &((Subject, Fact), u64, isize)| route(person));
    let stream = facts.inner.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        contexts,
        pact,
        Pipeline,
        "Persons",
        |_, _| {
            let mut pending = Pending::<Batch>::new();
            move |(facts, facts_frontier), (contexts, contexts_frontier), output| {
                let mut persons = people.borrow_mut();
                facts.for_each(|capability, rows| {
                    pending.hold(capability.retain_least(0));
                    for (fact, time, diff) in rows.drain(..) {
                        pending.at(time).take_in(fact, diff);
                    }
                });
                contexts.for_each(|capability, rows| {
                    let Some(capability) = capability.retain_least(0) else { return };
                    pending.at(*capability.time()).context = rows.pop();
                    pending.hold(Some(capability));
                });
                let done =
                    |t: &u64| complete(*t, facts_frontier) && complete(*t, contexts_frontier);
                let least = |pending: &Pending<Batch>, persons: &Persons| {
                    pending.least().into_iter().chain(persons.next_wakeup()).min()
                };
                while let Some(time) = least(&pending, &persons).filter(&done) {
                    let Some((capability, batch)) = pending.take(time) else { break };
                    let mut session = output.session(&capability);
                    let weights = &mut |rate, weight| session.give((rate, time, weight));
                    let updates = &mut *updates.borrow_mut();
                    let is_restoring =
                        batch.context.as_ref().is_some_and(|context| context.is_restoring);
                    let mut emit = Emit { time, is_restoring, updates, weights };
                    persons.wake(time, &mut emit);
                    persons.take_in(time, batch, &mut emit);
                }
                wakeup.set(persons.next_wakeup());
                pending.release_before(least(&pending, &persons));
            }
        },
    );
    stream.as_collection()
}
