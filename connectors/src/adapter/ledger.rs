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
    /// Of this tick.
    skipped_ranges: Vec<(i64, i64)>,
}

impl Counts {
    fn skip(&mut self, offset: i64) {
        match self.skipped_ranges.last_mut() {
            Some((_, to)) if *to == offset => *to += 1,
            _ => self.skipped_ranges.push((offset, offset + 1)),
        }
    }
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
        if outcome == Outcome::Skipped {
            counts.skip(record.offset);
        }
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
            let Some(counts) = self.partitions.get_mut(&place) else { continue };
            rows.push(Row::Ledger(LedgerRow {
                topic: place.0.to_string(),
                partition: place.1,
                records_read: counts.read,
                accepted: counts.accepted,
                duplicate: counts.duplicate,
                rejected: counts.rejected,
                skipped: counts.skipped,
                skipped_ranges: std::mem::take(&mut counts.skipped_ranges),
                logical_time: t_ms,
                seq: 0,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ledger: &mut Ledger, outcomes: &[(i64, Outcome)]) -> Vec<(i64, i64)> {
        for (offset, outcome) in outcomes {
            let topic = "cebe.events.ads".into();
            let record =
                Record { topic, partition: 0, offset: *offset, created_ms: 0, payload: Vec::new() };
            ledger.read(&record);
            ledger.decided(&record, *outcome);
        }
        let mut rows = Vec::new();
        ledger.rows(1, &mut rows);
        let [Row::Ledger(row)] = &rows[..] else { panic!("{rows:?}") };
        row.skipped_ranges.clone()
    }

    #[test]
    fn skipped_records_are_kept_as_ranges_of_the_tick() {
        use Outcome::{Accepted, Skipped};
        let mut ledger = Ledger::default();
        let mixed =
            [(3, Skipped), (4, Skipped), (5, Accepted), (6, Skipped), (8, Skipped), (9, Skipped)];
        // Offset 7 is the mark of a transaction: no record.
        assert_eq!(ranges(&mut ledger, &mixed), [(3, 5), (6, 7), (8, 10)]);
        assert_eq!(ranges(&mut ledger, &[(10, Skipped)]), [(10, 11)], "none is told twice");
        assert_eq!(ranges(&mut ledger, &[(11, Accepted)]), []);
    }
}
