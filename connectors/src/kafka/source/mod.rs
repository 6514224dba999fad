//! The input: every record of the topics of control, history and counts and of the sources' topics, in
//! the order that the bindings give them.
//!
//! Consumers without a group read all partitions: one those that are live, and another the backfills,
//! which may fall behind as far as they like without anything live waiting for it. Records wait in memory
//! until they are bound and taken; when too many wait, polling stops, and the client's own bounded queue
//! stops the fetching. [`Source::take`] serves replay and live alike: it returns exactly the records that a
//! binding names, or fails. Nothing is skipped: an offset that is not there any more is an error.

mod buffer;
mod discovery;
mod error;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::client::KafkaOptions;
use crate::binding::{Binding, Range};
use crate::fair_share::fair_share;
use buffer::PartitionBuffer;
pub use buffer::Record;
use discovery::Discovery;
pub use error::{Lost, SourceError};
use reading::{Queue, Reading};

/// How much may wait in memory, or be bound at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

/// How much waits in memory.
pub type Buffered = Limits;

/// How the source reads.
#[derive(Clone, Copy, Debug)]
pub struct SourceOptions {
    /// Polling of what is live stops while this much waits.
    pub buffer: Limits,
    /// The same of backfills.
    pub backfill_buffer: Limits,
    /// What was deleted before it was read is given up. Otherwise it is an error.
    pub accept_loss: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        let buffer = Limits { records: 100_000, bytes: 64 << 20 };
        let backfill_buffer = Limits { records: 20_000, bytes: 32 << 20 };
        SourceOptions { buffer, backfill_buffer, accept_loss: false }
    }
}

/// Reads the input.
pub struct Source {
    kafka: KafkaOptions,
    accept_loss: bool,
    live: Reading,
    backfill: Reading,
    /// The most records of backfills in one tick.
    backfill_records: usize,
    discovery: Option<Discovery>,
}

/// The most of history in one tick: events go first, and history goes on all the same.
const HISTORY: Limits = Limits { records: 1, bytes: 1 << 20 };

/// What the client fetches ahead of what is live, and of backfills.
const LIVE_QUEUE: Queue = Queue { messages: "20000", kbytes: "32768" };
const BACKFILL_QUEUE: Queue = Queue { messages: "10000", kbytes: "8192" };

type Place = (Arc<str>, i32);

impl Source {
    /// A source that reads only what [`take`](Source::take) asks for, until it goes live.
    ///
    /// # Errors
    /// The client cannot be made with these options.
    pub fn open(kafka: &KafkaOptions, options: SourceOptions) -> Result<Source, SourceError> {
        let SourceOptions { buffer, backfill_buffer, accept_loss } = options;
        Ok(Source {
            kafka: kafka.clone(),
            accept_loss,
            live: Reading::open(kafka, LIVE_QUEUE, buffer)?,
            backfill: Reading::open(kafka, BACKFILL_QUEUE, backfill_buffer)?,
            backfill_records: usize::MAX,
            discovery: None,
        })
    }

    /// From now on reads every partition there is, those that come later too: where bindings have
    /// left them (`positions`), else from their first record.
    ///
    /// # Errors
    /// [`SourceError::Lost`], unless that is accepted; Kafka refuses.
    pub fn go_live(&mut self, positions: &BTreeMap<Place, i64>) -> Result<(), SourceError> {
        let places =
            positions.iter().map(|((topic, partition), at)| (topic.clone(), *partition, *at));
        self.assign(places.filter(|place| !self.reads(place)).collect::<Vec<_>>())?;
        let mut lost = self.live.miss(self.accept_loss)?;
        lost.append(&mut self.backfill.miss(self.accept_loss)?);
        if !lost.is_empty() && !self.accept_loss {
            return Err(SourceError::Lost(lost));
        }
        let known = self.live.places().chain(self.backfill.places()).cloned().collect();
        self.discovery = Some(Discovery::start(self.live.consumer(), &self.kafka, known)?);
        self.assign_found()
    }

    fn reads(&self, (topic, partition, _): &(Arc<str>, i32, i64)) -> bool {
        self.of(topic).buffer(&(topic.clone(), *partition)).is_some()
    }

    /// Reads for at most `timeout`, and returns as soon as something has come.
    ///
    /// # Errors
    /// Records that are needed are gone.
    pub fn fill(&mut self, timeout: Duration) -> Result<(), SourceError> {
        self.assign_found()?;
        self.backfill.fill(Duration::ZERO)?;
        self.live.fill(if self.may_backfill() { Duration::ZERO } else { timeout })
    }

