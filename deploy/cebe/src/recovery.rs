//! Where a start begins: the newest snapshot that is whole, or the first binding; or, where Kafka no longer
//! reaches back to it, a snapshot that is made from ClickHouse.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::LOGIC_VERSION;
use cebe_connectors::fault;
use cebe_connectors::kafka::binding_log::{BindingLog, BindingLogError};
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::kafka::{KafkaOptions, Topics};
use cebe_connectors::key_index::KeyIndexError;
use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::snapshot::{Manifest, ReadError, Snapshot, Store};
use cebe_dataflow::Dataflow;
use cebe_schemas::control::ControlState;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;

use crate::config::Config;

mod rebuild;

pub use rebuild::Stopped;

/// The snapshots that this log can go on from, newest first.
pub struct Snapshots {
    pub store: Store,
    /// What facts rest on beside the log: the keys that tokens and ids are made with.
    pub rests_on: String,
    pub manifests: Vec<Manifest>,
}

/// A state to go on from.
pub struct Recovered {
    pub adapter: Adapter<DiskKeyIndex>,
    pub dataflow: Dataflow,
    /// Up to where everything is in it.
    pub place: LogPlace,
    pub next_wakeup_ms: Option<Millis>,
}

impl Snapshots {
    /// Looks for them.
    pub fn find(config: &Config, kafka: &KafkaOptions) -> anyhow::Result<Snapshots> {
        let store = Store::directory(&config.snapshot_dir())?;
        let rests_on = rests_on(config)?;
        let mut manifests = Vec::new();
        for manifest in Manifest::list(&store, &rests_on)? {
            if manifest.place.is_in_log(kafka)? {
                manifests.push(manifest);
            } else {
                let binding = manifest.binding;
                tracing::warn!(binding, "a snapshot is left out: it is of another log of bindings");
            }
        }
        Ok(Snapshots { store, rests_on, manifests })
    }

    /// Up to where the newest one has read the log.
    pub fn place(&self) -> LogPlace {
        self.manifests.first().map(|newest| newest.place.clone()).unwrap_or_default()
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
        let lineage = format!("{:?}-{LOGIC_VERSION}", log.chain().genesis());
        let mut keys = DiskKeyIndex::open(&config.key_index_dir(), &lineage, 0)?;
        let workers = config.engine.workers as usize;
        let mut is_rebuilt = false;
        loop {
            let Some(manifest) = self.manifests.first() else {
                let rebuilt = match is_rebuilt {
                    true => None,
                    false => self.rebuild(config, kafka, judge, log, stop)?,
                };
                let Some(manifest) = rebuilt else { break };
                is_rebuilt = true;
                self.manifests.push(manifest);
                continue;
            };
            if rebuild::is_cut(kafka, log, &manifest.place, stop)? {
                let binding = manifest.binding;
                tracing::warn!(
                    binding,
                    "a snapshot is left out: records bound after it are gone from kafka"
                );
                self.manifests.remove(0);
                continue;
            }
            let topics = &kafka.topics;
            let between = || answer(log);
            match restore(&self.store, manifest, (workers, topics, judge), &mut keys, between) {
                Ok((adapter, dataflow, next_wakeup_ms)) => {
                    let place = manifest.place.clone();
                    let adapter = adapter.with_keys(keys);
                    return Ok(Recovered { adapter, dataflow, place, next_wakeup_ms });
                }
                Err(error) if is_elsewhere(&error) => return Err(error),
                Err(error) => {
                    let (binding, error) = (manifest.binding, format!("{error:#}"));
                    tracing::warn!(binding, error, "a snapshot is left out: it cannot be used");
                    self.manifests.remove(0);
                }
            }
        }
        tracing::info!("no snapshot can be used: beginning at the first binding");
        Ok(Recovered {
            adapter: Adapter::new(judge.clone(), kafka.topics.clone(), keys, ControlState::new()),
            dataflow: Dataflow::start(workers)?,
            place: LogPlace::default(),
            next_wakeup_ms: None,
        })
    }
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

type Restored = (Adapter<()>, Dataflow, Option<Millis>);

fn restore(
    store: &Store,
    manifest: &Manifest,
    (workers, topics, judge): (usize, &Topics, &Judge),
    keys: &mut DiskKeyIndex,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Restored> {
    let begin = Instant::now();
    let snapshot = Snapshot::open(store, manifest)?;
    let mut adapter = Adapter::restore(judge.clone(), topics.clone(), (), snapshot.adapter()?)?;
    let held_until = keys.next_ordinal();
    if held_until < manifest.next_ordinal {
        tracing::info!(
            held_until,
            until = manifest.next_ordinal,
            "taking used keys from the snapshot"
        );
        for used in snapshot.keys_from(held_until) {
            keys.fill(used?)?;
            between()?;
        }
        keys.filled(manifest.next_ordinal)?;
    }
    let mut dataflow = Dataflow::start(workers)?;
    let mut restoring = dataflow.restore(manifest.t_ms);
    restoring.take_in(adapter.recall_definitions())?;
    let mut events = 0;
    let memberships = snapshot.facts(|facts| {
        events += facts.events.len();
        fault::point("during_restore");
        between()?;
        let erasures = facts.erasures.clone();
        let output = restoring.take_in(facts)?;
        adapter.recall_erased(&erasures, &output.moments);
        anyhow::Ok(())
    })?;
    let output = restoring.finish(&memberships)?;
    adapter.recall_erased(&[], &output.moments);
    let (binding, took_ms) = (manifest.binding, begin.elapsed().as_millis() as u64);
    tracing::info!(binding, events, took_ms, "restored from a snapshot");
    Ok((adapter, dataflow, output.next_wakeup_ms))
}

#[cfg(test)]
mod tests;
