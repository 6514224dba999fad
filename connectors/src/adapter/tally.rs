//! The key events of operation (product §3): structured logs and counters, by the names given there.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::row::{EventRow, RejectedRow, Row};
use cebe_schemas::time::format_rfc3339;
use cebe_schemas::verdict::ValidEvent;
use serde::Deserialize;

use super::AdaptedTick;

/// What became of the records of one tick, by the labels of the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// (`source_module`, `event_name`) → accepted events.
    pub ingested: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// (`source_module`, `reason`) → rejected records.
    pub rejected: BTreeMap<(String, &'static str), u64>,
    /// The duplicates.
    pub duplicates: Vec<Duplicate>,
    /// `source_module` → skipped records.
    pub skipped: BTreeMap<String, u64>,
}

/// An event that had been taken in before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The publisher.
    pub source_module: Arc<str>,
    /// The customer as named; "" if the event names none.
    pub qontak_customer_id: Arc<str>,
    /// The ordinal of the record that was taken in.
    pub of: u64,
}

impl Tally {
    pub(super) fn ingested(&mut self, event: &ValidEvent) {
        let labels = (event.source_module.clone(), event.event_name.clone());
        *self.ingested.entry(labels).or_default() += 1;
    }

    pub(super) fn rejected(&mut self, source: &str, reason: &'static str) {
        *self.rejected.entry((source.to_owned(), reason)).or_default() += 1;
    }

    pub(super) fn duplicate(&mut self, event: ValidEvent, of: u64) {
        self.duplicates.push(Duplicate {
            source_module: event.source_module,
            qontak_customer_id: event.qontak_customer_id.unwrap_or_default(),
            of,
        });
    }

    pub(super) fn skipped(&mut self, source: &str) {
        *self.skipped.entry(source.to_owned()).or_default() += 1;
    }

    fn count(&self) {
        for ((source_module, event_name), count) in &self.ingested {
            metrics::counter!("cebe_events_ingested_total",
                "source_module" => source_module.clone(), "event_name" => event_name.clone())
            .increment(*count);
        }
        for ((source_module, reason), count) in &self.rejected {
            metrics::counter!("cebe_events_rejected_total",
                "source_module" => source_module.clone(), "reason" => *reason)
            .increment(*count);
        }
        for duplicate in &self.duplicates {
            metrics::counter!("cebe_events_duplicate_total",
                "source_module" => duplicate.source_module.clone())
            .increment(1);
        }
        for (source_module, count) in &self.skipped {
            metrics::counter!("cebe_events_skipped_total",
                "source_module" => source_module.clone())
            .increment(*count);
        }
    }
}

impl AdaptedTick {
    /// Counts and logs the tick. For live ticks only: a replay has reported them before.
    pub fn report(&self) {
        self.tally.count();
        for row in &self.rows {
            match row {
                Row::Event(row) => log_ingested(row),
                Row::Rejected(row) => log_rejected(row),
                _ => {}
            }
        }
        for Duplicate { source_module, qontak_customer_id, of } in &self.tally.duplicates {
            tracing::debug!(
                source_module = &**source_module,
                reason = "duplicate",
                qontak_customer_id = &**qontak_customer_id,
                of,
                "cebe_event_rejected"
            );
        }
    }
}

fn log_ingested(row: &EventRow) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        tracing::debug!(
            source_module = &*row.source_module,
            event_name = &*row.event_name,
            qontak_customer_id = &*row.qontak_customer_id,
            latency_ms = row.received_at - row.published_at,
            timestamp = format_rfc3339(row.occurred_at),
            "cebe_event_ingested"
        );
    }
}

fn log_rejected(row: &RejectedRow) {
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!(
            source_module = row.source_module,
            reason = row.reason,
            qontak_customer_id = customer_in(&row.payload),
            pointer = row.pointer,
            topic = row.topic,
            partition = row.partition,
            offset = row.offset,
            "cebe_event_rejected"
        );
    }
}

/// The customer that a masked payload names, as far as it can be read.
fn customer_in(payload: &str) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        qontak_customer_id: String,
    }
    serde_json::from_str(payload)
        .map_or_else(|_| String::new(), |envelope: Envelope| envelope.qontak_customer_id)
}
