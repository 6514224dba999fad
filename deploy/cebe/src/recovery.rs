//! Where a start begins: the newest snapshot that is whole, or the first binding; or, where Kafka no longer
//! reaches back to it, a snapshot that is made from ClickHouse.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use cebe_connectors::adapter::Adapter;
use cebe_connectors::fault;
use cebe_connectors::kafka::binding_log::{BindingLog, BindingLogError};
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::kafka::{KafkaOptions, Topics};
use cebe_connectors::key_index::KeyIndexError;
use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::snapshot::{
    FACTS_VERSION, Manifest, Manifests, Origin, ReadError, Snapshot, Store,
};
use cebe_dataflow::Dataflow;
use cebe_schemas::change::Moment;
use cebe_schemas::control::ControlState;
use cebe_schemas::fact::GroupName;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;

use crate::config::Config;
use crate::succession::Succession;

mod rebuild;
mod without;

pub use rebuild::Stopped;
pub use without::Begun;

/// The snapshots that this log can go on from, newest first.
pub struct Snapshots {
    pub store: Store,
    /// What facts rest on beside the log: the keys that tokens and ids are made with.
    pub rests_on: String,
    manifests: Manifests,
    /// Of the bindings that this engine appends.
    logic_version: u32,
}

/// A state to go on from.
pub struct Recovered {
    pub adapter: Adapter<DiskKeyIndex>,
    pub dataflow: Dataflow,
    /// Up to where everything is in it.
    pub place: LogPlace,
    pub next_wakeup_ms: Option<Millis>,
    /// The state is of another logic.
    pub succession: Option<Succession>,
}

impl Snapshots {
    /// Looks for them.
    pub fn find(
        config: &Config,
        kafka: &KafkaOptions,
        logic_version: u32,
    ) -> anyhow::Result<Snapshots> {
        let store = Store::directory(&config.snapshot_dir())?;
        let rests_on = rests_on(config)?;
        let Manifests { states, outputs } = Manifest::list(&store, &rests_on)?;
        let manifests =
            Manifests { states: of_log(states, kafka)?, outputs: of_log(outputs, kafka)? };
        Ok(Snapshots { store, rests_on, manifests, logic_version })
    }

    /// Up to where the newest one has read the log.
    pub fn place(&self) -> LogPlace {
        self.manifests.states.first().map(|newest| newest.place.clone()).unwrap_or_default()
    }

    /// Where it is told what was published; none: all of it is in `cebe.out.*`.
    pub fn outputs(&self) -> Option<&Manifest> {
        let state = self.manifests.states.first().filter(|newest| newest.published().is_some());
        state.or(self.manifests.outputs.first())
    }

    /// What the keeper goes on from.
    pub fn origin(&self) -> Origin<'_> {
        let states = &self.manifests.states;
        Origin { states, outputs: self.outputs(), is_first: states.is_empty() }
    }

    /// The newest state that is whole and from which Kafka reaches on; those that are not are dropped. Between
    /// its pieces `log` is [answered](answer).
    pub fn recover(
        &mut self,
        config: &Config,
        kafka: &KafkaOptions,
        judge: &Judge,
        log: &mut BindingLog,
        stop: &AtomicBool,
    ) -> anyhow::Result<Recovered> {
        let lineage = format!("{:?}-{FACTS_VERSION}", log.chain().genesis());
        let mut keys = DiskKeyIndex::open(&config.key_index_dir(), &lineage, 0)?;
        let workers = config.engine.workers as usize;
        let mut is_rebuilt = false;
        loop {
            let Some(manifest) = self.manifests.states.first() else {
                let rebuilt = match is_rebuilt {
                    true => None,
                    false => self.rebuild(config, kafka, judge, log, stop)?,
                };
                let Some(manifest) = rebuilt else { break };
                is_rebuilt = true;
                self.manifests.states.push(manifest);
                continue;
            };
            if rebuild::is_cut(kafka, log, &manifest.place, stop)? {
                let binding = manifest.binding;
                tracing::warn!(
                    binding,
                    "a snapshot is left out: records bound after it are gone from kafka"
                );
                self.manifests.states.remove(0);
                continue;
            }
            let topics = &kafka.topics;
            let is_mixed = log.is_mixed();
            let between = || answer(log);
            let is_other = is_mixed || manifest.logic_version != self.logic_version;
            let succession = || Succession::after(manifest.logic_version, manifest.t_ms);
            let mut succession = is_other.then(succession);
            let (known, told) = ((workers, topics, judge), succession.as_mut());
            match restore(&self.store, manifest, known, &mut keys, told, between) {
                Ok((adapter, dataflow, next_wakeup_ms)) => {
                    let place = manifest.place.clone();
                    let adapter = adapter.with_keys(keys);
                    return Ok(Recovered { adapter, dataflow, place, next_wakeup_ms, succession });
                }
                Err(error) if is_elsewhere(&error) => return Err(error),
                Err(error) => {
                    let (binding, error) = (manifest.binding, format!("{error:#}"));
                    tracing::warn!(binding, error, "a snapshot is left out: it cannot be used");
                    self.manifests.states.remove(0);
                }
            }
        }
        tracing::info!("no snapshot can be used: beginning at the first binding");
        Ok(Recovered {
            adapter: Adapter::new(judge.clone(), kafka.topics.clone(), keys, ControlState::new()),
            dataflow: Dataflow::start(workers)?,
            place: LogPlace::default(),
            next_wakeup_ms: None,
            succession: log.is_mixed().then(|| Succession::after(self.logic_version, 0)),
        })
    }
}

