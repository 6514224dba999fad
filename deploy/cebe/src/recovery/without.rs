//! A state to begin with in which there is nothing of some backfills.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use cebe_connectors::adapter::Adapter;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::binding_log::BindingLog;
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::rebuild::survey;
use cebe_connectors::snapshot::{Manifest, Manifests, Origin};
use cebe_dataflow::Dataflow;
use cebe_schemas::control::ControlState;
use cebe_schemas::verdict::Judge;

use super::{Snapshots, is_elsewhere, restore_facts};
use crate::succession::Succession;

/// A state that was begun with.
pub struct Begun {
    pub adapter: Adapter<()>,
    pub dataflow: Dataflow,
    /// Up to where everything is in it.
    pub place: LogPlace,
    /// Everything that follows from it.
    pub succession: Succession,
    manifests: Vec<Manifest>,
}

impl Begun {
    /// What the keeper goes on from; it is told by `outputs` what was published.
    pub fn origin<'b>(&'b self, outputs: Option<&'b Manifest>) -> Origin<'b> {
        Origin { states: &self.manifests, outputs, is_first: outputs.is_none() }
    }
}

impl Snapshots {
    /// Whether there is a state without `jobs` from which Kafka reaches on.
    pub fn has_any_without(
        &self,
        kafka: &KafkaOptions,
        log: &mut BindingLog,
        jobs: &BTreeSet<Arc<str>>,
    ) -> anyhow::Result<bool> {
        for at in 0..=self.without(jobs).len() {
            let places = self.without(jobs);
            let place = places.get(at).map(|manifest| manifest.place.clone());
            if reaches_on(kafka, log, &place.unwrap_or_default())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest state without `jobs` that is whole and from which Kafka reaches on; at last the one before the
    /// first binding.
    ///
    /// # Errors
    /// There is none.
    pub fn begin_without(
        &self,
        kafka: &KafkaOptions,
        log: &mut BindingLog,
        judge: &Judge,
        workers: usize,
        jobs: &BTreeSet<Arc<str>>,
    ) -> anyhow::Result<Begun> {
        for manifest in self.without(jobs) {
            if !reaches_on(kafka, log, &manifest.place)? {
                continue;
            }
            let mut succession = Succession::after(manifest.logic_version, manifest.t_ms);
            let known = (workers, &kafka.topics, judge);
            let told = Some(&mut succession);
            match restore_facts(&self.store, manifest, known, told, || Ok(())) {
                Ok((adapter, dataflow, _)) => {
                    let is_older = |of: &&Manifest| of.binding <= manifest.binding;
                    let manifests = self.manifests.states.iter().filter(is_older).cloned();
                    let (place, manifests) = (manifest.place.clone(), manifests.collect());
                    return Ok(Begun { adapter, dataflow, place, succession, manifests });
                }
                Err(error) if is_elsewhere(&error) => return Err(error),
                Err(error) => {
                    let (binding, error) = (manifest.binding, format!("{error:#}"));
                    tracing::warn!(binding, error, "a snapshot is left out: it cannot be used");
                }
            }
        }
        if !reaches_on(kafka, log, &LogPlace::default())? {
            let jobs: Vec<&str> = jobs.iter().map(|job| &**job).collect();
            bail!(
                "{} cannot be undone: no snapshot from before can be used, and kafka does not reach back",
                jobs.join(", ")
            );
        }
        let (topics, control) = (kafka.topics.clone(), ControlState::new());
        Ok(Begun {
            adapter: Adapter::new(judge.clone(), topics, (), control),
            dataflow: Dataflow::start(workers)?,
            place: LogPlace::default(),
            succession: Succession::after(self.logic_version, 0),
            manifests: Vec::new(),
        })
    }

    /// Looks at none that is from `binding` on.
    pub fn leave_out_from(&mut self, binding: u64) {
        let Manifests { states, outputs } = &mut self.manifests;
        states.retain(|manifest| manifest.binding < binding);
        outputs.retain(|manifest| manifest.binding < binding);
    }

    fn without(&self, jobs: &BTreeSet<Arc<str>>) -> Vec<&Manifest> {
        self.manifests.states.iter().filter(|manifest| manifest.is_without(jobs)).collect()
    }
}

/// Whether Kafka has all records that were bound after `place`.
fn reaches_on(
    kafka: &KafkaOptions,
    log: &mut BindingLog,
    place: &LogPlace,
) -> anyhow::Result<bool> {
    let cut = survey(kafka, log, place.clone(), 0, |_| Ok::<(), anyhow::Error>(()));
    Ok(!cut.map_err(|error| anyhow!(error))?.is_any())
}
