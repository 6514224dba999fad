//! The loop: bind, read back, adapt, flow, number, publish. Replay is the same without publishing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::{Binding, Range, logic_version};
use cebe_connectors::fault;
use cebe_connectors::history::HistoryReader;
use cebe_connectors::kafka::binding_log::{BindingLog, BindingLogError, BindingLogOptions};
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::kafka::source::{Limits, Source, SourceOptions};
use cebe_connectors::kafka::topics;
use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::loader::LoaderStatus;
use cebe_connectors::out::numbered::{Numbered, number};
use cebe_connectors::out::publisher::{Publisher, PublisherOptions};
use cebe_connectors::snapshot::{Keeper, KeptTick, Manifest, PublishedAt, Sizes, Store};
use cebe_dataflow::Dataflow;
use cebe_schemas::change::{Cause, Change, Membership, Moment, TickOutput};
use cebe_schemas::row::Row;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;
use tokio::sync::watch;

mod beside;
mod budget;
mod meanwhile;
mod replay;
mod undo;

use budget::{Budget, Published};
use meanwhile::{LISTEN, meanwhile};
use undo::{Agreeing, Undone};

use crate::command::now_ms;
use crate::config::Config;
use crate::desk::Clerk;
use crate::keeping::Keeping;
use crate::recovery::{Recovered, Snapshots};
use crate::succession::{Differences, Succession};

/// How long an idle engine waits before it looks for wake-ups, other engines and the end again.
const IDLE: Duration = Duration::from_millis(50);
/// An engine with nothing to do binds an empty tick this often, so that what is loaded stays
/// known to be current: views call themselves stale after 60 seconds.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// The most bytes of payload in one tick.
const TICK_BYTES_MAX: usize = 16 << 20;
/// How long Kafka may take to create topics.
const CREATE_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for a clock that has jumped to be set right, each time.
const CLOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Everything between the bound log and the outputs.
pub struct Engine {
    config: Config,
    log: BindingLog,
    /// Everything by then is in the state.
    begins_at: LogPlace,
    source: Source,
    adapter: Adapter<DiskKeyIndex>,
    dataflow: Dataflow,
    publisher: Publisher,
    keeping: Keeping,
    history: HistoryReader,
    next_wakeup_ms: Option<Millis>,
    /// Of the bindings that it appends.
    logic_version: u32,
    /// While bindings of another logic are replayed.
    succession: Option<Succession>,
    /// Where it is told what was published, when it began.
    outputs: (Store, Option<Manifest>),
    agreeing: Agreeing,
}

/// What a binding amounts to, before it is numbered.
struct Computed {
    rows: Vec<Row>,
    moments: Vec<Moment>,
    kept: KeptTick,
    /// Then the rows lack the differences.
    undone: Option<Undone>,
}

impl Engine {
    /// Takes over the log of bindings, or finds that another engine is running; then takes in the newest
    /// snapshot. `accept_loss`: records that were deleted before they were read are given up.
    ///
    /// # Errors
    /// [`Stopped`](crate::recovery::Stopped), if `stop` comes before that; or what is missing.
    pub fn start(config: Config, accept_loss: bool, stop: &AtomicBool) -> anyhow::Result<Engine> {
        let kafka = config.kafka_options();
        topics::create_missing(&kafka, CREATE_PATIENCE)?;
        let logic_version = logic_version();
        let mut snapshots = Snapshots::find(&config, &kafka, logic_version)?;
        let entry = BindingLogOptions {
            logic_version,
            engine: "cebe".into(),
            claim_wait: Duration::from_millis(config.engine.claim_wait_ms as u64),
        };
        let mut log = BindingLog::open(&kafka, entry, snapshots.place())?;
        log.take_over()?;
        let publisher = Publisher::open(&kafka, PublisherOptions::default())?;
        tracing::info!(engine = log.engine(), "engine has taken over");
        let judge =
            Judge { catalogue: Arc::new(config.catalogue()?), keys: Arc::new(config.keys()?) };
        let clickhouse = config.clickhouse_client().with_database(&config.clickhouse.database);
        let history = HistoryReader::start(&kafka, clickhouse, judge.keys.clone())?;
        let recovered = snapshots.recover(&config, &kafka, &judge, &mut log, stop)?;
        let Recovered { adapter, dataflow, place, next_wakeup_ms, succession } = recovered;
        let (store, rests_on) = (snapshots.store.clone(), snapshots.rests_on.clone());
        let keeper = Keeper::start(store.clone(), rests_on, snapshots.origin(), Sizes::default())?;
        let keeping = Keeping::new(keeper, &config, logic_version);
        let source =
            Source::open(&kafka, SourceOptions { accept_loss, ..SourceOptions::default() })?;
        Ok(Engine {
            config,
            log,
            begins_at: place,
            source,
            adapter,
            dataflow,
            publisher,
            keeping,
            history,
            next_wakeup_ms,
            logic_version,
            succession,
            outputs: (store, snapshots.outputs().cloned()),
            agreeing: Agreeing::default(),
        })
    }

