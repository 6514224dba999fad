//! Topics as any consumer reads them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);

/// A record of some topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Epoch milliseconds.
    pub timestamp: i64,
    pub key: String,
    pub payload: Vec<u8>,
}

/// Everything that is committed on `topic` now, in order of partition and offset.
pub fn read(brokers: &str, topic: &str) -> anyhow::Result<Vec<Record>> {
    read_from(brokers, topic, Offset::Beginning)
}

/// The last record of a topic of one partition.
pub fn last(brokers: &str, topic: &str) -> anyhow::Result<Option<Record>> {
    // Transactions end in a marker, which is an offset too.
    Ok(read_from(brokers, topic, Offset::OffsetTail(10))?.pop())
}

fn read_from(brokers: &str, topic: &str, from: Offset) -> anyhow::Result<Vec<Record>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "faults-check")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    ensure!(partitions > 0, "topic {topic} is not there");
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        all.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&all)?;
    let (mut records, mut ended, begin) = (Vec::new(), BTreeSet::new(), Instant::now());
    while ended.len() < partitions {
        ensure!(begin.elapsed() < PATIENCE, "{topic} cannot be read to its end");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(message) => records.push(record(&message.with_context(|| topic.to_owned())?)),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn record(message: &impl Message) -> Record {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        payload: message.payload().unwrap_or_default().to_vec(),
    }
}
