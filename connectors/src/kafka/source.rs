//! The input: every record of the control topic and of the sources' topics, in the order that the
//! bindings give them.
//!
//! One consumer without a group reads all partitions. Records wait in memory until they are bound
//! and taken; when too many wait, polling stops, and the client's own bounded queue stops the
//! fetching. [`Source::take`] serves replay and live alike: it returns exactly the records that a
//! binding names, or fails. Nothing is skipped: an offset that is not there any more is an error.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

pub use super::buffer::Record;
use super::buffer::{PartitionBuffer, Taken};
use super::client::{ClientError, Consumer, KafkaOptions, Quiet};
use super::discovery::Discovery;
use crate::binding::Range;
use crate::fair_share::fair_share;

/// The records that a binding names cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Retention, or somebody, deleted records that are needed.
    #[error(
        "{topic}/{partition}: offsets {from} to {to} are needed and no longer held. Restore them \
         from a copy of the topic, and lengthen its retention.ms"
    )]
    Gone {
        /// Where.
        topic: Arc<str>,
        /// Where.
        partition: i32,
        /// The first missing offset.
        from: i64,
        /// The first offset that is held.
        to: i64,
    },
    /// The topic ends before what was read of it: it was deleted and made anew, or lost data.
    #[error(
        "{topic}/{partition}: offset {needed} is needed, but the partition ends at {end}: the topic \
         was made anew or has lost data. Restore it, or use a topic with another name"
    )]
    Truncated {
        /// Where.
        topic: Arc<str>,
        /// Where.
        partition: i32,
        /// The offset to go on from.
        needed: i64,
        /// The offset after the last record.
        end: i64,
    },
    /// The records of a bound range are not those that were bound.
    #[error(
        "{}/{}: offsets {} to {} were bound with {} records, and {found} are there now: the topic \
         was compacted or made anew. Restore it from a copy",
        range.topic, range.partition, range.from, range.to, range.records
    )]
    Different {
        /// What was bound.
        range: Range,
        /// How many records there are.
        found: u64,
    },
    /// A range that does not follow what was taken before: ranges have to be taken in the order of
    /// their bindings.
    #[error(
        "{}/{}: a range from offset {} cannot be taken at {at}",
        range.topic, range.partition, range.from
    )]
    OutOfOrder {
        /// The range.
        range: Range,
        /// Where the last one ended.
        at: i64,
    },
    /// Kafka refused.
    #[error(transparent)]
    Client(#[from] ClientError),
}

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
}

