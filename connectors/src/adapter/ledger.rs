//! The ledger: per partition, how many records were read and what became of them (product §3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::row::{LedgerRow, Row};
use cebe_schemas::time::Millis;

use crate::kafka::source::Record;

/// The four ends of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Duplicate,
    Rejected,
    Skipped,
}

/// Since the first binding. Reading and deciding are counted apart: if a path forgot a record, the
/// difference would show.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    partitions: BTreeMap<(Arc<str>, i32), Counts>,
    touched: BTreeSet<(Arc<str>, i32)>,
}

#[derive(Debug, Default)]
struct Counts {
    read: u64,
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    skipped: u64,
}

impl Ledger {
    pub(super) fn read(&mut self, record: &Record) {
        let place = (record.topic.clone(), record.partition);
        if !self.touched.contains(&place) {
            self.touched.insert(place.clone());
        }
        self.partitions.entry(place).or_default().read += 1;
    }

    pub(super) fn decided(&mut self, record: &Record, outcome: Outcome) {
        let place = (record.topic.clone(), record.partition);
        let counts = self.partitions.entry(place).or_default();
        *match outcome {
            Outcome::Accepted => &mut counts.accepted,
            Outcome::Duplicate => &mut counts.duplicate,
            Outcome::Rejected => &mut counts.rejected,
            Outcome::Skipped => &mut counts.skipped,
        } += 1;
    }

    /// Appends the new state of every partition that was read since it was asked last.
    pub(super) fn rows(&mut self, t_ms: Millis, rows: &mut Vec<Row>) {
        for place in std::mem::take(&mut self.touched) {
            let Some(counts) = self.partitions.get(&place) else { continue };
            rows.push(Row::Ledger(LedgerRow {
                topic: place.0.to_string(),
                partition: place.1,
                records_read: counts.read,
                accepted: counts.accepted,
                duplicate: counts.duplicate,
                rejected: counts.rejected,
                skipped: counts.skipped,
                logical_time: t_ms,
                seq: 0,
            }));
        }
    }
}
