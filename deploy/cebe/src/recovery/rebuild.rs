//! A start for which Kafka does not reach back far enough: the state is made from ClickHouse.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::binding_log::BindingLog;
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::rebuild::{Rebuild, survey};
use cebe_connectors::snapshot::Manifest;
use cebe_schemas::verdict::Judge;

use super::{Snapshots, answer};
use crate::config::Config;

/// The engine was told to stop before it had a state to begin with.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told to stop before the start was over")
    }
}

impl std::error::Error for Stopped {}

/// What an engine does while it waits for its state.
fn turn(log: &mut BindingLog, stop: &AtomicBool) -> anyhow::Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(Stopped.into()),
        false => answer(log),
    }
}

/// Whether records are gone from Kafka that a replay of the bindings after `place` needs.
pub(super) fn is_cut(
    kafka: &KafkaOptions,
    log: &mut BindingLog,
    place: &LogPlace,
    stop: &AtomicBool,
) -> anyhow::Result<bool> {
    let head = log.chain().head().number;
    let cut = survey(kafka, head, place.clone(), 0, || turn(log, stop))?;
    Ok(cut.is_any())
}

impl Snapshots {
    /// A snapshot made from ClickHouse; none: the sources reach back to the first binding.
    pub(super) fn rebuild(
        &self,
        config: &Config,
        kafka: &KafkaOptions,
        judge: &Judge,
        log: &mut BindingLog,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Manifest>> {
        let head = log.chain().head().number;
        let cut = survey(kafka, head, LogPlace::default(), 0, || turn(log, stop))?;
        if !cut.is_any() {
            return Ok(None);
        }
        let gone: Vec<String> = cut.sources().iter().map(ToString::to_string).collect();
        let gone = gone.join("; ");
        tracing::warn!(
            gone,
            "no snapshot can be used, and kafka does not reach back to the first binding: \
            rebuilding from clickhouse"
        );
        let clickhouse = config.clickhouse_client().with_database(&config.clickhouse.database);
        let (store, rests_on) = (&self.store, &*self.rests_on);
        let outputs = self.outputs();
        let rebuild = Rebuild { kafka, clickhouse, judge, store, rests_on, outputs };
        rebuild.run(log, &cut, |log| turn(log, stop)).map(Some)
    }
}
