//! The dataflow from outside: one tick in, its exact changes out.

use std::sync::Arc;

use cebe_schemas::change::TickOutput;
use cebe_schemas::definition::Definitions;
use cebe_schemas::fact::{EventFact, Linking, MergeFact, Naming, TickInput};
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;
use hashbrown::HashSet;
use timely::worker::Worker;

use crate::costs::OperatorCosts;
use crate::error::DataflowError;
use crate::graph::{Graph, Shard};
use crate::names::Names;
use crate::operator::persons::Context;
use crate::operator::route;
use crate::publish::{Memberships, Updates, Values};
use crate::row::{Said, Statement};
use crate::worker::{Order, Workers};

mod customer;
mod explain;
mod preview;
mod restore;

pub use customer::CountsIn;
pub use explain::{Asked, Explained, Found};
pub use preview::{PreviewStep, Previewed};
pub use restore::Restore;

/// The greatest number of workers.
pub const WORKERS_MAX: usize = 64;
/// An event that happened longer than this before its arrival is late (product §9.3).
pub const LATE_AFTER_MS: Millis = 3_600_000;

/// Identities, segments and rates, kept correct tick by tick.
///
/// The answers are a function of the inputs and their logical times only: the same for any number
/// of workers, and again on every replay.
pub struct Dataflow {
    workers: Workers,
    names: Names,
    members: Memberships,
    values: Values,
    /// In force, as given last.
    definitions: Arc<Definitions>,
    linking: Arc<Linking>,
    /// What the preview under way is about.
    preview: Option<preview::Edits>,
    last_ms: Option<Millis>,
    /// What comes of an input has been published before.
    is_restoring: bool,
    failed: bool,
}

impl Dataflow {
    /// Starts `workers` worker threads, 1 to [`WORKERS_MAX`], with no state. More than there are
    /// cores is slower.
    ///
    /// # Errors
    /// [`DataflowError::Workers`], [`DataflowError::Start`].
    pub fn start(workers: usize) -> Result<Dataflow, DataflowError> {
        Dataflow::built(workers, Graph::build)
    }

    /// As [`Dataflow::start`], and tells what each operator costs.
    ///
    /// # Errors
    /// Those of [`Dataflow::start`].
    pub fn measured(workers: usize) -> Result<(Dataflow, OperatorCosts), DataflowError> {
        let costs = OperatorCosts::default();
        let watch = costs.clone();
        let build = move |worker: &mut Worker| {
            watch.watch(worker);
            Graph::build(worker)
        };
        Ok((Dataflow::built(workers, build)?, costs))
    }

    fn built(
        workers: usize,
        build: impl Fn(&mut Worker) -> Graph + Send + Sync + 'static,
    ) -> Result<Dataflow, DataflowError> {
        if workers == 0 || workers > WORKERS_MAX {
            return Err(DataflowError::Workers { workers, max: WORKERS_MAX });
        }
        Ok(Dataflow {
            workers: Workers::start(workers, build)?,
            names: Names::new(),
            members: Memberships::default(),
            values: Values::default(),
            definitions: Arc::default(),
            linking: Arc::default(),
            preview: None,
            last_ms: None,
            is_restoring: false,
            failed: false,
        })
    }

    /// Takes in everything that belongs to `input.t_ms`, lets time pass until then, and returns
    /// what has changed since the last tick, once all of it has.
    ///
    /// # Errors
    /// `input.t_ms` must be later than at the last tick, or nothing happens:
    /// [`DataflowError::TimeNotLater`], [`DataflowError::TimeOutOfRange`]. Any other error is for
    /// good, and every tick after it answers [`DataflowError::Failed`].
    pub fn tick(&mut self, input: TickInput) -> Result<TickOutput, DataflowError> {
        let t_ms = input.t_ms;
        let time = u64::try_from(t_ms).ok().filter(|_| t_ms < Millis::MAX);
        let time = time.ok_or(DataflowError::TimeOutOfRange { t_ms })?;
        if self.failed {
            return Err(DataflowError::Failed);
        }
        if let Some(last_ms) = self.last_ms.filter(|last_ms| *last_ms >= t_ms) {
            return Err(DataflowError::TimeNotLater { t_ms, last_ms });
        }
        let output = self.answer(time, input);
        self.last_ms = Some(t_ms);
        self.failed = output.is_err();
        output
    }

