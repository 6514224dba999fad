//! The one place where the views are wired to each other.
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

use cebe_schemas::change::{Cause, Quarantine};
use cebe_schemas::fact::{EventFact, Identifier};
use cebe_schemas::id::{Subject, Token};
use cebe_schemas::time::Millis;
use differential_dataflow::input::{Input as _, InputSession};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Input as _, Probe as _};
use timely::dataflow::{InputHandleVec, Scope, StreamVec};
use timely::worker::Worker;

use crate::operator::cap::{Capped, cap};
use crate::operator::customers::{Counts, customers};
use crate::operator::detour::{Detour, Leave, detours};
use crate::operator::distinct::distinct;
use crate::operator::forget::{About, Forgotten, forget};
use crate::operator::persons::{Context, Wakeup, persons};
use crate::operator::sole::sole;
use crate::operator::star::{Role, Star, stars};
use crate::row::{
    AccountId, Answer, Fact, Member, Quarantined, RateKey, Reason, Statement, Weight,
};
use crate::view::{identity, rate};

/// One worker's part of the input of a tick.
#[derive(Debug, Default)]
pub struct Shard {
    /// Statements about known customers, and about aliases.
    pub said: Vec<(Subject, Statement)>,
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
    pub totals: Vec<((RateKey, Weight), u64, isize)>,
    pub next_wakeup: Option<u64>,
}

/// An identifier, when the event happened that names it, and the tenant.
type Named = (Token, Millis, AccountId);

type Collected<D> = Rc<RefCell<Vec<(D, u64, isize)>>>;

/// The dataflow of one worker.
pub struct Graph {
    said: InputSession<u64, (Subject, Statement), isize>,
    events: InputSession<u64, (Subject, EventFact), isize>,
    anonymous: InputSession<u64, (Subject, Identifier), isize>,
    namings: InputSession<u64, (Subject, Named), isize>,
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
        let (said, statements) = scope.new_collection();
        let (events, event_facts) = scope.new_collection();
        let (anonymous, named) = scope.new_collection();
        let (namings, naming_rows) = scope.new_collection();
        let (contexts, context_stream) = scope.new_input();

        let erased = statements.clone().flat_map(|(subject, statement)| match statement {
            Statement::Erased(until_ms) => Some((subject, until_ms)),
            _ => None,
        });
        let counts = customers(statements);
        let seekers = distinct(named.clone(), "Seekers", 1, |named: &_| *named);
        let held = seekers.map(|(seeker, identifier)| (identifier, Role::Seeks, seeker));
        let held = held.concat(counts.clone().flat_map(|(subject, counts)| match counts {
            Counts::Holds(identifier) => Some((identifier, Role::Holds, subject)),
            _ => None,
        }));
        let (losers, quarantined) =
            linked_customers(held, linked(counts.clone()), context_stream.clone());
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
            aliases.map(|seeker| (seeker, Fact::Alias(seeker))),
            erased.clone().map(|(subject, until_ms)| (subject, Fact::Erased(subject, until_ms))),
            counts.flat_map(|(subject, counts)| match counts {
                Counts::Fact(fact) => Some((subject, fact)),
                _ => None,
            }),
            quarantined.map(|q| (q.subject, Fact::Quarantined(Box::new(q)))),
            event_facts.map(|(subject, event)| (subject, Fact::Event(event))),
        ]);

        let wakeup = Wakeup::default();
        let answers = persons(by_person(facts, detours(leaves)), context_stream, wakeup.clone());
        let (answers, reasons) = collected(answers.concat(identifiers));
        let (totals, total_rows) = collected(rate::totals(answers));
        let probe = totals.inner.probe().0;
        Graph {
            said,
            events,
            anonymous,
            namings,
            contexts,
            reasons,
            totals: total_rows,
            wakeup,
            probe,
        }
    }

    /// Hands in the rows of `time` and ends it.
    pub fn feed(&mut self, time: u64, shard: Shard) {
        feed(&mut self.said, time, shard.said);
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
        Answers {
            reasons: take(&mut self.reasons.borrow_mut()),
            totals: take(&mut self.totals.borrow_mut()),
            next_wakeup: self.wakeup.get(),
        }
    }
}

/// Customers that exist: an event is theirs, or an event of another customer names them, and
/// neither of the two was erased since.
fn members<'s>(
    counts: VecCollection<'s, u64, (Subject, Counts)>,
) -> VecCollection<'s, u64, (Subject, Fact)> {
    let own = counts.clone().flat_map(|(_, counts)| match counts {
        Counts::Member(member) => Some(member),
        _ => None,
    });
    let mentions = counts.flat_map(|(_, counts)| match counts {
        Counts::Mention(by, member) => Some((by, member)),
        _ => None,
    });
    let by_both =
        distinct(mentions, "Mentions", 2, |(by, named): &(_, Arc<Member>)| (*by, named.subject));
    let all = own.concat(by_both.map(|(_, member)| member));
    distinct(all, "Members", 1, |member: &Arc<Member>| member.subject)
        .map(|member| (member.subject, Fact::Member(member)))
}

