//! A snapshot from ClickHouse, where no snapshot can be used and the source topics no longer reach back to the
//! first binding.
//!
//! ```text
//! cebe.bindings ──────────────┐
//! cebe.control, cebe.history ─┤ (kept for ever)
//! landing_events ─────────────┼─▶ telling ─▶ facts, keys ─┐
//! landing_segments ───────────┼─▶ memberships ────────────┼─▶ keeper ─▶ manifest as of binding r
//! ledger, reconciliation ─────┴─▶ counters ───────────────┘
//! ```
//! Binding r is the last that was published, once ClickHouse has loaded it. What is told of the bindings up to it is what was told at
//! first, by the same code; the start then goes on from the manifest as from any other, and compares what it
//! computes of the bindings after r with what was published of them.
//!
//! Nothing is left out in silence: the bindings say how many records there were, the ledger what became
//! of them, and rows have to agree with both.
//!
//! Pure: [`telling`]. Kafka: `survey`. ClickHouse: `tables`.

mod error;
mod survey;
mod tables;
pub mod telling;

use std::time::{Duration, Instant};

use cebe_schemas::control::ControlState;
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::verdict::Judge;
use clickhouse::Client;

pub use error::{Gone, RebuildError};
pub use survey::{Cut, survey};
use tables::Tables;
use telling::Telling;

use crate::adapter::Adapter;
use crate::binding::Binding;
use crate::kafka::KafkaOptions;
use crate::kafka::binding_log::{BindingLog, Replay};
use crate::kafka::log_place::LogPlace;
use crate::kafka::source::{Source, SourceOptions};
use crate::out::progress_log;
use crate::snapshot::{Keeper, Manifest, Origin, SealedAt, Sizes, Store};

/// So many records are asked for at once, and of so many bindings.
const WINDOW_RECORDS: u64 = 100_000;
const WINDOW_BINDINGS: usize = 10_000;
/// Facts are written down once there are so many.
const SEAL_ROWS: usize = 500_000;
/// How often it says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// How often ClickHouse is asked how far it is loaded.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The months for which ClickHouse keeps events.
const KEPT_MONTHS: u32 = 24;

/// What a rebuild reads and writes.
pub struct Rebuild<'r> {
    /// Kafka.
    pub kafka: &'r KafkaOptions,
    /// ClickHouse, with the database set.
    pub clickhouse: Client,
    /// What tokens and definitions are read with.
    pub judge: &'r Judge,
    /// Where snapshots are.
    pub store: &'r Store,
    /// What facts rest on beside the log.
    pub rests_on: &'r str,
    /// Where it is told what was published, if it is anywhere.
    pub outputs: Option<&'r Manifest>,
}

