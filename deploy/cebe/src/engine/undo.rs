//! Undoing a backfill: the log is worked through again without its events, from a state before them, and what
//! follows is compared with what was published.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::Binding;
use cebe_connectors::kafka::control;
use cebe_connectors::kafka::source::{Record, Source, SourceOptions};
use cebe_connectors::snapshot::{Keeper, KeptTick, Sizes};
use cebe_schemas::time::Millis;
use serde_json::json;

use super::{Computed, Engine};
use crate::keeping::Keeping;
use crate::recovery::{Begun, Snapshots};
use crate::succession::Succession;

/// An engine looks this often whether it can do what is asked.
const LOOK: Duration = Duration::from_secs(2);
/// That something cannot be undone is said this often.
const SAY_EVERY: Duration = Duration::from_secs(60);
const PUBLISH_PATIENCE: Duration = Duration::from_secs(10);

/// What is said without jobs that were undone in a tick, and through when it was said with them.
pub(super) struct Undone {
    pub(super) said: Succession,
    pub(super) last_ms: Millis,
}

/// Looks whether something is to be undone.
#[derive(Default)]
pub(super) struct Agreeing {
    looked: Option<Instant>,
    said: Option<Instant>,
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() > every)
}

/// All jobs that are undone, and `more`.
fn undone_with<K>(adapter: &Adapter<K>, more: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    adapter.control().undoing().undone() | more
}

impl Engine {
    /// Says that a backfill is undone whose undoing is asked for, if there is a state from before it to begin
    /// with. That is a control record, so that a replay undoes it at the same place.
    pub(super) fn agree(&mut self) -> anyhow::Result<()> {
        let asked = self.adapter.control().undoing().asked();
        if asked.is_empty() || !is_due(self.agreeing.looked, LOOK) {
            return Ok(());
        }
        self.agreeing.looked = Some(Instant::now());
        let was_read = |job: &&Arc<str>| self.adapter.backfills().any(|read| read.id == *job);
        let asked: Vec<Arc<str>> = asked.iter().filter(was_read).cloned().collect();
        if asked.is_empty() || !self.adapter.may_undo() {
            return Ok(());
        }
        let kafka = self.config.kafka_options();
        let snapshots = Snapshots::find(&self.config, &kafka, self.logic_version)?;
        for job in asked {
            let jobs = undone_with(&self.adapter, &BTreeSet::from([job.clone()]));
            if snapshots.has_any_without(&kafka, &mut self.log, &jobs)? {
                let record = json!({"backfills": {&*job: "undone"}, "changed_by": "cebe run"});
                let record = record.to_string().into_bytes();
                if let Err(error) = control::publish(&kafka, &record, PUBLISH_PATIENCE) {
                    tracing::warn!(%error, %job, "that it is undone cannot be said; trying again");
                }
                return Ok(());
            }
            if is_due(self.agreeing.said, SAY_EVERY) {
                self.agreeing.said = Some(Instant::now());
                tracing::error!(
                    %job,
                    "it cannot be undone: no snapshot from before it is left from which kafka reaches on"
                );
            }
        }
        Ok(())
    }

    /// The tick that undoes `jobs`. From here on the state is one in which they were never read.
    pub(super) fn undo(
        &mut self,
        binding: &Binding,
        records: &[Record],
        jobs: &BTreeSet<Arc<str>>,
    ) -> anyhow::Result<Computed> {
        let begin = Instant::now();
        tracing::info!(?jobs, "undoing: the log is worked through again without them");
        let mut said = self.begin_again(binding, &undone_with(&self.adapter, jobs))?;
        let records_since = self.work_through(&mut said, binding)?;
        let mut adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, records)?;
        let kept = KeptTick::new(&adapted, binding.t_ms);
        let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
        self.adapter.learn(&output.moments);
        self.next_wakeup_ms = output.next_wakeup_ms;
        said.note(&output.moments, self.adapter.token_keys());
        let (_, last_ms) = said.follow(binding);
        let took_ms = begin.elapsed().as_millis() as u64;
        tracing::info!(?jobs, records_since, took_ms, "undone");
        let undone = Some(Undone { said, last_ms });
        Ok(Computed { rows: adapted.rows, moments: Vec::new(), kept, undone })
    }

    /// Goes back to a state without `jobs`, which `binding` undoes.
    fn begin_again(
        &mut self,
        binding: &Binding,
        jobs: &BTreeSet<Arc<str>>,
    ) -> anyhow::Result<Succession> {
        // What it is still writing counts as published.
        self.keeping.end();
        let (kafka, judge) = (self.config.kafka_options(), self.adapter.judge().clone());
        let mut snapshots = Snapshots::find(&self.config, &kafka, self.logic_version)?;
        snapshots.leave_out_from(binding.number);
        let workers = self.config.engine.workers as usize;
        let begun = snapshots.begin_without(&kafka, &mut self.log, &judge, workers, jobs)?;
        let origin = begun.origin(snapshots.outputs());
        let (store, rests_on) = (snapshots.store.clone(), snapshots.rests_on.clone());
        let keeper = Keeper::start(store.clone(), rests_on, origin, Sizes::default())?;
        self.keeping = Keeping::new(keeper, &self.config, self.logic_version);
        self.outputs = (store, snapshots.outputs().cloned());
        let Begun { adapter, dataflow, place, succession, .. } = begun;
        self.adapter.go_on_as(adapter);
        self.adapter.leave_out(jobs.iter().cloned());
        self.dataflow = dataflow;
        self.begins_at = place;
        Ok(succession)
    }

    /// Takes in every binding before `last`; returns how many records they had.
    fn work_through(&mut self, said: &mut Succession, last: &Binding) -> anyhow::Result<u64> {
        let kafka = self.config.kafka_options();
        let mut source = Source::open(&kafka, SourceOptions::default())?;
        let mut bindings = self.log.replay(std::mem::take(&mut self.begins_at))?;
        let mut records_since = 0;
        loop {
            let binding = bindings.next(&self.log)?;
            let binding = binding.with_context(|| format!("binding {} is gone", last.number))?;
            if binding.number == last.number {
                return Ok(records_since);
            }
            let records = source.take(&binding.ranges)?;
            records_since += records.len() as u64;
            let mut adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, &records)?;
            let kept = KeptTick::new(&adapted, binding.t_ms);
            let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
            self.adapter.learn(&output.moments);
            said.note(&output.moments, self.adapter.token_keys());
            said.follow(&binding);
            self.keeping.add(kept);
        }
    }
}
