//! The one place where the views are wired to each other.
//!
//! ```text
//! known       → distinct → facts                      identifiers → hold → stars ─┐
//! events      → facts                                 merges      → merge ────────┤
//! facts ++ facts ⋈ losers (winner +1, loser −1) ◂─────────────── losers ◂─────────┘
//!   → persons (woken by time as well) → answers → totals
//! ```

use std::cell::RefCell;
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;

use cebe_schemas::fact::{EventFact, IdentifierFact, MergeFact};
use cebe_schemas::id::Subject;
use differential_dataflow::input::{Input as _, InputSession};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Input as _, Probe as _};
use timely::dataflow::{InputHandleVec, Scope};
use timely::worker::Worker;

use crate::operator::persons::{Context, Wakeup, persons};
use crate::operator::{distinct, hold, merge, star};
use crate::row::{Fact, Member, RateKey, Reason, Weight};
use crate::view::{identity, rate};

/// One worker's part of the input of a tick.
#[derive(Debug, Default)]
pub struct Shard {
    pub known: Vec<Member>,
    pub events: Vec<(Subject, EventFact)>,
    pub identifiers: Vec<IdentifierFact>,
    pub merges: Vec<MergeFact>,
    /// The same for all workers.
    pub context: Option<Arc<Context>>,
}

/// One worker's part of the answer to a tick: updates with their logical times.
#[derive(Debug, Default)]
pub struct Answers {
    pub reasons: Vec<(Reason, u64, isize)>,
    pub totals: Vec<((RateKey, Weight), u64, isize)>,
    pub next_wakeup: Option<u64>,
}

type Collected<D> = Rc<RefCell<Vec<(D, u64, isize)>>>;

/// The dataflow of one worker.
pub struct Graph {
    known: InputSession<u64, Member, isize>,
    events: InputSession<u64, (Subject, EventFact), isize>,
    identifiers: InputSession<u64, IdentifierFact, isize>,
    merges: InputSession<u64, MergeFact, isize>,
    contexts: InputHandleVec<u64, Arc<Context>>,
    reasons: Collected<Reason>,
    totals: Collected<(RateKey, Weight)>,
    wakeup: Wakeup,
    probe: Handle<u64>,
}

impl Graph {
    /// Builds the dataflow on `worker`.
    pub fn build(worker: &mut Worker, holders_max: usize) -> Graph {
        worker.dataflow_named("Customers", |scope| Graph::wire(scope, holders_max))
    }

    fn wire(scope: Scope<'_, u64>, holders_max: usize) -> Graph {
        let (known, mentions) = scope.new_collection();
        let (events, event_facts) = scope.new_collection();
        let (identifiers, identifier_facts) = scope.new_collection();
        let (merges, merge_facts) = scope.new_collection();
        let (contexts, context_stream) = scope.new_input();

        let stars = star::stars(hold::hold(identifier_facts), holders_max);
        let losers = identity::losers(stars.concat(merge::merge(merge_facts)));
        let members = distinct::distinct(mentions)
            .map(|member| (member.subject, Fact::Member(Arc::new(member))));
        let facts =
            members.concat(event_facts.map(|(subject, event)| (subject, Fact::Event(event))));

        let wakeup = Wakeup::default();
        let answers = persons(by_person(facts, losers), context_stream, wakeup.clone());
        let (answers, reasons) = collected(answers);
        let (totals, total_rows) = collected(rate::totals(answers));
        let probe = totals.inner.probe().0;
        Graph {
            known,
            events,
            identifiers,
            merges,
            contexts,
            reasons,
            totals: total_rows,
            wakeup,
            probe,
        }
    }

    /// Hands in the rows of `time` and ends it.
    pub fn feed(&mut self, time: u64, shard: Shard) {
        feed(&mut self.known, time, shard.known);
        feed(&mut self.events, time, shard.events);
        feed(&mut self.identifiers, time, shard.identifiers);
        feed(&mut self.merges, time, shard.merges);
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
        Answers {
            reasons: take(&mut self.reasons.borrow_mut()),
            totals: take(&mut self.totals.borrow_mut()),
            next_wakeup: self.wakeup.get(),
        }
    }
}

/// Facts by person instead of by customer: those of a loser move to its winner, for as long as it
/// loses. The one place behind which nobody knows that merging exists.
fn by_person<'s>(
    facts: VecCollection<'s, u64, (Subject, Fact)>,
    losers: VecCollection<'s, u64, (Subject, Subject)>,
) -> VecCollection<'s, u64, (Subject, Fact)> {
    let moves = facts
        .clone()
        .arrange_by_key_named("Arrange: Facts")
        .join_core(losers.arrange_by_key_named("Arrange: Losers"), |loser, fact, winner| {
            [((*winner, fact.clone()), 1), ((*loser, fact.clone()), -1)]
        });
    let moves = moves.inner.map(|((fact, sign), time, diff)| (fact, time, sign * diff));
    facts.concat(moves.as_collection())
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
