//! Reads all partitions of a topic to their ends; then those of another one, with the same client.

use std::collections::HashSet;
use std::time::Duration;

use cebe_schemas::time::Millis;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ClientError, Consumer, KafkaOptions, Quiet, with_retries};

const PATIENCE: Duration = Duration::from_secs(10);

/// A record, and where it stands.
pub(crate) struct Found {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) value: Vec<u8>,
}

/// Partition and offset.
pub(crate) type Place = (i32, i64);

pub(crate) struct PartitionsReader {
    consumer: Consumer,
    complaints: Quiet,
    /// Those that are not read to their ends.
    open: HashSet<i32>,
}

impl PartitionsReader {
    pub(crate) fn open(options: &KafkaOptions) -> Result<PartitionsReader, ClientError> {
        let consumer = options.consumer(&[("enable.partition.eof", "true")])?;
        Ok(PartitionsReader { consumer, complaints: Quiet::default(), open: HashSet::new() })
    }

    /// The first offset that is held.
    pub(crate) fn first_offset(&self, topic: &str, partition: i32) -> Result<i64, ClientError> {
        let action = || ClientError::on(format!("find the beginning of {topic}"));
        let marks = || self.consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(action());
        Ok(with_retries(marks)?.0)
    }

    /// Where each partition has its first record that was created at `from_ms` or later, if it has one.
    pub(crate) fn offsets_since(
        &self,
        topic: &str,
        partitions: u32,
        from_ms: Millis,
    ) -> Result<Vec<Place>, ClientError> {
        let action = || ClientError::on(format!("find the offsets of a time in {topic}"));
        let mut times = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            let time = Offset::Offset(from_ms);
            times.add_partition_offset(topic, partition, time).map_err(action())?;
        }
        let found = with_retries(|| {
            self.consumer.offsets_for_times(times.clone(), PATIENCE).map_err(action())
        })?;
        let offset = |offset: Offset| offset.to_raw().filter(|offset| *offset >= 0);
        let elements = found.elements();
        Ok(elements.iter().filter_map(|of| Some((of.partition(), offset(of.offset())?))).collect())
    }

    /// Begins there; other topics are read no more.
    pub(crate) fn begin(&mut self, topic: &str, places: &[Place]) -> Result<(), ClientError> {
        let action = || ClientError::on(format!("read {topic}"));
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in places {
            let offset = Offset::Offset(*offset);
            assignment.add_partition_offset(topic, *partition, offset).map_err(action())?;
        }
        self.open = places.iter().map(|(partition, _)| *partition).collect();
        self.consumer.unassign().map_err(action())?;
        // What was fetched of another topic may still wait.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        self.consumer.assign(&assignment).map_err(action())
    }

    /// The next record of any partition, those of one in order; none once all that was committed has been
    /// read. While the broker is away it waits.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, ClientError> {
        while !self.open.is_empty() {
            match self.consumer.poll(Duration::from_secs(1)) {
                None => {}
                Some(Ok(message)) => {
                    return Ok(Some(Found {
                        partition: message.partition(),
                        offset: message.offset(),
                        value: message.payload().unwrap_or_default().to_vec(),
                    }));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.open.remove(&partition);
                }
                Some(Err(error)) => {
                    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
                    let error = ClientError { action: "read outputs".into(), error };
                    if fatal {
                        return Err(error);
                    }
                    self.complaints.retrying(&error);
                }
            }
        }
        Ok(None)
    }
}
