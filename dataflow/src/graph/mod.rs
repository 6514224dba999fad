//! The one place where the views are wired to each other. `links` says who is linked to whom, `seam`
//! turns facts about customers into facts about persons.
//!
//! ```text
//! said → customers ─┬─ links, identifiers → stars → components → cap → losers ─┐
//! anonymous ────────┼────────────────────────▴      └ sole ────────────────────┤
//! events            └─ members, attributes, …           erased, forgotten → detours
//!   └──────────────────── facts ◂─┘     ◂── quarantined (stars, cap)           │
//!   facts ++ facts ⋈ detours (where it goes +1, where it was −1) ◂─────────────┘
//!     → persons (woken by time as well) → answers → totals
//! ```

use std::cell::RefCell;
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;

use cebe_schemas::change::Cause;
use cebe_schemas::fact::{EventFact, Identifier};
use cebe_schemas::id::{Subject, Token};
use cebe_schemas::time::Millis;
use differential_dataflow::input::{Input as _, InputSession};
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::operators::Input as _;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::{InputHandleVec, Scope};
use timely::worker::Worker;

use crate::operator::Shared;
use crate::operator::customers::{Counts, Customer, customers};
use crate::operator::detour::{Leave, Reasons, detours};
use crate::operator::distinct::distinct;
use crate::operator::forget::Forgotten;
use crate::operator::persons::{
    Context, FinalChange, PersonUpdates, Persons, Rates, Wakeup, persons,
};
use crate::operator::sharded::Sharded;
use crate::operator::star::{Holders, Role};
use crate::row::{AccountId, Answer, Fact, RateKey, Reason, Said, Weight};
use crate::view::rate;

/// One worker's part of the input of a tick.
#[derive(Debug, Default)]
pub struct Shard {
    /// What is said of known customers, and of aliases.
    pub said: Vec<(Subject, Said)>,
    /// The erasures among them.
    pub erased: Vec<(Subject, Millis)>,
    pub events: Vec<(Subject, EventFact)>,
    /// The identifiers of events without a customer id.
    pub anonymous: Vec<(Subject, Identifier)>,
    /// Who named which identifier when.
    pub namings: Vec<(Subject, Named)>,
    /// The same for all workers.
    pub context: Option<Arc<Context>>,
}

/// One worker's part of the answer to a tick: updates with their logical times.
#[derive(Debug, Default)]
pub struct Answers {
    pub reasons: Vec<(Reason, u64, isize)>,
    /// At the time of the tick.
    pub final_changes: Vec<FinalChange>,
    /// Rates that these have moved, and why.
    pub rates: Rates,
    pub totals: Vec<((RateKey, Weight), u64, isize)>,
    pub next_wakeup: Option<u64>,
}

/// An identifier, when the event happened that names it, and the tenant.
pub type Named = (Token, Millis, AccountId);

mod asked;
mod links;
mod seam;

pub use asked::Holds;

use links::{linked, linked_customers, members};
use seam::{by_person, forgotten};

type Collected<D> = Rc<RefCell<Vec<(D, u64, isize)>>>;

/// The dataflow of one worker.
pub struct Graph {
    said: InputSession<u64, (Subject, Said), isize>,
    erased: InputSession<u64, (Subject, Millis), isize>,
    events: InputSession<u64, (Subject, EventFact), isize>,
    anonymous: InputSession<u64, (Subject, Identifier), isize>,
    namings: InputSession<u64, (Subject, Named), isize>,
    contexts: InputHandleVec<u64, Arc<Context>>,
    updates: Rc<RefCell<PersonUpdates>>,
    forgotten: Collected<Reason>,
    totals: Collected<(RateKey, Weight)>,
    wakeup: Wakeup,
    state: State,
    probe: Handle<u64>,
}

/// The state of operators, to be read between ticks.
#[derive(Default)]
struct State {
    customers: Shared<Sharded<Subject, Customer>>,
    detours: Shared<Sharded<Subject, Reasons>>,
    holders: Shared<Sharded<Token, Holders>>,
    persons: Shared<Persons>,
}

impl Graph {
    /// Builds the dataflow on `worker`.
    pub fn build(worker: &mut Worker) -> Graph {
        worker.dataflow_named("Customers", Graph::wire)
    }

