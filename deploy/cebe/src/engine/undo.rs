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

use super::beside::{Beside, Jobs, Made, Making};
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

/// What is to be undone, and the state without it.
#[derive(Default)]
pub(super) struct Agreeing {
    looked: Option<Instant>,
    said: Option<Instant>,
    beside: Option<Beside>,
}

impl Agreeing {
    /// A binding is published, of which that is kept.
    pub(super) fn committed(&self, binding: &Binding, kept: &KeptTick) {
        self.beside.iter().for_each(|beside| beside.committed(binding, kept));
    }

    /// The state that is being made without `jobs`; any other is given up.
    fn beside(&mut self, jobs: &Jobs) -> Option<&Beside> {
        let is_it = |beside: &Beside| beside.jobs() == jobs && !beside.has_failed();
        if !self.beside.as_ref().is_some_and(is_it)
            && let Some(other) = self.beside.take()
            && other.has_failed()
            && let Err(error) = other.finish()
        {
            let error = format!("{error:#}");
            tracing::error!(error, "what is to be undone is begun again");
        }
        self.beside.as_ref()
    }
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() > every)
}

/// All jobs that are undone, and `more`.
fn undone_with<K>(adapter: &Adapter<K>, more: &Jobs) -> Jobs {
    adapter.control().undoing().undone() | more
}

impl Engine {
    /// Has the state made without a backfill whose undoing is asked for, if there is one from before it to begin with; and once
    /// that is made, says that it is undone. That is a control record, so that a replay undoes it at the same place.
    pub(super) fn agree(&mut self) -> anyhow::Result<()> {
        let asked = self.adapter.control().undoing().asked();
        if asked.is_empty() || !is_due(self.agreeing.looked, LOOK) {
            return Ok(());
        }
        self.agreeing.looked = Some(Instant::now());
        let was_read = |job: &&Arc<str>| self.adapter.backfills().any(|read| read.id == *job);
        let asked: Vec<Arc<str>> = asked.iter().filter(was_read).cloned().collect();
        for job in asked {
            let jobs = undone_with(&self.adapter, &BTreeSet::from([job.clone()]));
            let is_close = self.agreeing.beside(&jobs).map(Beside::is_close);
            match is_close {
                Some(true) if self.adapter.may_undo() => {
                    self.say_undone(&job);
                    return Ok(());
                }
                Some(_) => return Ok(()),
                None if self.begin_beside(&jobs)? => return Ok(()),
                None => {}
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

    fn say_undone(&self, job: &str) {
        let record = json!({"backfills": {job: "undone"}, "changed_by": "cebe run"});
        let record = record.to_string().into_bytes();
        let kafka = self.config.kafka_options();
        if let Err(error) = control::publish(&kafka, &record, PUBLISH_PATIENCE) {
            tracing::warn!(%error, %job, "that it is undone cannot be said; trying again");
        }
    }

    /// Whether there is a state to begin with.
    fn begin_beside(&mut self, jobs: &Jobs) -> anyhow::Result<bool> {
        let kafka = self.config.kafka_options();
        let snapshots = Snapshots::find(&self.config, &kafka, self.logic_version)?;
        let head = self.log.chain().head();
        if !snapshots.has_any_without(&kafka, head.number, jobs)? {
            return Ok(false);
        }
        tracing::info!(?jobs, "undoing: the log is worked through again without them");
        let making = Making {
            config: self.config.clone(),
            logic_version: self.logic_version,
            judge: self.adapter.judge().clone(),
            keys: self.adapter.keys().beside(),
        };
        self.agreeing.beside = Some(Beside::begin(making, jobs.clone(), (head.number, head.t_ms))?);
        Ok(true)
    }

    /// The tick that undoes `jobs`. From here on the state is one in which they were never read.
    pub(super) fn undo(
        &mut self,
        binding: &Binding,
        records: &[Record],
        jobs: &Jobs,
    ) -> anyhow::Result<Computed> {
        let begin = Instant::now();
        let all = undone_with(&self.adapter, jobs);
        let made = match self.agreeing.beside(&all).is_some() {
            true => self.agreeing.beside.take().map(Beside::finish).transpose()?,
            false => None,
        };
        let is_beside = made.is_some();
        let (mut said, records_since) = match made {
            Some(made) => self.take_over(made, binding)?,
            None => {
                tracing::info!(?jobs, "the log is worked through again without them");
                let mut said = self.begin_again(binding, &all)?;
                let records_since = self.work_through(&mut said, binding)?;
                (said, records_since)
            }
        };
        let mut adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, records)?;
        let kept = KeptTick::new(&adapted, binding.t_ms);
        let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
        self.adapter.learn(&output.moments);
        self.next_wakeup_ms = output.next_wakeup_ms;
        said.note(&output.moments, self.adapter.token_keys());
        let (_, last_ms) = said.follow(binding);
        let took_ms = begin.elapsed().as_millis() as u64;
        tracing::info!(?jobs, records_since, is_beside, took_ms, "undone");
        let undone = Some(Undone { said, last_ms });
        Ok(Computed { rows: adapted.rows, moments: Vec::new(), kept, undone })
    }

    /// Goes on as a state that was made beside this one.
    fn take_over(&mut self, made: Made, binding: &Binding) -> anyhow::Result<(Succession, u64)> {
        let snapshots = self.keep_from(binding)?;
        self.keep_again(&snapshots, made.begun_at)?;
        self.keeping.add(made.kept);
        self.adapter.go_on_as(made.adapter.with_keys(()));
        self.dataflow = made.dataflow;
        Ok((made.said, made.records))
    }

    /// Goes back to a state without `jobs`, which `binding` undoes.
    fn begin_again(&mut self, binding: &Binding, jobs: &Jobs) -> anyhow::Result<Succession> {
        let (kafka, judge) = (self.config.kafka_options(), self.adapter.judge().clone());
        let snapshots = self.keep_from(binding)?;
        let workers = self.config.engine.workers as usize;
        let begun =
            snapshots.begin_without(&kafka, binding.number, &judge, workers, jobs, || Ok(()))?;
        let Begun { adapter, dataflow, place, succession } = begun;
        self.keep_again(&snapshots, place.chain.head().number)?;
        self.adapter.go_on_as(adapter);
        self.adapter.leave_out(jobs.iter().cloned());
        self.dataflow = dataflow;
        self.begins_at = place;
        Ok(succession)
    }

    /// The snapshots from before `binding`, all of them written.
    fn keep_from(&mut self, binding: &Binding) -> anyhow::Result<Snapshots> {
        // What it is still writing counts as published.
        self.keeping.end();
        let kafka = self.config.kafka_options();
        let mut snapshots = Snapshots::find(&self.config, &kafka, self.logic_version)?;
        snapshots.leave_out_from(binding.number);
        Ok(snapshots)
    }

    /// What is kept from now on follows the state after the binding `begun_at`.
    fn keep_again(&mut self, snapshots: &Snapshots, begun_at: u64) -> anyhow::Result<()> {
        let origin = snapshots.origin_at(begun_at)?;
        let (store, rests_on) = (snapshots.store.clone(), snapshots.rests_on.clone());
        let keeper = Keeper::start(store.clone(), rests_on, origin, Sizes::default())?;
        self.keeping = Keeping::new(keeper, &self.config, self.logic_version);
        self.outputs = (store, snapshots.outputs().cloned());
        Ok(())
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