/// Those of this log.
fn of_log(manifests: Vec<Manifest>, kafka: &KafkaOptions) -> anyhow::Result<Vec<Manifest>> {
    let mut of_log = Vec::new();
    for manifest in manifests {
        if manifest.place.is_in_log(kafka)? {
            of_log.push(manifest);
        } else {
            let binding = manifest.binding;
            tracing::warn!(binding, "a snapshot is left out: it is of another log of bindings");
        }
    }
    Ok(of_log)
}

/// What facts rest on beside the log: tells one set of token keys from another.
pub fn rests_on(config: &Config) -> anyhow::Result<String> {
    Ok(config.keys()?.record_hash(b"snapshots"))
}

/// A starting engine wants to hear that this one is alive.
pub fn answer(log: &mut BindingLog) -> anyhow::Result<()> {
    log.poll()?;
    if log.answer_due() {
        log.bind(Vec::new())?;
    }
    Ok(())
}

/// Whether another state would be no better: the store does not answer, the key index cannot be written,
/// or another engine has taken over.
fn is_elsewhere(error: &anyhow::Error) -> bool {
    let store = matches!(error.downcast_ref(), Some(ReadError::Store(e)) if !e.is_not_found());
    store || error.is::<KeyIndexError>() || error.is::<BindingLogError>()
}

pub(crate) type Restored = (Adapter<()>, Dataflow, Option<Millis>);

pub(crate) fn restore(
    store: &Store,
    manifest: &Manifest,
    known: (usize, &Topics, &Judge),
    keys: &mut DiskKeyIndex,
    told: Option<&mut Succession>,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Restored> {
    fill(keys, &Snapshot::open(store, manifest)?, manifest, &mut between)?;
    restore_facts(store, manifest, known, told, between)
}

/// The same without the key index.
fn restore_facts(
    store: &Store,
    manifest: &Manifest,
    (workers, topics, judge): (usize, &Topics, &Judge),
    mut told: Option<&mut Succession>,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Restored> {
    let begin = Instant::now();
    let snapshot = Snapshot::open(store, manifest)?;
    let mut adapter = Adapter::restore(judge.clone(), topics.clone(), (), snapshot.adapter()?)?;
    let mut dataflow = Dataflow::start(workers)?;
    let mut restoring = match &told {
        Some(_) => dataflow.tell_again(manifest.t_ms),
        None => dataflow.restore(manifest.t_ms),
    };
    let mut first = adapter.recall_definitions();
    if told.is_some() {
        first.groups = groups(store, manifest)?;
    }
    let mut note = |moments: &[Moment]| {
        if let Some(succession) = &mut told {
            succession.note(moments, &judge.keys);
        }
    };
    note(&restoring.take_in(first)?.moments);
    let mut events = 0;
    let memberships = snapshot.facts(|facts| {
        events += facts.events.len();
        fault::point("during_restore");
        between()?;
        let erasures = facts.erasures.clone();
        let output = restoring.take_in(facts)?;
        adapter.recall_erased(&erasures, &output.moments);
        note(&output.moments);
        anyhow::Ok(())
    })?;
    let output = restoring.finish(&memberships)?;
    adapter.recall_erased(&[], &output.moments);
    note(&output.moments);
    let (binding, took_ms) = (manifest.binding, begin.elapsed().as_millis() as u64);
    tracing::info!(binding, events, took_ms, "restored from a snapshot");
    Ok((adapter, dataflow, output.next_wakeup_ms))
}

/// Takes used keys from the files if the index has lost its end.
fn fill(
    keys: &mut DiskKeyIndex,
    snapshot: &Snapshot<'_>,
    manifest: &Manifest,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (held_until, until) = (keys.next_ordinal(), manifest.next_ordinal);
    if held_until < until {
        tracing::info!(held_until, until, "taking used keys from the snapshot");
        // Undoing a backfill uses up keys of earlier ordinals.
        let has_undone = manifest.counters().backfills().any(|job| job.is_undone);
        for used in snapshot.keys_from(if has_undone { 0 } else { held_until }) {
            keys.fill(used?)?;
            between()?;
        }
        keys.filled(until)?;
    }
    Ok(())
}

/// The names of all groups: who is told of a rate has to know what it is called.
fn groups(store: &Store, manifest: &Manifest) -> anyhow::Result<Vec<GroupName>> {
    let mut groups = Vec::new();
    Snapshot::open(store, manifest)?.facts(|mut facts| {
        groups.append(&mut facts.groups);
        anyhow::Ok(())
    })?;
    Ok(groups)
}

#[cfg(test)]
pub(crate) mod tests;
