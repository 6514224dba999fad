//! How the source's consumer is kept reading: assignment, pauses, errors.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::buffer::PartitionBuffer;
use super::discovery::Discovery;
use super::{Limits, Lost, Source, SourceError};
use crate::kafka::ClientError;
use crate::kafka::client::with_retries;

const TIMEOUT: Duration = Duration::from_secs(5);

impl Source {
    /// Takes in at most one record; false if nothing came.
    pub(super) fn poll(&mut self, timeout: Duration) -> Result<bool, SourceError> {
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
    pub(super) fn examine(&self, place: &(Arc<str>, i32), needed: i64) -> Result<(), SourceError> {
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

    /// Finds out what was deleted before it was read.
    pub(super) fn miss(&mut self) -> Result<(), SourceError> {
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
                if self.options.accept_loss {
                    tracing::error!(%gone, "records are lost: they were deleted before they were read");
                    buffer.skip_to(to);
                }
                lost.push(gone);
            }
        }
        match lost.is_empty() {
            true => Ok(()),
            false if self.options.accept_loss => self.assign_again(),
            false => Err(SourceError::Lost(lost)),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let Limits { records, bytes } = self.options.buffer;
        self.buffered.records >= records || self.buffered.bytes >= bytes
    }

    pub(super) fn assign_found(&mut self) -> Result<(), SourceError> {
        let found = self.discovery.as_ref().map(Discovery::found).unwrap_or_default();
        let found: Vec<_> =
            found.into_iter().map(|each| (each.topic, each.partition, each.start)).collect();
        for (topic, partition, offset) in &found {
            tracing::info!(topic = &**topic, partition, offset, "reading a new partition");
        }
        self.assign(found)
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
    pub(super) fn pause_all_but(&mut self, place: &(Arc<str>, i32)) -> Result<(), SourceError> {
        let others = self.places(|each| each != place);
        self.paused_for = Some(place.clone());
        Ok(self.consumer.pause(&others).map_err(ClientError::on("pause partitions"))?)
    }

    pub(super) fn resume(&mut self) -> Result<(), SourceError> {
        let half = self.buffered.records < self.options.buffer.records / 2
            && self.buffered.bytes < self.options.buffer.bytes / 2;
        if self.paused_for.is_some() && half { self.resume_all() } else { Ok(()) }
    }

    pub(super) fn resume_all(&mut self) -> Result<(), SourceError> {
        self.paused_for = None;
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