    fn answer(&mut self, time: u64, mut input: TickInput) -> Result<TickOutput, DataflowError> {
        let (t_ms, definitions) = (input.t_ms, input.definitions.take());
        let context = Context {
            plan: definitions.as_ref().map(|new| Arc::new(self.names.plan(new))),
            is_first: self.last_ms.is_none(),
            is_restoring: self.is_restoring,
            spoken_of: match input.linking {
                Some(_) => spoken_of(&input),
                None => HashSet::new(),
            },
            linking: input.linking.take(),
            erased: input.erasures.iter().map(|(subject, _)| *subject).collect(),
            backfilled: std::mem::take(&mut input.backfilled).into_iter().collect(),
            late: late(&input.events, t_ms),
        };
        if let Some(new) = &definitions {
            self.definitions = new.clone();
        }
        if let Some(new) = &context.linking {
            self.linking = new.clone();
        }
        let orders = self.shards(input, context).into_iter();
        let answers =
            self.workers.tick(orders.map(|shard| Order::Tick { time, shard }).collect())?;
        let (mut updates, mut next_wakeup) = (Updates::default(), None);
        for mut answer in answers {
            updates.take_in(&mut answer);
            next_wakeup = next_wakeup.into_iter().chain(answer.next_wakeup).min();
        }
        if self.is_restoring {
            updates.restore(&mut self.values);
        }
        let new = definitions.as_deref().map(|new| (time, new));
        Ok(TickOutput {
            t_ms,
            moments: updates.publish(
                time,
                &mut self.names,
                &mut self.members,
                &mut self.values,
                new,
            )?,
            next_wakeup_ms: next_wakeup.and_then(|at| Millis::try_from(at).ok()),
        })
    }

    /// Each row goes where its key lives, so that most need not be sent on.
    fn shards(&mut self, input: TickInput, context: Context) -> Vec<Shard> {
        let workers = self.workers.count();
        let mut shards: Vec<_> = (0..workers).map(|_| Shard::default()).collect();
        let home = |subject: &Subject| (route(subject) % workers as u64) as usize;
        for name in input.groups {
            self.names.name_group(name);
        }
        let mut hear = |subject: Subject, said| {
            shards[home(&subject)].said.push((subject, said));
        };
        for known in input.known {
            let (at, by) = (known.occurred_at_ms, known.by);
            let team = known.team.clone().map(|team| self.names.text(team));
            let member = self.names.member(known);
            match by {
                None => hear(member.subject, Said::Known(member, team, at)),
                Some(by) => {
                    let member = Arc::new(member);
                    let mention = Statement::Mention(Box::new((by, member.clone(), at)));
                    hear(by, Said::Statement(mention.clone()));
                    hear(member.subject, Said::Statement(mention));
                }
            }
        }
        let mut say = |subject, statement| hear(subject, Said::Statement(statement));
        for fact in input.attributes {
            say(fact.subject, Statement::Attribute(Arc::new(self.names.attribute(fact))));
        }
        for (subject, identifier, at) in input.identifiers {
            say(subject, Statement::Identifier(Box::new((identifier, at))));
        }
        for fact in input.assertions {
            say(fact.subject, Statement::Assertion(Arc::new(self.names.assertion(fact))));
        }
        for (alias, team, at) in input.teams {
            say(alias, Statement::AliasTeam(self.names.text(team), at));
        }
        for MergeFact { pair: (a, b), linked, stamp } in input.merges {
            let link = Arc::new(MergeFact { pair: (a.min(b), a.max(b)), linked, stamp });
            say(a, Statement::Link(link.clone()));
            say(b, Statement::Link(link));
        }
        for (subject, until_ms) in &input.erasures {
            hear(*subject, Said::Erased(*until_ms));
        }
        for erasure in input.erasures {
            shards[home(&erasure.0)].erased.push(erasure);
        }
        for event in input.events.into_iter().chain(input.past) {
            shards[home(&event.0)].events.push(event);
        }
        for Naming { account_id, subject, token, occurred_at_ms } in input.namings {
            let account = self.names.account_id(&account_id);
            shards[home(&subject)].namings.push((subject, (token, occurred_at_ms, account)));
        }
        for (subject, identifier) in input.anonymous {
            shards[home(&subject)].anonymous.push((subject, identifier));
        }
        if context.says_something() {
            let context = Arc::new(context);
            for shard in &mut shards {
                shard.context = Some(context.clone());
            }
        }
        shards
    }

    /// Stops the worker threads and waits for their end; dropping does the same.
    pub fn shutdown(self) {}
}

/// The customers of late events.
fn late(events: &[(Subject, EventFact)], t_ms: Millis) -> HashSet<Subject> {
    let is_late = |event: &EventFact| event.occurred_at_ms < t_ms.saturating_sub(LATE_AFTER_MS);
    events.iter().filter(|(_, event)| is_late(event)).map(|(subject, _)| *subject).collect()
}

/// Whoever events speak of.
fn spoken_of(input: &TickInput) -> HashSet<Subject> {
    let known = input.known.iter().map(|known| known.subject);
    known.chain(input.events.iter().map(|(subject, _)| *subject)).collect()
}