    /// Whether something waits that may be offered.
    pub fn has_some(&self) -> bool {
        self.live.buffered().records > 0 || self.may_backfill()
    }

    fn may_backfill(&self) -> bool {
        self.backfill_records > 0 && self.backfill.buffered().records > 0
    }

    /// What waits in memory, backfills included.
    pub fn buffered(&self) -> Buffered {
        let (live, backfill) = (self.live.buffered(), self.backfill.buffered());
        Limits { records: live.records + backfill.records, bytes: live.bytes + backfill.bytes }
    }

    /// What waits in memory of backfills.
    pub fn backfill_buffered(&self) -> Buffered {
        self.backfill.buffered()
    }

    /// How many records of backfills `binding` takes in.
    pub fn backfilled(&self, binding: &Binding) -> u64 {
        let ranges = binding.ranges.iter();
        let backfills = ranges.filter(|range| self.kafka.topics.is_backfill(&range.topic));
        backfills.map(|range| range.records).sum()
    }

    /// From now on so many records of backfills are offered for a tick, at most.
    pub fn allow_backfill(&mut self, records: usize) {
        self.backfill_records = records;
    }

    /// The ranges that can be bound now, at most `limits` together. Control records come first, then
    /// at most one record of history; then what is live, shared evenly, so that no backlog keeps other
    /// partitions waiting; and backfills last.
    pub fn offer(&self, limits: Limits) -> Vec<Range> {
        let mut left = limits;
        let mut ranges = Vec::new();
        let topics = &self.kafka.topics;
        let (mut control, mut history, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for buffer in self.live.waiting() {
            match buffer.topic() {
                topic if topic == topics.control => control.push(buffer),
                topic if topic == topics.history => history.push(buffer),
                _ => events.push(buffer),
            }
        }
        let backfill = Limits { records: self.backfill_records, ..limits };
        let backfills: Vec<&PartitionBuffer> = self.backfill.waiting().collect();
        for (group, most) in
            [(control, limits), (history, HISTORY), (events, limits), (backfills, backfill)]
        {
            let (records, bytes) = (left.records.min(most.records), left.bytes.min(most.bytes));
            let records = fair_share(group.iter().map(|buffer| buffer.len()), records);
            let bytes = fair_share(group.iter().map(|buffer| buffer.bytes()), bytes);
            for ((buffer, records), bytes) in group.into_iter().zip(records).zip(bytes) {
                if let Some(range) = buffer.offer(records, bytes) {
                    left.records = left.records.saturating_sub(range.records as usize);
                    left.bytes = left.bytes.saturating_sub(bytes);
                    ranges.push(range);
                }
            }
        }
        ranges.sort();
        ranges
    }

    /// The records of `ranges` (of one binding) in ordinal order. Waits until they are there.
    ///
    /// # Errors
    /// They are gone, or not those that were bound.
    pub fn take(&mut self, ranges: &[Range]) -> Result<Vec<Record>, SourceError> {
        let mut unassigned = Vec::new();
        for range in ranges {
            match self.of(&range.topic).buffer(&(range.topic.clone(), range.partition)) {
                None => unassigned.push((range.topic.clone(), range.partition, range.from)),
                Some(buffer) if range.from != buffer.bound_to() => {
                    let at = buffer.bound_to();
                    return Err(SourceError::OutOfOrder { range: range.clone(), at });
                }
                Some(_) => {}
            }
        }
        self.assign(unassigned)?;
        let mut taken = Vec::new();
        for range in ranges {
            let reading = match self.kafka.topics.is_backfill(&range.topic) {
                true => &mut self.backfill,
                false => &mut self.live,
            };
            taken.append(&mut reading.take(range)?);
        }
        Ok(taken)
    }

    fn of(&self, topic: &str) -> &Reading {
        if self.kafka.topics.is_backfill(topic) { &self.backfill } else { &self.live }
    }

    fn assign_found(&mut self) -> Result<(), SourceError> {
        let found = self.discovery.as_ref().map(Discovery::found).unwrap_or_default();
        let found: Vec<_> =
            found.into_iter().map(|each| (each.topic, each.partition, each.start)).collect();
        for (topic, partition, offset) in &found {
            tracing::info!(topic = &**topic, partition, offset, "reading a new partition");
        }
        self.assign(found)
    }

    fn assign(&mut self, places: Vec<(Arc<str>, i32, i64)>) -> Result<(), SourceError> {
        let (backfill, live): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| self.kafka.topics.is_backfill(&place.0));
        self.live.assign(live)?;
        self.backfill.assign(backfill)
    }
}
