//! The one place where the views are wired to each other.
//!
//! ```text
//! known, teams        → distinct ─┐     attributes → latest ─┬─ identifiers → stars ─┐
//! assertions → latest, events     ├─ facts ◂────────────────┘      merges → latest ──┴─ components
//!                                 │    ◂── quarantined ◂── stars, cap ◂────────────────────┘
//! facts ++ facts ⋈ losers (winner +1, loser −1) ◂── losers ◂─┘
//!   → persons (woken by time as well) → answers → totals
//! ```

use std::cell::RefCell;
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;

use cebe_schemas::change::Quarantine;
use cebe_schemas::fact::{AttributeFact, EventFact, Identifier, MergeFact};
use cebe_schemas::id::Subject;
use differential_dataflow::input::{Input as _, InputSession};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Input as _, Probe as _};
use timely::dataflow::{InputHandleVec, Scope, StreamVec};
use timely::worker::Worker;

use crate::operator::cap::{Capped, cap};
use crate::operator::distinct::distinct;
use crate::operator::latest::latest;
use crate::operator::persons::{Context, Wakeup, persons};
use crate::operator::star::{Star, stars};
use crate::row::{Assertion, Fact, Member, Quarantined, RateKey, Reason, Weight};
use crate::view::{identity, rate};

/// One worker's part of the input of a tick.
#[derive(Debug, Default)]
pub struct Shard {
    pub known: Vec<Member>,
    pub events: Vec<(Subject, EventFact)>,
    pub attributes: Vec<Arc<AttributeFact>>,
    pub identifiers: Vec<(Identifier, Subject)>,
    pub merges: Vec<MergeFact>,
    pub assertions: Vec<Arc<Assertion>>,
    pub teams: Vec<(Subject, Arc<str>)>,
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
    attributes: InputSession<u64, Arc<AttributeFact>, isize>,
    identifiers: InputSession<u64, (Identifier, Subject), isize>,
    merges: InputSession<u64, MergeFact, isize>,
    assertions: InputSession<u64, Arc<Assertion>, isize>,
    teams: InputSession<u64, (Subject, Arc<str>), isize>,
    contexts: InputHandleVec<u64, Arc<Context>>,
    reasons: Collected<Reason>,
    totals: Collected<(RateKey, Weight)>,
    wakeup: Wakeup,
    probe: Handle<u64>,
}

impl Graph {
    /// Builds the dataflow on `worker`.
    pub fn build(worker: &mut Worker) -> Graph {
        worker.dataflow_named("Customers", Graph::wire)
    }

    fn wire(scope: Scope<'_, u64>) -> Graph {
        let (known, mentions) = scope.new_collection();
        let (events, event_facts) = scope.new_collection();
        let (attributes, attribute_facts) = scope.new_collection();
        let (identifiers, further) = scope.new_collection();
        let (merges, merge_facts) = scope.new_collection();
        let (assertions, assertion_facts) = scope.new_collection();
        let (teams, team_facts) = scope.new_collection();
        let (contexts, context_stream) = scope.new_input();

        let attribute_facts = latest(attribute_facts, "Attributes");
        let identifying = |fact: Arc<AttributeFact>| Some((fact.identifier?, fact.subject));
        let held = further.concat(attribute_facts.clone().flat_map(identifying));
        let linked = latest(merge_facts, "Merges").filter(|merge: &MergeFact| merge.linked);
        let (losers, quarantined) =
            linked_customers(held, linked.map(|merge| merge.pair), context_stream.clone());

        let members = distinct(mentions, "Members", |member: &Member| member.subject);
        let teams_once = distinct(team_facts, "Teams", |team: &(Subject, Arc<str>)| team.clone());
        let assertion_facts = latest(assertion_facts, "Assertions");
        let facts = members.map(|m| (m.subject, Fact::Member(Arc::new(m)))).concatenate([
            attribute_facts.map(|a| (a.subject, Fact::Attribute(a))),
            teams_once.map(|(subject, team)| (subject, Fact::Team(team))),
            assertion_facts.map(|a: Arc<Assertion>| (a.subject, Fact::Assertion(a))),
            quarantined.map(|q| (q.subject, Fact::Quarantined(Box::new(q)))),
            event_facts.map(|(subject, event)| (subject, Fact::Event(event))),
        ]);

        let wakeup = Wakeup::default();
        let answers = persons(by_person(facts, losers), context_stream, wakeup.clone());
        let (answers, reasons) = collected(answers);
        let (totals, total_rows) = collected(rate::totals(answers));
        let probe = totals.inner.probe().0;
        Graph {
            known,
            events,
            attributes,
            identifiers,
            merges,
            assertions,
            teams,
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
        feed(&mut self.attributes, time, shard.attributes);
        feed(&mut self.identifiers, time, shard.identifiers);
        feed(&mut self.merges, time, shard.merges);
        feed(&mut self.assertions, time, shard.assertions);
        feed(&mut self.teams, time, shard.teams);
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

/// From what customers hold and the pairs that are linked explicitly to (loser, winner), and those
/// that are kept from being linked. A person of too many members falls into the pieces that
/// explicit links make.
fn linked_customers<'s>(
    held: VecCollection<'s, u64, (Identifier, Subject)>,
    pairs: VecCollection<'s, u64, (Subject, Subject)>,
    contexts: StreamVec<'s, u64, Arc<Context>>,
) -> (VecCollection<'s, u64, (Subject, Subject)>, VecCollection<'s, u64, Quarantined>) {
    let stars = stars(held, contexts.clone());
    let links = stars.clone().flat_map(|star| match star {
        Star::Link(a, b) => Some((a, b)),
        Star::Quarantined(_) => None,
    });
    let hubs = stars.flat_map(|star| match star {
        Star::Quarantined(quarantined) => Some(quarantined),
        Star::Link(..) => None,
    });
    let (losers, explicit_losers) = identity::losers(links, pairs);
    let capped = cap(losers, contexts);
    let losers = capped.clone().flat_map(|row| match row {
        Capped::Loser(loser, winner) => Some((loser, winner)),
        Capped::TooMany(..) => None,
    });
    let too_many = capped.flat_map(|row| match row {
        Capped::TooMany(member, cluster) => Some((member, cluster)),
        Capped::Loser(..) => None,
    });
    let pieces = explicit_losers
        .arrange_by_key_named("Arrange: Pieces")
        .join_core(too_many.clone().arrange_by_key_named("Arrange: Capped"), |loser, winner, _| {
            Some((*loser, *winner))
        });
    let crowds = too_many.map(|(subject, cluster)| Quarantined {
        reason: Quarantine::Members,
        token: None,
        cluster: Some(cluster),
        subject,
    });
    (losers.concat(pieces), hubs.concat(crowds))
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
