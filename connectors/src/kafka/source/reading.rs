//! A consumer and the partitions that it reads: assignment, pauses, errors.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cebe_schemas::cloudevent;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::buffer::{PartitionBuffer, Record, Taken};
use super::{Buffered, Limits, Lost, Place, SourceError};
use crate::binding::Range;
use crate::kafka::client::{ClientError, Consumer, JOB_HEADER, KafkaOptions, Quiet, with_retries};

const TIMEOUT: Duration = Duration::from_secs(5);
/// A partition from which nothing comes is examined this often.
const EXAMINE: Duration = Duration::from_secs(5);
/// The id of a job is no longer than this; a longer one is none.
const JOB_BYTES_MAX: usize = 64;

/// How much the client fetches ahead.
#[derive(Clone, Copy)]
pub(super) struct Queue {
    pub messages: &'static str,
    pub kbytes: &'static str,
}

/// Reads some partitions.
pub(super) struct Reading {
    consumer: Arc<Consumer>,
    limits: Limits,
    topics: HashSet<Arc<str>>,
    partitions: BTreeMap<Place, PartitionBuffer>,
    buffered: Buffered,
    /// All partitions but this one wait at the broker.
    paused_for: Option<Place>,
    /// The job of the last record that had one: mostly that of the next.
    job: Arc<str>,
    complaints: Quiet,
}

impl Reading {
    pub(super) fn open(
        kafka: &KafkaOptions,
        queue: Queue,
        limits: Limits,
    ) -> Result<Reading, SourceError> {
        let consumer = kafka.consumer(&[
            // Records that come one by one are fetched together: each fetch looks at all partitions.
            ("fetch.min.bytes", "65536"),
            ("fetch.wait.max.ms", "20"),
            ("queued.min.messages", queue.messages),
            ("queued.max.messages.kbytes", queue.kbytes),
        ])?;
        // Without knowing the leaders first, the client looks for them only once a second.
        with_retries(|| {
            let action = ClientError::on("list the topics");
            consumer.fetch_metadata(None, TIMEOUT).map_err(action)
        })?;
        Ok(Reading {
            consumer: Arc::new(consumer),
            limits,
            topics: HashSet::new(),
            partitions: BTreeMap::new(),
            buffered: Buffered { records: 0, bytes: 0 },
            paused_for: None,
            job: Arc::default(),
            complaints: Quiet::default(),
        })
    }

    pub(super) fn consumer(&self) -> &Arc<Consumer> {
        &self.consumer
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.partitions.keys()
    }

    pub(super) fn buffer(&self, place: &Place) -> Option<&PartitionBuffer> {
        self.partitions.get(place)
    }

