//! A state to begin with in which there is nothing of some backfills.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use cebe_connectors::adapter::Adapter;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::rebuild::survey;
use cebe_connectors::snapshot::{Manifest, Manifests, Origin};
use cebe_dataflow::Dataflow;
use cebe_schemas::control::ControlState;
use cebe_schemas::verdict::Judge;

use super::{Snapshots, Stopped, is_elsewhere, restore_facts};
use crate::succession::Succession;

/// A state that was begun with.
pub struct Begun {
    pub adapter: Adapter<()>,
    pub dataflow: Dataflow,
    /// Up to where everything is in it.
    pub place: LogPlace,
    /// Everything that follows from it.
    pub succession: Succession,
}

impl Snapshots {
    /// Whether there is a state without `jobs` from which Kafka reaches on through the binding of number `last`.
    pub fn has_any_without(
        &self,
        kafka: &KafkaOptions,
        last: u64,
        jobs: &BTreeSet<Arc<str>>,
    ) -> anyhow::Result<bool> {
        for at in 0..=self.without(jobs).len() {
            let places = self.without(jobs);
            let place = places.get(at).map(|manifest| manifest.place.clone());
            if reaches_on(kafka, last, &place.unwrap_or_default())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest state without `jobs` that is whole and from which Kafka reaches on through the binding of number
    /// `last`; in the end the one before the first binding.
    ///
    /// # Errors
    /// There is none; or those of `between`, which is called between the pieces of a state.
    pub fn begin_without(
        &self,
        kafka: &KafkaOptions,
        last: u64,
        judge: &Judge,
        workers: usize,
        jobs: &BTreeSet<Arc<str>>,
        mut between: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Begun> {
        for manifest in self.without(jobs) {
            if !reaches_on(kafka, last, &manifest.place)? {
                continue;
            }
            let mut succession = Succession::after(manifest.logic_version, manifest.t_ms);
            let known = (workers, &kafka.topics, judge);
            let told = Some(&mut succession);
            match restore_facts(&self.store, manifest, known, told, &mut between) {
                Ok((adapter, dataflow, _)) => {
                    let place = manifest.place.clone();
                    return Ok(Begun { adapter, dataflow, place, succession });
                }
                Err(error) if is_elsewhere(&error) || error.is::<Stopped>() => return Err(error),
                Err(error) => {
                    let (binding, error) = (manifest.binding, format!("{error:#}"));
                    tracing::warn!(binding, error, "a snapshot is left out: it cannot be used");
                }
            }
        }
        if !reaches_on(kafka, last, &LogPlace::default())? {
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
        })
    }

    /// What a keeper goes on from that begins with the state after `binding`.
    ///
    /// # Errors
    /// It is there no more.
    pub fn origin_at(&self, binding: u64) -> anyhow::Result<Origin<'_>> {
        let states = &self.manifests.states;
        let at = match binding {
            0 => states.len(),
            _ => (states.iter().position(|manifest| manifest.binding == binding))
                .with_context(|| format!("the snapshot of binding {binding} is gone"))?,
        };
        let outputs = self.outputs();
        Ok(Origin { states: &states[at..], outputs, is_first: outputs.is_none() })
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

/// Whether Kafka has all records that were bound after `place`, through the binding of number `last`.
fn reaches_on(kafka: &KafkaOptions, last: u64, place: &LogPlace) -> anyhow::Result<bool> {
    let cut = survey(kafka, last, place.clone(), 0, || Ok::<(), anyhow::Error>(()));
    Ok(!cut.map_err(|error| anyhow!(error))?.is_any())
}