    fn wire(scope: Scope<'_, u64>) -> Graph {
        let (said, statements) = scope.new_collection();
        let (erasures, erased) = scope.new_collection();
        let (events, event_facts) = scope.new_collection();
        let (anonymous, named) = scope.new_collection();
        let (namings, naming_rows) = scope.new_collection();
        let (contexts, context_stream) = scope.new_input();

        let state = State::default();
        let counts = customers(statements, state.customers.clone());
        let seekers = distinct(named.clone(), "Seekers", 1, |named: &_| *named);
        let held = seekers.map(|(seeker, identifier)| (identifier, Role::Seeks, seeker));
        let held = held.concat(counts.clone().flat_map(|(subject, counts)| match counts {
            Counts::Holds(identifier) => Some((identifier, Role::Holds, subject)),
            _ => None,
        }));
        let (pairs, holders) = (linked(counts.clone()), state.holders.clone());
        let (losers, quarantined) = linked_customers(held, pairs, context_stream.clone(), holders);
        let forgotten = forgotten(naming_rows, named.clone(), erased.clone());
        let along = forgotten.clone().flat_map(|forgotten| match forgotten {
            Forgotten::Seeker(seeker, until_ms) => Some((seeker, until_ms)),
            Forgotten::Identifier(..) => None,
        });
        let identifiers = forgotten.flat_map(|forgotten| match forgotten {
            Forgotten::Identifier(account, token, until_ms) => {
                Some((Answer::Forgotten { account, token, until_ms }, Cause::Erase))
            }
            Forgotten::Seeker(..) => None,
        });
        let gone = erased.clone().concat(along);
        let leaves = losers
            .map(|(loser, winner)| (loser, Leave::For(winner)))
            .concat(gone.map(|(subject, until_ms)| (subject, Leave::Erased(until_ms))));

        let aliases = distinct(named.map(|(seeker, _)| seeker), "Aliases", 1, |seeker: &_| *seeker);
        let facts = members(counts.clone()).concatenate([
            aliases.map(|seeker| (seeker, Fact::Alias(Box::new(seeker)))),
            erased.clone().map(|erasure| (erasure.0, Fact::Erased(Box::new(erasure)))),
            counts.flat_map(|(subject, counts)| match counts {
                Counts::Fact(fact) => Some((subject, fact)),
                _ => None,
            }),
            quarantined.map(|q| (q.subject, Fact::Quarantined(Box::new(q)))),
        ]);

        let wakeup = Wakeup::default();
        let updates = Rc::new(RefCell::new(PersonUpdates::default()));
        let by_person = by_person(facts, event_facts, detours(leaves, state.detours.clone()));
        let (people, sink) = (state.persons.clone(), updates.clone());
        let weights = persons(by_person, context_stream, wakeup.clone(), people, sink);
        let (forgotten, reasons) = collected(identifiers);
        let (totals, total_rows) = collected(rate::totals(weights));
        let probe = Handle::new();
        let (totals, forgotten) = (totals.probe_with(&probe), forgotten.probe_with(&probe));
        drop((totals, forgotten));
        Graph {
            said,
            erased: erasures,
            events,
            anonymous,
            namings,
            contexts,
            updates,
            forgotten: reasons,
            totals: total_rows,
            wakeup,
            state,
            probe,
        }
    }

    /// Hands in the rows of `time` and ends it.
    pub fn feed(&mut self, time: u64, shard: Shard) {
        feed(&mut self.said, time, shard.said);
        feed(&mut self.erased, time, shard.erased);
        feed(&mut self.events, time, shard.events);
        feed(&mut self.anonymous, time, shard.anonymous);
        feed(&mut self.namings, time, shard.namings);
        self.contexts.advance_to(time);
        if let Some(context) = shard.context {
            self.contexts.send(context);
        }
        self.contexts.advance_to(time + 1);
    }

    /// Whether something at `time` or before has not left yet, on any worker.
    pub fn is_behind(&self, time: u64) -> bool {
        self.probe.less_equal(&time)
    }

    /// What has left on this worker.
    pub fn answers(&mut self) -> Answers {
        let updates = take(&mut *self.updates.borrow_mut());
        let PersonUpdates { mut reasons, final_changes, rates } = updates;
        reasons.append(&mut self.forgotten.borrow_mut());
        Answers {
            reasons,
            final_changes,
            rates,
            totals: take(&mut self.totals.borrow_mut()),
            next_wakeup: self.wakeup.get(),
        }
    }
}

fn collected<D: Clone + 'static>(
    rows: VecCollection<'_, u64, D>,
) -> (VecCollection<'_, u64, D>, Collected<D>) {
    let collected = Collected::default();
    let sink = collected.clone();
    (rows.inspect_batch(move |_, batch| sink.borrow_mut().extend_from_slice(batch)), collected)
}

fn feed<D: ExchangeData>(input: &mut InputSession<u64, D, isize>, time: u64, rows: Vec<D>) {
    input.advance_to(time);
    rows.into_iter().for_each(|row| input.insert(row));
    input.advance_to(time + 1);
    input.flush();
}
