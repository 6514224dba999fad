//! A state in which some backfills were never read, made on a thread of its own while live events flow.
//!
//! It follows the engine a step behind, and so does the comparison with what is published. So when the engine comes to the
//! binding that undoes them, what is left to do is little, whatever was read since.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::Binding;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::binding_log::Replay;
use cebe_connectors::kafka::source::{Source, SourceOptions};
use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::snapshot::{KeptTick, Published};
use cebe_dataflow::Dataflow;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;

use crate::config::Config;
use crate::recovery::{Begun, Snapshots, Stopped};
use crate::succession::Succession;

/// So long does the thread rest after a tick, as a part of what that took: live events come first.
const REST: f64 = 0.5;
/// What was published in so much logical time is caught up with while live events wait.
const CLOSE_MS: Millis = 2_000;
/// How often it looks for more to do.
const LOOK: Duration = Duration::from_millis(20);
/// How often it says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Jobs, without any of which a state is made.
pub type Jobs = BTreeSet<Arc<str>>;

/// The engine's end.
pub struct Beside {
    jobs: Jobs,
    goal: Arc<Goal>,
    thread: Option<JoinHandle<anyhow::Result<Option<Made>>>>,
}

/// How far it is to go.
#[derive(Default)]
struct Goal {
    committed: Mutex<Committed>,
    /// Behind this binding it ends.
    last: AtomicU64,
    /// Up to where what was published is compared.
    compared_ms: AtomicI64,
    stop: AtomicBool,
}

/// Where the engine is.
#[derive(Clone, Default)]
struct Committed {
    /// The last binding that is published, and its T.
    end: (u64, Millis),
    /// What was published since somebody listens, and was not heard yet.
    heard: Option<Published>,
}

/// The state.
pub struct Made {
    pub adapter: Adapter<DiskKeyIndex>,
    pub dataflow: Dataflow,
    pub said: Succession,
    /// The binding that it was begun behind.
    pub begun_at: u64,
    /// What its ticks add to that.
    pub kept: KeptTick,
    /// How many records they had.
    pub records: u64,
}

/// What it is made with.
pub struct Making {
    pub config: Config,
    pub logic_version: u32,
    pub judge: Judge,
    pub keys: DiskKeyIndex,
}

impl Beside {
    /// Begins to make the state without `jobs`; `binding` is the last that is published.
    ///
    /// # Errors
    /// The thread does not start.
    pub fn begin(making: Making, jobs: Jobs, end: (u64, Millis)) -> std::io::Result<Beside> {
        let goal = Arc::new(Goal::default());
        goal.committed().end = end;
        let (its_jobs, its_goal) = (jobs.clone(), goal.clone());
        let thread = std::thread::Builder::new()
            .name("cebe-beside".into())
            .spawn(move || make(making, &its_jobs, &its_goal))?;
        Ok(Beside { jobs, goal, thread: Some(thread) })
    }

    /// Without which jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// A binding is published, of which that is kept.
    pub fn committed(&self, binding: &Binding, kept: &KeptTick) {
        let mut committed = self.goal.committed();
        committed.end = (binding.number, binding.t_ms);
        if let (Some(heard), Some((_, published))) = (&mut committed.heard, &kept.published) {
            heard.append(published.clone());
        }
    }

    /// Whether little is left to do.
    pub fn is_close(&self) -> bool {
        let compared_ms = self.goal.compared_ms.load(Ordering::Acquire);
        compared_ms > 0 && self.goal.committed().end.1 - compared_ms < CLOSE_MS
    }