    /// Binds and publishes until `stop`; in between, `clerk` answers inquiries. `loader` tells how much
    /// room there is for backfills.
    pub fn run(
        &mut self,
        clerk: &mut Clerk,
        loader: &watch::Receiver<LoaderStatus>,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let limits =
            Limits { records: self.config.engine.tick_records_max as usize, bytes: TICK_BYTES_MAX };
        let tick_min = Duration::from_millis(self.config.engine.tick_min_ms as u64);
        let mut last = Instant::now();
        let most = self.config.engine.tick_backfill_records_max as usize;
        let mut budget = Budget::new(most, last);
        clerk.open(self.log.chain());
        clerk.tell(&self.adapter);
        self.history.follow(&self.adapter);
        while !stop.load(Ordering::Relaxed) {
            budget.loaded(loader.borrow().complete_through_ms, now_ms());
            self.source.allow_backfill(budget.records(now_ms()));
            self.fill(clerk)?;
            while let Some(left) = tick_min.checked_sub(last.elapsed()) {
                std::thread::sleep(left.min(LISTEN));
                clerk.serve(&self.adapter, &mut self.dataflow)?;
                self.source.fill(Duration::ZERO)?;
            }
            self.log.poll()?;
            self.agree()?;
            let ranges = self.source.offer(limits);
            let due = self.wakeup_is_due() || self.log.answer_due() || last.elapsed() > HEARTBEAT;
            if ranges.is_empty() && !due {
                continue;
            }
            last = Instant::now();
            let binding = match self.bind(ranges, clerk)? {
                Err(BindingLogError::Clock(error)) => {
                    tracing::error!(%error, "waiting");
                    std::thread::sleep(CLOCK_PATIENCE);
                    continue;
                }
                bound => bound?,
            };
            fault::point("after_bind");
            let (tick, mut kept) = self.tick(&binding, true)?;
            self.publish(&tick, Some(clerk))?;
            kept.publish(&binding, tick.records);
            self.adapter.commit()?;
            clerk.bound(&binding);
            self.agreeing.committed(&binding, &kept);
            self.keeping.keep(kept, self.log.place(), &self.adapter);
            let published = Published {
                t_ms: binding.t_ms,
                backfilled: self.source.backfilled(&binding),
                took: last.elapsed(),
            };
            budget.published(published, Instant::now(), now_ms());
            if self.changes_what_waits(&binding) {
                clerk.tell(&self.adapter);
                self.history.follow(&self.adapter);
            }
            metrics::histogram!("cebe_tick_seconds").record(last.elapsed().as_secs_f64());
            let waiting = self.adapter.definitions_waiting();
            metrics::gauge!("cebe_definitions_waiting").set(waiting as f64);
            metrics::gauge!("cebe_binding_number").set(binding.number as f64);
            metrics::gauge!("cebe_records_waiting").set(self.source.buffered().records as f64);
            let waiting = self.source.backfill_buffered().records;
            metrics::gauge!("cebe_backfill_records_waiting").set(waiting as f64);
        }
        self.keeping.seal(self.log.place(), &self.adapter);
        tracing::info!(bindings = self.log.chain().head().number, "engine stops");
        Ok(())
    }

    /// What a binding amounts to, and what is to be kept of it. `report` writes it to logs and metrics:
    /// once, by the engine that publishes it.
    fn tick(&mut self, binding: &Binding, report: bool) -> anyhow::Result<(Numbered, KeptTick)> {
        let Computed { mut rows, moments, mut kept, undone } = self.compute(binding, report)?;
        kept.facts.memberships = Membership::of(&moments);
        if let Some(Undone { mut said, last_ms }) = undone {
            let at = (binding, Cause::Backfill);
            rows.append(&mut self.differences(&mut said, last_ms, at, &mut kept)?);
        }
        Ok((self.number(binding, rows, moments)?, kept))
    }

