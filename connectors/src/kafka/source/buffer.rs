//! Records read from one partition and not yet taken. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use crate::binding::Range;

/// One record of a source topic or of the control topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it was read.
    pub topic: Arc<str>,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// Its create time; −1 if it has none.
    pub created_ms: Millis,
    /// Its value; empty if it has none.
    pub payload: Vec<u8>,
    /// The backfill that published it; "" if none did.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub job: Arc<str>,
}

/// Records of one partition in order of offset.
#[derive(Debug)]
pub(super) struct PartitionBuffer {
    topic: Arc<str>,
    partition: i32,
    records: VecDeque<Record>,
    bytes: usize,
    /// Where the next range begins.
    bound_to: i64,
    /// No record before this offset will come.
    held_from: i64,
}

/// What a range turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Records(Vec<Record>),
    /// Its last record has not been read yet.
    NotYet,
    /// It holds another number of records than was bound, or not the last one.
    Different {
        found: u64,
    },
}

impl PartitionBuffer {
    pub(super) fn new(topic: Arc<str>, partition: i32, start: i64) -> PartitionBuffer {
        let (records, bytes) = (VecDeque::new(), 0);
        PartitionBuffer { topic, partition, records, bytes, bound_to: start, held_from: start }
    }

    /// The offset that reading has to go on from.
    pub(super) fn next_offset(&self) -> i64 {
        self.records.back().map_or(self.bound_to.max(self.held_from), |record| record.offset + 1)
    }

    /// Gives up what lies before `offset` and was not read.
    pub(super) fn skip_to(&mut self, offset: i64) {
        self.held_from = offset;
    }

    /// Where the next range begins.
    pub(super) fn bound_to(&self) -> i64 {
        self.bound_to
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next record; one that was read before is dropped, and false is returned.
    pub(super) fn push(
        &mut self,
        offset: i64,
        created_ms: Millis,
        payload: &[u8],
        job: &Arc<str>,
    ) -> bool {
        if offset < self.next_offset() {
            return false;
        }
        self.bytes += payload.len();
        self.records.push_back(Record {
            topic: self.topic.clone(),
            partition: self.partition,
            offset,
            created_ms,
            payload: payload.to_vec(),
            job: job.clone(),
        });
        true
    }

    /// The range of the first records: at most `records`, and at most `bytes` unless the first
    /// alone is larger. None if there is nothing, or nothing is allowed.
    pub(super) fn offer(&self, records: usize, bytes: usize) -> Option<Range> {
        let mut sum = 0;
        let fits = |(at, record): &(usize, &Record)| {
            sum += record.payload.len();
            *at == 0 || sum <= bytes
        };
        let (at, last) = self.records.iter().enumerate().take(records).take_while(fits).last()?;
        Some(Range {
            topic: self.topic.clone(),
            partition: self.partition,
            from: self.bound_to,
            to: last.offset + 1,
            records: at as u64 + 1,
        })
    }

    /// Removes the records of `range`, if they are all there and exactly those.
    pub(super) fn take(&mut self, range: &Range) -> Taken {
        if self.next_offset() < range.to {
            return Taken::NotYet;
        }
        let count = self.records.partition_point(|record| record.offset < range.to);
        let ends_in_record = count > 0 && self.records[count - 1].offset == range.to - 1;
        if count as u64 != range.records || !ends_in_record {
            return Taken::Different { found: count as u64 };
        }
        let records: Vec<Record> = self.records.drain(..count).collect();
        self.bytes -= records.iter().map(|record| record.payload.len()).sum::<usize>();
        self.bound_to = range.to;
        Taken::Records(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(start: i64, offsets: &[i64]) -> PartitionBuffer {
        let mut buffer = PartitionBuffer::new("t".into(), 3, start);
        for offset in offsets {
            assert!(push(&mut buffer, *offset, 0, b"12345"));
        }
        buffer
    }

    fn push(buffer: &mut PartitionBuffer, offset: i64, created_ms: Millis, payload: &[u8]) -> bool {
        buffer.push(offset, created_ms, payload, &Arc::default())
    }

    fn range(from: i64, to: i64, records: u64) -> Range {
        Range { topic: "t".into(), partition: 3, from, to, records }
    }

    #[test]
    fn offers_ranges_that_end_in_a_record_and_count_records() {
        let buffer = buffer(2, &[4, 5, 9]);
        assert_eq!(buffer.offer(10, 100), Some(range(2, 10, 3)));
        assert_eq!(buffer.offer(2, 100), Some(range(2, 6, 2)));
        assert_eq!(buffer.offer(10, 10), Some(range(2, 6, 2)));
        assert_eq!(buffer.offer(10, 1), Some(range(2, 5, 1)), "one record is always taken");
        assert_eq!(buffer.offer(0, 100), None);
    }

    #[test]
    fn takes_exactly_what_was_offered() {
        let mut buffer = buffer(2, &[4, 5, 9]);
        let range = buffer.offer(2, 100).unwrap();
        let Taken::Records(records) = buffer.take(&range) else { panic!("not taken") };
        assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), [4, 5]);
        assert_eq!((buffer.bound_to(), buffer.len(), buffer.bytes()), (6, 1, 5));
        assert_eq!(buffer.offer(10, 100), Some(super::tests::range(6, 10, 1)));
    }

    #[test]
    fn waits_for_the_last_record_and_refuses_another_count() {
        let mut buffer = buffer(2, &[4, 5]);
        assert_eq!(buffer.take(&range(2, 10, 3)), Taken::NotYet);
        assert!(push(&mut buffer, 9, 0, b""));
        assert_eq!(buffer.take(&range(2, 10, 4)), Taken::Different { found: 3 });
        assert_eq!(buffer.take(&range(2, 9, 2)), Taken::Different { found: 2 }, "8 is gone");
        assert!(matches!(buffer.take(&range(2, 10, 3)), Taken::Records(_)));
    }

    #[test]
    fn what_is_given_up_is_part_of_a_range_and_no_record_of_it() {
        let mut buffer = buffer(2, &[]);
        buffer.skip_to(5);
        assert_eq!((buffer.next_offset(), buffer.bound_to()), (5, 2));
        assert!(!push(&mut buffer, 4, 0, b"") && push(&mut buffer, 5, 0, b""));
        let offered = buffer.offer(10, 100).unwrap();
        assert_eq!(offered, range(2, 6, 1));
        assert!(matches!(buffer.take(&offered), Taken::Records(records) if records.len() == 1));
    }

    #[test]
    fn drops_what_was_read_before() {
        let mut buffer = buffer(2, &[4, 5]);
        for offset in [1, 4, 5] {
            assert!(!push(&mut buffer, offset, 0, b""));
        }
        assert_eq!((buffer.len(), buffer.next_offset()), (2, 6));
    }
}