/// Pairs that are linked explicitly, and of which neither was erased since.
fn linked<'s>(
    counts: VecCollection<'s, u64, (Subject, Counts)>,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let said = counts.flat_map(|(_, counts)| match counts {
        Counts::Linked(pair) => Some(pair),
        _ => None,
    });
    distinct(said, "Links", 2, |pair: &_| *pair)
}

/// From what customers hold and the pairs that are linked explicitly to (loser, winner), and those
/// that are kept from being linked. A person of too many members falls into the pieces that
/// explicit links make. Who names identifiers of one person only loses to that person.
fn linked_customers<'s>(
    held: VecCollection<'s, u64, (Identifier, Role, Subject)>,
    pairs: VecCollection<'s, u64, (Subject, Subject)>,
    contexts: StreamVec<'s, u64, Arc<Context>>,
) -> (VecCollection<'s, u64, (Subject, Subject)>, VecCollection<'s, u64, Quarantined>) {
    let stars = stars(held, contexts.clone());
    let links = stars.clone().flat_map(|star| match star {
        Star::Link(a, b) => Some((a, b)),
        _ => None,
    });
    let found = stars.clone().flat_map(|star| match star {
        Star::Found(customer, seeker) => Some((customer, seeker)),
        _ => None,
    });
    let hubs = stars.flat_map(|star| match star {
        Star::Quarantined(quarantined) => Some(quarantined),
        _ => None,
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
    let losers = losers.concat(pieces);
    let seekers = sole(found_persons(found, losers.clone()));
    (losers.concat(seekers), hubs.concat(crowds))
}

/// From (customer, seeker) to (person, seeker).
fn found_persons<'s>(
    found: VecCollection<'s, u64, (Subject, Subject)>,
    losers: VecCollection<'s, u64, (Subject, Subject)>,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let moves = found
        .clone()
        .arrange_by_key_named("Arrange: Found")
        .join_core(losers.arrange_by_key_named("Arrange: Losers"), |loser, seeker, winner| {
            [((*winner, *seeker), 1), ((*loser, *seeker), -1)]
        });
    moved(found, moves)
}

/// What is erased along with customers.
fn forgotten<'s>(
    namings: VecCollection<'s, u64, (Subject, Named)>,
    named: VecCollection<'s, u64, (Subject, Identifier)>,
    erased: VecCollection<'s, u64, (Subject, Millis)>,
) -> VecCollection<'s, u64, Forgotten> {
    let reached = namings.clone().arrange_by_key_named("Arrange: Namings").join_core(
        erased.arrange_by_key_named("Arrange: Erased"),
        |customer, (token, at, _), until_ms| {
            (at <= until_ms).then_some((*token, About::Erased(*customer, *until_ms)))
        },
    );
    let names = namings
        .map(|(customer, (token, at, account))| (token, About::Named(customer, at, account)));
    let seekers = named.map(|(seeker, found)| (found.token, About::Sought(seeker)));
    forget(names.concatenate([reached, seekers]))
}

/// Facts by person instead of by customer: those of a customer that leaves go along, but for what is
/// erased. The one place behind which nobody knows that merging exists.
fn by_person<'s>(
    facts: VecCollection<'s, u64, (Subject, Fact)>,
    detours: VecCollection<'s, u64, (Subject, Detour)>,
) -> VecCollection<'s, u64, (Subject, Fact)> {
    let moves = facts.clone().arrange_by_key_named("Arrange: Facts").join_core(
        detours.arrange_by_key_named("Arrange: Detours"),
        |subject, fact, detour| {
            let is_erased = fact.happened_at().is_some_and(|at| Some(at) <= detour.erased_until_ms);
            let goes = is_erased || detour.to.is_some();
            let leaves = goes.then(|| ((*subject, fact.clone()), -1));
            let comes = match fact {
                Fact::Event(event) if is_erased => {
                    Some((detour.to.unwrap_or(*subject), Fact::Taken(*event)))
                }
                _ if is_erased => None,
                fact => detour.to.map(|to| (to, fact.clone())),
            };
            leaves.into_iter().chain(comes.map(|row| (row, 1)))
        },
    );
    moved(facts, moves)
}

/// `rows` and what a join adds to them and takes away.
fn moved<'s, D: ExchangeData>(
    rows: VecCollection<'s, u64, D>,
    moves: VecCollection<'s, u64, (D, isize)>,
) -> VecCollection<'s, u64, D> {
    let moves = moves.inner.map(|((row, sign), time, diff)| (row, time, sign * diff));
    rows.concat(moves.as_collection())
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
