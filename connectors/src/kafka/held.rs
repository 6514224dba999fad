//! Reads what partitions of the input hold, for readers that take no part.

use std::collections::BTreeSet;
use std::time::Duration;

use cebe_schemas::time::Millis;
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;

use super::client::{ClientError, KafkaOptions};
use super::reader::{Entry, TopicReader};

/// A record as it stands in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRecord {
    /// Where it is.
    pub offset: i64,
    /// Its create time; −1 if it has none.
    pub created_ms: Millis,
    /// Its value; empty if it has none.
    pub payload: Vec<u8>,
}

/// A stretch of one partition.
pub struct Held {
    reader: TopicReader,
    to: i64,
    ended: bool,
}

impl Held {
    /// Begins at the offset `from`, which has to be held, and ends before `to` or with the partition.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(
        options: &KafkaOptions,
        topic: &str,
        partition: i32,
        from: i64,
        to: i64,
    ) -> Result<Held, ClientError> {
        let reader = TopicReader::open_at(options, topic, partition, Offset::Offset(from))?;
        Ok(Held { reader, to, ended: from >= to })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// The partition cannot be read: what it held has been deleted, for one.
    pub fn next_record(&mut self) -> Result<Option<HeldRecord>, ClientError> {
        while !self.ended {
            match self.reader.poll(Duration::from_secs(1))? {
                None => {}
                Some(Entry::End) => self.ended = true,
                Some(Entry::Record(payload)) => {
                    let (offset, created_ms) = self.reader.place();
                    self.ended = offset >= self.to - 1;
                    return Ok((offset < self.to).then_some(HeldRecord {
                        offset,
                        created_ms,
                        payload,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// The first offset that a partition holds.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn first_offset(
        options: &KafkaOptions,
        topic: &str,
        partition: i32,
    ) -> Result<i64, ClientError> {
        Ok(TopicReader::watermarks_of(options, topic, partition)?.0)
    }

    /// The partitions that there are of what an engine reads.
    ///
    /// # Errors
    /// Kafka refuses, or does not answer within `timeout`.
    pub fn partitions(
        options: &KafkaOptions,
        timeout: Duration,
    ) -> Result<BTreeSet<(String, i32)>, ClientError> {
        let consumer = options.consumer(&[])?;
        let metadata =
            consumer.fetch_metadata(None, timeout).map_err(ClientError::on("list the topics"))?;
        let read = metadata.topics().iter().filter(|topic| options.topics.reads(topic.name()));
        Ok(read
            .flat_map(|topic| topic.partitions().iter().map(|p| (topic.name().to_owned(), p.id())))
            .collect())
    }
}