    /// Whether it can be made no more.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The state behind the last binding that is published.
    ///
    /// # Errors
    /// Why it could not be made.
    pub fn finish(mut self) -> anyhow::Result<Made> {
        let (end, _) = self.goal.committed().end;
        self.goal.last.store(end, Ordering::Release);
        let made = self.thread.take().map(JoinHandle::join);
        let made = made.context("it has no thread")?.map_err(|_| anyhow!("its thread panicked"))?;
        made?.context("it was given up")
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.goal.stop.store(true, Ordering::Release);
        // Whatever it says is of no interest any more.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Goal {
    fn committed(&self) -> MutexGuard<'_, Committed> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the engine is, and what it has published since this was asked; at first, nothing.
    fn hear(&self) -> Committed {
        let mut committed = self.committed();
        let heard = committed.heard.replace(Published::default());
        Committed { end: committed.end, heard }
    }

    fn is_last(&self, number: u64) -> bool {
        self.last.load(Ordering::Acquire) == number
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn is_waited_for(&self) -> bool {
        self.last.load(Ordering::Acquire) > 0
    }
}

/// Until it is behind the last binding; none: it was told to stop.
fn make(making: Making, jobs: &Jobs, goal: &Goal) -> anyhow::Result<Option<Made>> {
    let begin = Instant::now();
    let kafka = making.config.kafka_options();
    let snapshots = Snapshots::find(&making.config, &kafka, making.logic_version)?;
    let (end, _) = goal.committed().end;
    let (mut made, bindings) = begun(making, &kafka, &snapshots, jobs, (end, goal))?;
    let source = Source::open(&kafka, SourceOptions::default())?;
    let mut way = Way { bindings, source, goal, told: Instant::now() };
    way.work_through(&mut made, end)?;
    let Committed { end: (end, end_ms), .. } = goal.hear();
    way.work_through(&mut made, end)?;
    made.said.compare(&kafka, (&snapshots.store, snapshots.outputs()), end_ms)?;
    let (records, took_ms) = (made.records, begin.elapsed().as_millis() as u64);
    tracing::info!(?jobs, records, took_ms, "a state without them is made");
    while !goal.is_over() {
        let Committed { end: (end, end_ms), heard } = goal.hear();
        way.work_through(&mut made, end)?;
        made.said.compare_later(heard.unwrap_or_default(), end_ms)?;
        goal.compared_ms.store(end_ms, Ordering::Release);
        if goal.is_last(end) {
            return Ok(Some(made));
        }
        std::thread::sleep(if goal.is_waited_for() { Duration::ZERO } else { LOOK });
    }
    Ok(None)
}

/// What is worked through.
struct Way<'g> {
    bindings: Replay,
    source: Source,
    goal: &'g Goal,
    told: Instant,
}

impl Way<'_> {
    /// Takes in all bindings through `end`, unless it is told to stop.
    fn work_through(&mut self, made: &mut Made, end: u64) -> anyhow::Result<()> {
        while !self.goal.is_over()
            && let Some(binding) = self.bindings.next_through(end)?
        {
            let took = made.take_in(&binding, &mut self.source)?;
            if !self.goal.is_waited_for() {
                std::thread::sleep(took.mul_f64(REST));
            }
            if self.told.elapsed() > SAY_EVERY {
                let (binding, records) = (binding.number, made.records);
                tracing::info!(binding, of = end, records, "working through the log without a job");
                self.told = Instant::now();
            }
        }
        Ok(())
    }
}

/// The state to begin with, and the bindings after it.
fn begun(
    making: Making,
    kafka: &KafkaOptions,
    snapshots: &Snapshots,
    jobs: &Jobs,
    (end, goal): (u64, &Goal),
) -> anyhow::Result<(Made, Replay)> {
    let Making { config, judge, keys, .. } = making;
    let workers = config.engine.workers as usize;
    let go_on = || if goal.is_over() { Err(Stopped.into()) } else { Ok(()) };
    let Begun { adapter, dataflow, place, succession } =
        snapshots.begin_without(kafka, end, &judge, workers, jobs, go_on)?;
    let mut adapter = adapter.with_keys(keys);
    adapter.leave_out(jobs.iter().cloned());
    let made = Made {
        adapter,
        dataflow,
        said: succession,
        begun_at: place.chain.head().number,
        kept: KeptTick::default(),
        records: 0,
    };
    Ok((made, Replay::open(kafka, place)?))
}

impl Made {
    /// Takes in a binding, and says how long that took.
    fn take_in(&mut self, binding: &Binding, source: &mut Source) -> anyhow::Result<Duration> {
        let records = source.take(&binding.ranges)?;
        let begin = Instant::now();
        self.records += records.len() as u64;
        let mut adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, &records)?;
        let kept = KeptTick::new(&adapted, binding.t_ms);
        let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
        self.adapter.learn(&output.moments);
        self.adapter.commit()?;
        self.said.note(&output.moments, self.adapter.token_keys());
        self.said.follow(binding);
        self.kept.append(kept);
        Ok(begin.elapsed())
    }
}
