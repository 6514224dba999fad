//! The input: every record of the topics of control, history and counts and of the sources' topics, in
//! the order that the bindings give them.
//!
//! One consumer without a group reads all partitions. Records wait in memory until they are bound
//! and taken; when too many wait, polling stops, and the client's own bounded queue stops the
//! fetching. [`Source::take`] serves replay and live alike: it returns exactly the records that a
//! binding names, or fails. Nothing is skipped: an offset that is not there any more is an error.

mod buffer;
mod discovery;
mod error;
mod reading;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use super::client::{ClientError, Consumer, KafkaOptions, Quiet, with_retries};
use crate::binding::Range;
use crate::fair_share::fair_share;
pub use buffer::Record;
use buffer::{PartitionBuffer, Taken};
use discovery::Discovery;
pub use error::{Lost, SourceError};

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
    /// Polling stops while this much waits.
    pub buffer: Limits,
    /// What was deleted before it was read is given up. Otherwise it is an error.
    pub accept_loss: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        let buffer = Limits { records: 100_000, bytes: 64 << 20 };
        SourceOptions { buffer, accept_loss: false }
    }
}

/// Reads the input.
pub struct Source {
    consumer: Arc<Consumer>,
    kafka: KafkaOptions,
    options: SourceOptions,
    topics: HashSet<Arc<str>>,
    partitions: BTreeMap<(Arc<str>, i32), PartitionBuffer>,
    buffered: Buffered,
    discovery: Option<Discovery>,
    /// All partitions but this one wait at the broker.
    paused_for: Option<(Arc<str>, i32)>,
    complaints: Quiet,
}

/// The most of history in one tick: events go first, and history goes on all the same.
const HISTORY: Limits = Limits { records: 1, bytes: 1 << 20 };

/// A partition from which nothing comes is examined this often.
const EXAMINE: Duration = Duration::from_secs(5);

impl Source {
    /// A source that reads only what [`take`](Source::take) asks for, until it goes live.
    ///
    /// # Errors
    /// The client cannot be made with these options.
    pub fn open(kafka: &KafkaOptions, options: SourceOptions) -> Result<Source, SourceError> {
        let consumer = kafka.consumer(&[
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "32768"),
        ])?;
        // Without knowing the leaders first, the client looks for them only once a second.
        with_retries(|| {
            let action = ClientError::on("list the topics");
            consumer.fetch_metadata(None, Duration::from_secs(5)).map_err(action)
        })?;
        Ok(Source {
            consumer: Arc::new(consumer),
            kafka: kafka.clone(),
            options,
            topics: HashSet::new(),
            partitions: BTreeMap::new(),
            buffered: Buffered { records: 0, bytes: 0 },
            discovery: None,
            paused_for: None,
            complaints: Quiet::default(),
        })
    }

    /// From now on reads every partition there is, those that come later too: where bindings have
    /// left them (`positions`), else from their first record.
    ///
    /// # Errors
    /// [`SourceError::Lost`], unless that is accepted; Kafka refuses.
    pub fn go_live(
        &mut self,
        positions: &BTreeMap<(Arc<str>, i32), i64>,
    ) -> Result<(), SourceError> {
        let left: Vec<_> = positions
            .iter()
            .filter(|(place, _)| !self.partitions.contains_key(*place))
            .map(|((topic, partition), offset)| (topic.clone(), *partition, *offset))
            .collect();
        self.assign(left)?;
        self.miss()?;
        let known = self.partitions.keys().cloned().collect();
        self.discovery = Some(Discovery::start(&self.consumer, &self.kafka, known)?);
        self.assign_found()
    }

    /// Reads for at most `timeout`, and returns as soon as something has come.
    ///
    /// # Errors
    /// Records that are needed are gone.
    pub fn fill(&mut self, timeout: Duration) -> Result<(), SourceError> {
        self.assign_found()?;
        self.resume()?;
        let mut wait = timeout;
        while !self.is_full() {
            if !self.poll(wait)? {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// What waits in memory.
    pub fn buffered(&self) -> Buffered {
        self.buffered
    }

    /// The ranges that can be bound now, at most `limits` together. Control records come first, then
    /// at most one record of history; the rest is shared evenly, so that no backlog keeps other
    /// partitions waiting.
    pub fn offer(&self, limits: Limits) -> Vec<Range> {
        let mut left = limits;
        let mut ranges = Vec::new();
        let topics = &self.kafka.topics;
        let (mut control, mut history, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for buffer in self.partitions.values().filter(|buffer| buffer.len() > 0) {
            match buffer.topic() {
                topic if topic == topics.control => control.push(buffer),
                topic if topic == topics.history => history.push(buffer),
                _ => events.push(buffer),
            }
        }
        for (group, most) in [(control, limits), (history, HISTORY), (events, limits)] {
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
            match self.partitions.get(&(range.topic.clone(), range.partition)) {
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
            taken.append(&mut self.take_range(range)?);
        }
        Ok(taken)
    }

    fn take_range(&mut self, range: &Range) -> Result<Vec<Record>, SourceError> {
        let place = (range.topic.clone(), range.partition);
        if self.paused_for.as_ref().is_some_and(|other| *other != place) {
            self.resume_all()?;
        }
        let mut moved = Instant::now();
        loop {
            let Some(buffer) = self.partitions.get_mut(&place) else {
                return Err(SourceError::Different { range: range.clone(), found: 0 });
            };
            let next_offset = buffer.next_offset();
            match buffer.take(range) {
                Taken::Records(records) => {
                    self.buffered.records -= records.len();
                    self.buffered.bytes -= records.iter().map(|r| r.payload.len()).sum::<usize>();
                    return Ok(records);
                }
                Taken::Different { found } => {
                    return Err(SourceError::Different { range: range.clone(), found });
                }
                Taken::NotYet => {}
            }
            if self.is_full() && self.paused_for.is_none() {
                self.pause_all_but(&place)?;
            }
            self.poll(Duration::from_millis(100))?;
            let came = self.partitions.get(&place).is_some_and(|b| b.next_offset() > next_offset);
            if came {
                moved = Instant::now();
            } else if moved.elapsed() > EXAMINE {
                self.examine(&place, range.to)?;
                tracing::warn!(
                    topic = &*place.0,
                    partition = place.1,
                    offset = next_offset,
                    "waiting for records that were bound"
                );
                moved = Instant::now();
            }
        }
    }
}