    /// What has to be published of a binding after which something else is said than what was published
    /// through `last_ms`, for the given reason.
    fn differences(
        &mut self,
        said: &mut Succession,
        last_ms: Millis,
        (binding, cause): (&Binding, Cause),
        kept: &mut KeptTick,
    ) -> anyhow::Result<Vec<Row>> {
        let (kafka, (store, outputs)) = (self.config.kafka_options(), &self.outputs);
        said.compare(&kafka, (store, outputs.as_ref()), last_ms)?;
        let Differences { rows, memberships, mut published } =
            said.differences(binding.t_ms, cause);
        let outputs_ms = outputs.as_ref().and_then(Manifest::published).map_or(0, |at| at.t_ms);
        published.forget_through(outputs_ms);
        self.dataflow.recall_members(&memberships);
        kept.facts.memberships = memberships;
        kept.published = Some((PublishedAt::new(binding.number, binding.t_ms), published));
        Ok(rows)
    }

    fn compute(&mut self, binding: &Binding, report: bool) -> anyhow::Result<Computed> {
        let records = self.source.take(&binding.ranges)?;
        let undoes = self.adapter.undoes(&records);
        if !undoes.is_empty() {
            return self.undo(binding, &records, &undoes);
        }
        let mut adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, &records)?;
        let kept = KeptTick::new(&adapted, binding.t_ms);
        let begin = Instant::now();
        let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
        self.adapter.learn(&output.moments);
        self.next_wakeup_ms = output.next_wakeup_ms;
        if report {
            adapted.report();
            report_metrics(&output, begin.elapsed());
        }
        Ok(Computed { rows: adapted.rows, moments: output.moments, kept, undone: None })
    }

    fn number(
        &self,
        binding: &Binding,
        rows: Vec<Row>,
        moments: Vec<Moment>,
    ) -> anyhow::Result<Numbered> {
        let numbered = number(binding, rows, moments, self.adapter.token_keys());
        numbered.with_context(|| format!("binding {}", binding.number))
    }

    /// Whether another history may be waited for after this binding than before.
    fn changes_what_waits(&self, binding: &Binding) -> bool {
        let topics = &self.config.kafka_options().topics;
        let mut read = binding.ranges.iter().map(|range| &*range.topic);
        read.any(|topic| topic == topics.control || topic == topics.history)
    }

    /// Waits for records, for inquiries and for wake-ups.
    fn fill(&mut self, clerk: &mut Clerk) -> anyhow::Result<()> {
        let until = Instant::now() + self.wait();
        loop {
            clerk.serve(&self.adapter, &mut self.dataflow)?;
            let left = until.saturating_duration_since(Instant::now());
            let wait = if clerk.is_busy() { Duration::ZERO } else { left.min(LISTEN) };
            self.source.fill(wait)?;
            if left.is_zero() || clerk.is_busy() || self.source.has_some() {
                return Ok(());
            }
        }
    }

    fn bind(
        &mut self,
        ranges: Vec<Range>,
        clerk: &mut Clerk,
    ) -> anyhow::Result<Result<Binding, BindingLogError>> {
        let Engine { log, adapter, dataflow, .. } = self;
        meanwhile(|| log.bind(ranges), || clerk.serve(adapter, dataflow))
    }

    /// That something waits is known before the tick is out: whoever sees the tick can look there.
    fn publish(&mut self, tick: &Numbered, mut clerk: Option<&mut Clerk>) -> anyhow::Result<()> {
        self.history.announce(self.adapter.unannounced())?;
        let Engine { publisher, log, adapter, dataflow, .. } = self;
        let serve = || match &mut clerk {
            Some(clerk) => clerk.serve(adapter, dataflow),
            None => Ok(()),
        };
        Ok(meanwhile(|| publisher.publish(tick, log), serve)??)
    }

    fn wait(&self) -> Duration {
        let left_ms = self.next_wakeup_ms.map(|due| due.saturating_sub(now_ms()).max(0) as u64);
        left_ms.map_or(IDLE, |ms| Duration::from_millis(ms).min(IDLE))
    }

    fn wakeup_is_due(&self) -> bool {
        self.next_wakeup_ms.is_some_and(|due| due <= now_ms())
    }
}

/// The key event `cebe_retriever_metric_computed`, once for each metric that moved.
fn report_metrics(output: &TickOutput, compute: Duration) {
    let compute_time_ms = compute.as_secs_f64() * 1e3;
    metrics::histogram!("cebe_dataflow_tick_seconds").record(compute.as_secs_f64());
    let changes = output.moments.iter().flat_map(|moment| &moment.changes);
    let moved: BTreeSet<&str> = changes
        .filter_map(|change| match change {
            Change::Metric { metric, .. } => Some(&**metric),
            _ => None,
        })
        .collect();
    for metric_name in moved {
        tracing::debug!(metric_name, compute_time_ms, "cebe_retriever_metric_computed");
    }
}
