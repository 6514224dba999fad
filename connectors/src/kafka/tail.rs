//! Follows a feed from a logical time on, all partitions together.

use std::collections::HashSet;
use std::time::Duration;

use cebe_schemas::time::Millis;
use cebe_schemas::view::{OUT_PARTITIONS, View};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ClientError, Consumer, KafkaOptions, with_retries};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A feed, as a subscriber sees it.
pub struct Tail {
    consumer: Consumer,
    /// Where each partition ended when this was opened: while records keep coming, the client tells of no end.
    ends: Vec<i64>,
    ended: HashSet<i32>,
}

impl Tail {
    /// Begins with the records of `from_ms`.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(options: &KafkaOptions, view: View, from_ms: Millis) -> Result<Tail, ClientError> {
        let consumer = options.consumer(&[("enable.partition.eof", "true")])?;
        let topic = options.topics.out(view);
        let action = |what: &str| ClientError::on(format!("{what} {topic}"));
        let mut times = TopicPartitionList::new();
        for partition in 0..OUT_PARTITIONS as i32 {
            times
                .add_partition_offset(&topic, partition, Offset::Offset(from_ms))
                .map_err(action("read"))?;
        }
        let found = with_retries(|| {
            let found = consumer.offsets_for_times(times.clone(), TIMEOUT);
            found.map_err(action("find the offsets of a time in"))
        })?;
        let end = |partition| {
            let (_, end) = with_retries(|| {
                let marks = consumer.fetch_watermarks(&topic, partition, TIMEOUT);
                marks.map_err(action("find the end of"))
            })?;
            Ok(end)
        };
        let ends = (0..OUT_PARTITIONS as i32).map(end).collect::<Result<_, ClientError>>()?;
        consumer.assign(&found).map_err(action("read"))?;
        Ok(Tail { consumer, ends, ended: HashSet::new() })
    }

    /// The next record, if one comes within `timeout`.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn poll(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            return match self.consumer.poll(timeout) {
                None => Ok(None),
                Some(Ok(message)) => {
                    let partition = message.partition();
                    if self
                        .ends
                        .get(partition as usize)
                        .is_some_and(|end| message.offset() >= end - 1)
                    {
                        self.ended.insert(partition);
                    }
                    Ok(Some(message.payload().unwrap_or_default().to_vec()))
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.ended.insert(partition);
                    continue;
                }
                Some(Err(error)) => {
                    let error = ClientError { action: "read a feed".into(), error };
                    if error.is_transient() { Ok(None) } else { Err(error) }
                }
            };
        }
    }

    /// Whether everything has been read that was there when this was opened.
    pub fn is_at_end(&self) -> bool {
        self.ended.len() >= OUT_PARTITIONS as usize
    }
}