impl Default for SourceOptions {
    fn default() -> Self {
        SourceOptions { buffer: Limits { records: 100_000, bytes: 64 << 20 } }
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
    paused: bool,
    complaints: Quiet,
}

/// A partition from which nothing comes is examined this often.
const EXAMINE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(5);

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
        Ok(Source {
            consumer: Arc::new(consumer),
            kafka: kafka.clone(),
            options,
            topics: HashSet::new(),
            partitions: BTreeMap::new(),
            buffered: Buffered { records: 0, bytes: 0 },
            discovery: None,
            paused: false,
            complaints: Quiet::default(),
        })
    }

    /// From now on reads every partition there is, those that come later too: where bindings have
    /// left them (`positions`), else from their first record.
    ///
    /// # Errors
    /// Kafka refuses.
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

    /// The ranges that can be bound now, at most `limits` together. Control records come first;
    /// the rest is shared evenly, so that no backlog keeps other partitions waiting.
    pub fn offer(&self, limits: Limits) -> Vec<Range> {
        let mut left = limits;
        let mut ranges = Vec::new();
        let is_control = |buffer: &&PartitionBuffer| buffer.topic() == self.kafka.topics.control;
        let waiting = || self.partitions.values().filter(|buffer| buffer.len() > 0);
        let (control, events): (Vec<_>, Vec<_>) = waiting().partition(is_control);
        for group in [control, events] {
            let records = fair_share(group.iter().map(|buffer| buffer.len()), left.records);
            let bytes = fair_share(group.iter().map(|buffer| buffer.bytes()), left.bytes);
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
        let count = ranges.iter().map(|range| range.records as usize).sum();
        let mut taken = Vec::with_capacity(count);
        for range in ranges {
            taken.append(&mut self.take_range(range)?);
        }
        Ok(taken)
    }

    fn take_range(&mut self, range: &Range) -> Result<Vec<Record>, SourceError> {
        let place = (range.topic.clone(), range.partition);
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
            if self.is_full() {
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

    /// Takes in at most one record; false if nothing came.
    fn poll(&mut self, timeout: Duration) -> Result<bool, SourceError> {
        let error = match self.consumer.poll(timeout) {
            None => return Ok(false),
            Some(Ok(message)) => {
                let payload = message.payload().unwrap_or_default();
                if let Some(topic) = self.topics.get(message.topic())
                    && let Some(buffer) =
                        self.partitions.get_mut(&(topic.clone(), message.partition()))
                    && buffer.push(
                        message.offset(),
                        message.timestamp().to_millis().unwrap_or(-1),
                        payload,
                    )
                {
                    self.buffered.records += 1;
                    self.buffered.bytes += payload.len();
                }
                return Ok(true);
            }
            Some(Err(error)) => error,
        };
        self.read_error(error)?;
        Ok(true)
    }

    fn read_error(&mut self, error: KafkaError) -> Result<(), SourceError> {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let out_of_range = error.rdkafka_error_code() == Some(Code::AutoOffsetReset);
        let error = ClientError { action: "read the sources".into(), error };
        if fatal {
            return Err(error.into());
        }
        if self.complaints.due() {
            tracing::warn!(%error, "trying again");
        }
        if out_of_range {
            let places: Vec<_> = self.partitions.keys().cloned().collect();
            for place in &places {
                self.examine(place, 0)?;
            }
            // Nothing is missing, so the broker was mistaken; the client has given up on the
            // partition and has to be told to go on.
            self.assign_again()?;
        }
        Ok(())
    }

    /// Fails if the partition does not reach from what comes next to `needed`, which was there
    /// before. An unreachable broker is no answer.
    fn examine(&self, place: &(Arc<str>, i32), needed: i64) -> Result<(), SourceError> {
        let Some(buffer) = self.partitions.get(place) else { return Ok(()) };
        let (topic, partition) = (place.0.clone(), place.1);
        let from = buffer.next_offset();
        match self.consumer.fetch_watermarks(&topic, partition, TIMEOUT) {
            Ok((start, _)) if start > from => {
                Err(SourceError::Gone { topic, partition, from, to: start })
            }
            Ok((_, end)) if end < needed.max(from) => {
                Err(SourceError::Truncated { topic, partition, needed: needed.max(from), end })
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, topic = &*topic, partition, "cannot examine the partition");
                Ok(())
            }
        }
    }

    fn is_full(&self) -> bool {
        let Limits { records, bytes } = self.options.buffer;
        self.buffered.records >= records || self.buffered.bytes >= bytes
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
        let mut added = TopicPartitionList::new();
        for (topic, partition, start) in places {
            added
                .add_partition_offset(&topic, partition, Offset::Offset(start))
                .map_err(ClientError::on(format!("read {topic}/{partition} from {start}")))?;
            let topic = self.topics.get(&topic).cloned().unwrap_or(topic);
            self.topics.insert(topic.clone());
            let buffer = PartitionBuffer::new(topic.clone(), partition, start);
            self.partitions.insert((topic, partition), buffer);
        }
        if added.count() > 0 {
            self.consumer
                .incremental_assign(&added)
                .map_err(ClientError::on("read further partitions"))?;
        }
        Ok(())
    }

    fn assign_again(&mut self) -> Result<(), SourceError> {
        let mut all = TopicPartitionList::new();
        for ((topic, partition), buffer) in &self.partitions {
            all.add_partition_offset(topic, *partition, Offset::Offset(buffer.next_offset()))
                .map_err(ClientError::on(format!("read {topic}/{partition} again")))?;
        }
        self.paused = false;
        Ok(self.consumer.assign(&all).map_err(ClientError::on("read all partitions again"))?)
    }

    /// Makes room for the partition that is waited for: the others wait at the broker.
    fn pause_all_but(&mut self, place: &(Arc<str>, i32)) -> Result<(), SourceError> {
        if self.paused {
            self.resume_all()?;
        }
        let others = self.places(|each| each != place);
        self.paused = true;
        Ok(self.consumer.pause(&others).map_err(ClientError::on("pause partitions"))?)
    }

    fn resume(&mut self) -> Result<(), SourceError> {
        let half = self.buffered.records < self.options.buffer.records / 2
            && self.buffered.bytes < self.options.buffer.bytes / 2;
        if self.paused && half { self.resume_all() } else { Ok(()) }
    }

    fn resume_all(&mut self) -> Result<(), SourceError> {
        self.paused = false;
        let all = self.places(|_| true);
        Ok(self.consumer.resume(&all).map_err(ClientError::on("resume partitions"))?)
    }

    fn places(&self, which: impl Fn(&(Arc<str>, i32)) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for place in self.partitions.keys().filter(|place| which(place)) {
            list.add_partition(&place.0, place.1);
        }
        list
    }
}
