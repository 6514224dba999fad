//! The ledger: per partition, how many records were read and what became of them (product §3).

use std::sync::Arc;

use cebe_schemas::row::{LedgerRow, Row};
use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::Miscounted;
use crate::binding::Range;
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Sorted by topic and partition.
    partitions: Vec<Partition>,
    /// The place of the last record: the next is mostly of the same partition.
    #[serde(skip)]
    last: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Partition {
    topic: Arc<str>,
    number: i32,
    read: u64,
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    skipped: u64,
    /// Of this tick.
    #[serde(skip)]
    skipped_ranges: Vec<(i64, i64)>,
    /// In this tick.
    #[serde(skip)]
    touched: bool,
}

impl Partition {
    fn new(topic: Arc<str>, number: i32) -> Partition {
        Partition {
            topic,
            number,
            read: 0,
            accepted: 0,
            duplicate: 0,
            rejected: 0,
            skipped: 0,
            skipped_ranges: Vec::new(),
            touched: false,
        }
    }

    fn place(&self) -> (&str, i32) {
        (&self.topic, self.number)
    }

    fn skip(&mut self, offset: i64) {
        match self.skipped_ranges.last_mut() {
            Some((_, to)) if *to == offset => *to += 1,
            _ => self.skipped_ranges.push((offset, offset + 1)),
        }
    }
}

impl Ledger {
    pub(super) fn read(&mut self, record: &Record) {
        let partition = self.partition(&record.topic, record.partition);
        partition.touched = true;
        partition.read += 1;
    }

    pub(super) fn decided(&mut self, record: &Record, outcome: Outcome) {
        let partition = self.partition(&record.topic, record.partition);
        if outcome == Outcome::Skipped {
            partition.skip(record.offset);
        }
        *match outcome {
            Outcome::Accepted => &mut partition.accepted,
            Outcome::Duplicate => &mut partition.duplicate,
            Outcome::Rejected => &mut partition.rejected,
            Outcome::Skipped => &mut partition.skipped,
        } += 1;
    }

    /// One that had been a duplicate is accepted now.
    pub(super) fn taken_up(&mut self, topic: &Arc<str>, number: i32) {
        let partition = self.partition(topic, number);
        partition.touched = true;
        partition.duplicate -= 1;
        partition.accepted += 1;
    }

    /// So many records of a partition were read, whatever became of them.
    pub(super) fn bound(&mut self, range: &Range) {
        self.partition(&range.topic, range.partition).read += range.records;
    }

    /// One of them was accepted.
    pub(super) fn accepted(&mut self, topic: &Arc<str>, number: i32) {
        self.partition(topic, number).accepted += 1;
    }

    /// Takes over what became of the records of each partition, if that agrees with what was read, and with
    /// the events accepted but for those that have `expired` since.
    pub(super) fn take_over(
        &mut self,
        rows: &[LedgerRow],
        expired: impl Fn(&str, i32) -> u64,
    ) -> Result<(), Miscounted> {
        for row in rows {
            self.partition(&row.topic, row.partition);
        }
        for partition in &mut self.partitions {
            let place = partition.place();
            let row = rows.iter().find(|row| (&*row.topic, row.partition) == place);
            let accepted = row.map_or(0, |row| row.accepted);
            let least = accepted.saturating_sub(expired(place.0, place.1));
            let is_whole = (least..=accepted).contains(&partition.accepted);
            if row.map_or(0, |row| row.records_read) != partition.read || !is_whole {
                return Err(Miscounted {
                    topic: partition.topic.clone(),
                    partition: partition.number,
                    bound: partition.read,
                    read: row.map_or(0, |row| row.records_read),
                    events: partition.accepted,
                    accepted,
                });
            }
            partition.accepted = accepted;
            if let Some(row) = row {
                (partition.duplicate, partition.rejected) = (row.duplicate, row.rejected);
                partition.skipped = row.skipped;
            }
        }
        Ok(())
    }

    fn partition(&mut self, topic: &Arc<str>, number: i32) -> &mut Partition {
        let place = (&**topic, number);
        if self.partitions.get(self.last).is_none_or(|last| last.place() != place) {
            self.last = match self.partitions.binary_search_by(|held| held.place().cmp(&place)) {
                Ok(at) => at,
                Err(at) => {
                    let partition = Partition::new(topic.clone(), number);
                    self.partitions.insert(at, partition);
                    at
                }
            };
        }
        &mut self.partitions[self.last]
    }

    /// Appends the new state of every partition that was read since it was asked last.
    pub(super) fn rows(&mut self, t_ms: Millis, rows: &mut Vec<Row>) {
        let touched = self.partitions.iter_mut().filter(|partition| partition.touched);
        rows.extend(touched.map(|partition| {
            partition.touched = false;
            Row::Ledger(LedgerRow {
                topic: partition.topic.clone(),
                partition: partition.number,
                records_read: partition.read,
                accepted: partition.accepted,
                duplicate: partition.duplicate,
                rejected: partition.rejected,
                skipped: partition.skipped,
                skipped_ranges: std::mem::take(&mut partition.skipped_ranges),
                logical_time: t_ms,
            })
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ledger: &mut Ledger, outcomes: &[(i64, Outcome)]) -> Vec<(i64, i64)> {
        for (offset, outcome) in outcomes {
            let topic = "cebe.events.ads".into();
            let record = Record { topic, partition: 0, offset: *offset, ..Record::default() };
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