impl Rebuild<'_> {
    /// Makes a snapshot as of the last binding that was published, once ClickHouse has loaded it; all records of
    /// `cut` have to be bound by then. In between, `between` is called; an error that it returns ends the
    /// rebuild.
    ///
    /// # Errors
    /// [`RebuildError`]: something is missing, or is not what was published.
    pub fn run<E: From<RebuildError>>(
        &self,
        log: &mut BindingLog,
        cut: &Cut,
        mut between: impl FnMut(&mut BindingLog) -> Result<(), E>,
    ) -> Result<Manifest, E> {
        if !cut.kept().is_empty() {
            return Err(RebuildError::NotKept(cut.kept()).into());
        }
        let tables = Tables::open(self.clickhouse.clone()).map_err(RebuildError::from)?;
        let through_ms = self.loaded_through(&tables, log, cut, &mut between)?;
        let (events, last_ms) = tables.too_old(through_ms, &mut || between(log))?;
        if events > 0 {
            let through = format_rfc3339(last_ms);
            return Err(RebuildError::TooOld { events, through, gone: cut.sources() }.into());
        }
        let begin = Instant::now();
        let manifest = self.write(&tables, log, through_ms, &mut between)?;
        let (binding, took_ms) = (manifest.binding, begin.elapsed().as_millis() as u64);
        tracing::info!(binding, took_ms, "rebuilt from clickhouse");
        Ok(manifest)
    }

    /// Waits until ClickHouse has loaded all that was published. Nothing is published meanwhile, so that no
    /// later erasure empties what is read.
    fn loaded_through<E: From<RebuildError>>(
        &self,
        tables: &Tables,
        log: &mut BindingLog,
        cut: &Cut,
        between: &mut impl FnMut(&mut BindingLog) -> Result<(), E>,
    ) -> Result<Millis, E> {
        let (number, gone_ms) = cut.last;
        let published = progress_log::last(self.kafka).map_err(RebuildError::from)?;
        // None is left where all of it is past the topic's retention.
        let (last, published_ms) = published.map_or((0, 0), |last| (last.binding, last.through));
        let mut has_said = false;
        loop {
            let loaded = tables.loaded_through(&mut || between(log))?;
            let loaded_ms = loaded.unwrap_or_default();
            if loaded.is_some() && loaded_ms >= gone_ms.max(published_ms) {
                return Ok(loaded_ms);
            }
            if loaded_ms < gone_ms && last < number {
                let after_ms = loaded_ms.max(published_ms);
                let head = log.chain().head().number;
                let between = || between(log);
                let missing = survey(self.kafka, head, LogPlace::default(), after_ms, between)?;
                return Err(RebuildError::Missing(missing.sources()).into());
            }
            if !has_said {
                let (loaded, needed) = (loaded.map(format_rfc3339), format_rfc3339(published_ms));
                let gone = error::list(&cut.sources());
                tracing::warn!(
                    loaded,
                    needed,
                    gone,
                    "the rebuild waits until clickhouse has loaded what is published"
                );
                has_said = true;
            }
            let until = Instant::now() + ASK_EVERY;
            while Instant::now() < until {
                std::thread::sleep(PAUSE);
                between(log)?;
            }
        }
    }

    fn write<E: From<RebuildError>>(
        &self,
        tables: &Tables,
        log: &mut BindingLog,
        through_ms: Millis,
        between: &mut impl FnMut(&mut BindingLog) -> Result<(), E>,
    ) -> Result<Manifest, E> {
        // What is written before the end is no state to begin with.
        let unfinished = format!("{}, not rebuilt to its end", self.rests_on);
        let before = Origin { outputs: self.outputs, ..Origin::default() };
        let keeper = self.keeper(&unfinished, before)?;
        let counted = tables.counted(through_ms, &mut || between(log))?;
        let adapter =
            Adapter::new(self.judge.clone(), self.kafka.topics.clone(), (), ControlState::new());
        let telling = Telling::new(adapter, self.judge.keys.clone(), &counted);
        let (telling, place, logic_version) =
            self.tell(tables, log, telling, through_ms, &keeper, between)?;
        let members = tables.members(through_ms, &mut || between(log))?;
        let (last, adapter) = telling.finish(&counted, members)?;
        keeper.keep(last);
        let at = || SealedAt { place: place.clone(), adapter: adapter.clone(), logic_version };
        let written = self.sealed(keeper, &unfinished, at(), || between(log))?;
        let states = std::slice::from_ref(&written);
        let keeper = self.keeper(self.rests_on, Origin { states, ..Origin::default() })?;
        self.sealed(keeper, self.rests_on, at(), || between(log))
    }

    fn keeper(&self, rests_on: &str, origin: Origin<'_>) -> Result<Keeper, RebuildError> {
        Ok(Keeper::start(self.store.clone(), rests_on.to_owned(), origin, Sizes::default())?)
    }

    /// Has the state of `at` written down, and returns its manifest.
    fn sealed<E: From<RebuildError>>(
        &self,
        keeper: Keeper,
        rests_on: &str,
        at: SealedAt,
        mut between: impl FnMut() -> Result<(), E>,
    ) -> Result<Manifest, E> {
        let binding = at.place.chain.head().number;
        let mut wait = || {
            while keeper.is_sealing() {
                std::thread::sleep(PAUSE);
                between()?;
            }
            Ok::<(), E>(())
        };
        wait()?;
        keeper.seal(at);
        wait()?;
        drop(keeper);
        let written = Manifest::list(self.store, rests_on).map_err(RebuildError::from)?;
        let written = written.states.into_iter().find(|manifest| manifest.binding == binding);
        Ok(written.ok_or_else(|| RebuildError::NotWritten(self.store.location().to_owned()))?)
    }

    /// Tells all bindings through `through_ms` to `keeper`. Returns the place and the logic of the last one.
    fn tell<E: From<RebuildError>>(
        &self,
        tables: &Tables,
        log: &mut BindingLog,
        mut telling: Telling,
        through_ms: Millis,
        keeper: &Keeper,
        between: &mut impl FnMut(&mut BindingLog) -> Result<(), E>,
    ) -> Result<(Telling, LogPlace, u32), E> {
        let topics = &self.kafka.topics;
        let mut source =
            Source::open(self.kafka, SourceOptions::default()).map_err(RebuildError::from)?;
        let of = self.records_through(log, through_ms, between)?;
        let mut bindings = log.replay(LogPlace::default()).map_err(RebuildError::from)?;
        let (mut said, mut rows, mut logic_version) = (Instant::now(), 0, 0);
        loop {
            let window = window(&mut bindings, log, through_ms, between)?;
            let Some((first, last)) = window.first().zip(window.last()) else { break };
            let ordinals = first.first_ordinal..last.first_ordinal + last.records();
            let mut events = tables.events(ordinals.clone(), (first.t_ms, last.t_ms));
            for binding in &window {
                let kept = Telling::kept(topics, &binding.ranges);
                let kept = source.take(&kept).map_err(RebuildError::from)?;
                let next = binding.first_ordinal + binding.records();
                let told = events.before(next, &mut || between(log))?;
                let tick = telling.tell(topics, binding, kept, &told)?;
                rows += tick.facts.len();
                logic_version = binding.logic_version;
                keeper.keep(tick);
                between(log)?;
                if said.elapsed() > SAY_EVERY {
                    let (binding, events) = (binding.number, telling.events());
                    tracing::info!(
                        binding,
                        events,
                        records = next,
                        of,
                        "rebuilding from clickhouse"
                    );
                    said = Instant::now();
                }
            }
            if rows > SEAL_ROWS {
                while keeper.is_sealing() {
                    std::thread::sleep(PAUSE);
                    between(log)?;
                }
                let (place, adapter) = (bindings.place().clone(), telling.adapter().save());
                keeper.seal(SealedAt { place, adapter, logic_version });
                rows = 0;
            }
        }
        let months = telling.adapter().control().settings().retention_months;
        if months > KEPT_MONTHS {
            tracing::warn!(
                months,
                KEPT_MONTHS,
                "clickhouse keeps events for less time than settings.retention_months: older ones count no more"
            );
        }
        tracing::info!(events = telling.events(), records = of, "all events are told again");
        Ok((telling, bindings.place().clone(), logic_version))
    }

    /// How many records were bound through that time, which is that of a binding.
    fn records_through<E: From<RebuildError>>(
        &self,
        log: &mut BindingLog,
        through_ms: Millis,
        between: &mut impl FnMut(&mut BindingLog) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut bindings = log.replay(LogPlace::default()).map_err(RebuildError::from)?;
        while let Some(binding) = bindings.next(log).map_err(RebuildError::from)? {
            if binding.t_ms == through_ms {
                return Ok(binding.first_ordinal + binding.records());
            }
            if binding.t_ms > through_ms {
                break;
            }
            between(log)?;
        }
        Err(RebuildError::OtherLog(format_rfc3339(through_ms)).into())
    }
}

/// The next bindings through `through_ms`, so many that their records are worth a question.
fn window<E: From<RebuildError>>(
    bindings: &mut Replay,
    log: &mut BindingLog,
    through_ms: Millis,
    between: &mut impl FnMut(&mut BindingLog) -> Result<(), E>,
) -> Result<Vec<Binding>, E> {
    let (mut window, mut records) = (Vec::new(), 0);
    // Nothing after that time is read: the place of the last binding is where a start goes on.
    while bindings.place().chain.head().t_ms < through_ms
        && records < WINDOW_RECORDS
        && window.len() < WINDOW_BINDINGS
    {
        let Some(binding) = bindings.next(log).map_err(RebuildError::from)? else { break };
        records += binding.records();
        window.push(binding);
        between(log)?;
    }
    Ok(window)
}