    /// Partitions of which records can be bound.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &PartitionBuffer> {
        self.partitions.values().filter(|buffer| buffer.len() > 0)
    }

    pub(super) fn buffered(&self) -> Buffered {
        self.buffered
    }

    /// Reads for at most `timeout`, and returns as soon as something has come.
    pub(super) fn fill(&mut self, timeout: Duration) -> Result<(), SourceError> {
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

    /// The records of `range`. Waits until they are there.
    pub(super) fn take(&mut self, range: &Range) -> Result<Vec<Record>, SourceError> {
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

    /// Takes in at most one record; false if nothing came.
    fn poll(&mut self, timeout: Duration) -> Result<bool, SourceError> {
        let error = match self.consumer.poll(timeout) {
            None => return Ok(false),
            Some(Ok(message)) => {
                let job = job(&message, &self.job);
                let payload = payload(&message);
                if let Some(topic) = self.topics.get(message.topic())
                    && let Some(buffer) =
                        self.partitions.get_mut(&(topic.clone(), message.partition()))
                    && buffer.push(
                        message.offset(),
                        message.timestamp().to_millis().unwrap_or(-1),
                        &payload,
                        &job,
                    )
                {
                    self.buffered.records += 1;
                    self.buffered.bytes += payload.len();
                }
                self.job = job;
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
        if out_of_range {
            for place in self.partitions.keys() {
                self.examine(place, 0)?;
            }
            // Nothing is missing, so the broker was mistaken; the client has given up on the
            // partition and has to be told to go on.
            self.assign_again()?;
        }
        self.complaints.retrying(&error);
        Ok(())
    }

    /// Fails if the partition does not reach from what comes next to `needed`, which was there
    /// before. An unreachable broker is no answer.
    fn examine(&self, place: &Place, needed: i64) -> Result<(), SourceError> {
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

    /// What was deleted before it was read; given up if that is accepted.
    pub(super) fn miss(&mut self, is_accepted: bool) -> Result<Vec<Lost>, SourceError> {
        let mut lost = Vec::new();
        for ((topic, partition), buffer) in &mut self.partitions {
            let from = buffer.next_offset();
            let consumer = &self.consumer;
            let (to, end) = with_retries(|| {
                let action = ClientError::on(format!("find the start of {topic}/{partition}"));
                consumer.fetch_watermarks(topic, *partition, TIMEOUT).map_err(action)
            })?;
            if end < from {
                let (topic, partition) = (topic.clone(), *partition);
                return Err(SourceError::Truncated { topic, partition, needed: from, end });
            }
            if to > from {
                let gone = Lost { topic: topic.clone(), partition: *partition, from, to };
                if is_accepted {
                    tracing::error!(%gone, "records are lost: they were deleted before they were read");
                    buffer.skip_to(to);
                }
                lost.push(gone);
            }
        }
        if is_accepted && !lost.is_empty() {
            self.assign_again()?;
        }
        Ok(lost)
    }

    fn is_full(&self) -> bool {
        let Limits { records, bytes } = self.limits;
        self.buffered.records >= records || self.buffered.bytes >= bytes
    }

    pub(super) fn assign(&mut self, places: Vec<(Arc<str>, i32, i64)>) -> Result<(), SourceError> {
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
        self.paused_for = None;
        Ok(self.consumer.assign(&all).map_err(ClientError::on("read all partitions again"))?)
    }

    /// Makes room for the partition that is waited for: the others wait at the broker.
    fn pause_all_but(&mut self, place: &Place) -> Result<(), SourceError> {
        let others = self.list(|each| each != place);
        self.paused_for = Some(place.clone());
        Ok(self.consumer.pause(&others).map_err(ClientError::on("pause partitions"))?)
    }

    fn resume(&mut self) -> Result<(), SourceError> {
        let half = self.buffered.records < self.limits.records / 2
            && self.buffered.bytes < self.limits.bytes / 2;
        if self.paused_for.is_some() && half { self.resume_all() } else { Ok(()) }
    }

    fn resume_all(&mut self) -> Result<(), SourceError> {
        self.paused_for = None;
        let all = self.list(|_| true);
        Ok(self.consumer.resume(&all).map_err(ClientError::on("resume partitions"))?)
    }

    fn list(&self, which: impl Fn(&Place) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for place in self.partitions.keys().filter(|place| which(place)) {
            list.add_partition(&place.0, place.1);
        }
        list
    }
}

/// What a record says: its value, or of a CloudEvent the envelope that it stands for.
fn payload<'m>(message: &'m BorrowedMessage<'_>) -> Cow<'m, [u8]> {
    let value = message.payload().unwrap_or_default();
    let Some(headers) = message.headers() else { return value.into() };
    let header = |name: &str| headers.iter().find(|header| header.key == name)?.value;
    cloudevent::envelope(header, value)
}

/// The job that published a record, by its header; "" if none says so.
fn job(message: &BorrowedMessage<'_>, last: &Arc<str>) -> Arc<str> {
    let headers = message.headers();
    let named = headers.and_then(|headers| headers.iter().find(|header| header.key == JOB_HEADER));
    let named = named.and_then(|header| std::str::from_utf8(header.value?).ok());
    match named.filter(|named| named.len() <= JOB_BYTES_MAX) {
        Some(named) if *named == **last => last.clone(),
        Some(named) => named.into(),
        None => Arc::default(),
    }
}
