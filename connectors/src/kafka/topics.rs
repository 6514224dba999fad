//! Creates the topics that the engine writes, and those of control records and counts, where they are
//! missing.

use std::collections::BTreeSet;
use std::time::Duration;

use cebe_schemas::topic::{self, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::client::{ClientError, KafkaOptions};

/// Creates what is missing of [`topic::engine`].
///
/// # Errors
/// Kafka refuses, or does not answer within `timeout`. A topic that exists is left as it is.
pub fn create_missing(options: &KafkaOptions, timeout: Duration) -> Result<(), ClientError> {
    let topics: Vec<(String, Topic, String)> = topic::engine()
        .into_iter()
        .map(|topic| {
            let retention_ms = topic.retention_ms.to_string();
            (options.topics.named(&topic.name), topic, retention_ms)
        })
        .collect();
    let new = topics.iter().map(|(name, topic, retention_ms)| new_topic(name, topic, retention_ms));
    create(options, &new.collect::<Vec<_>>(), timeout)
}

/// Creates the topic of a source's backfills unless it exists.
///
/// # Errors
/// As [`create_missing`].
pub fn create_backfill(
    options: &KafkaOptions,
    source_module: &str,
    partitions: u32,
    timeout: Duration,
) -> Result<(), ClientError> {
    let name = options.topics.backfill(source_module);
    let topic = NewTopic::new(&name, partitions.max(1) as i32, TopicReplication::Fixed(-1));
    create(options, &[topic], timeout)
}

/// Creates the topic of a source's live events unless it exists.
///
/// # Errors
/// As [`create_missing`].
pub fn create_source(
    options: &KafkaOptions,
    source_module: &str,
    partitions: u32,
    timeout: Duration,
) -> Result<(), ClientError> {
    let name = options.topics.events(source_module);
    let topic = NewTopic::new(&name, partitions.max(1) as i32, TopicReplication::Fixed(-1));
    create(options, &[topic], timeout)
}

/// The sources that have a topic, of live events or of backfills.
///
/// # Errors
/// Kafka refuses, or does not answer within `timeout`.
pub fn list_sources(
    options: &KafkaOptions,
    timeout: Duration,
) -> Result<BTreeSet<String>, ClientError> {
    let consumer = options.consumer(&[])?;
    let metadata =
        consumer.fetch_metadata(None, timeout).map_err(ClientError::on("list the topics"))?;
    let names = metadata.topics().iter().map(|topic| topic.name());
    let sources = names.filter_map(|name| options.topics.source_module(name));
    Ok(sources.filter(|source| !source.is_empty()).map(str::to_owned).collect())
}

fn new_topic<'a>(name: &'a str, topic: &Topic, retention_ms: &'a str) -> NewTopic<'a> {
    NewTopic::new(name, topic.partitions as i32, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", retention_ms)
        .set("retention.bytes", "-1")
}

fn create(
    options: &KafkaOptions,
    topics: &[NewTopic<'_>],
    timeout: Duration,
) -> Result<(), ClientError> {
    let action = || format!("create topics on {}", options.brokers);
    let admin: AdminClient<DefaultClientContext> =
        options.admin().create().map_err(ClientError::on(action()))?;
    let settings =
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let results = futures_executor::block_on(admin.create_topics(topics, &settings))
        .map_err(ClientError::on(action()))?;
    for result in results {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let error = KafkaError::AdminOp(code);
                return Err(ClientError { action: format!("create the topic {name}"), error });
            }
        }
    }
    Ok(())
}
