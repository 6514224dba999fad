//! Creates the topics that the engine writes, and the control topic, where they are missing.

use std::collections::BTreeSet;
use std::time::Duration;

use cebe_schemas::view::{OUT_PARTITIONS, View};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::client::{ClientError, KafkaOptions};

const MONTH_MS: &str = "2592000000";

/// Creates what is missing of the topics of architecture §6: bindings and control with one
/// partition, kept for ever, the views with 8 and progress with one, kept for 30 days.
///
/// # Errors
/// Kafka refuses, or does not answer within `timeout`. A topic that exists is left as it is.
pub fn create_missing(options: &KafkaOptions, timeout: Duration) -> Result<(), ClientError> {
    let topics = &options.topics;
    let out: Vec<String> = View::ALL.iter().map(|view| topics.out(*view)).collect();
    let for_ever = [&topics.bindings, &topics.control].map(|name| (name, 1, "-1"));
    let views = out.iter().map(|name| (name, OUT_PARTITIONS, MONTH_MS));
    let progress = [(&topics.progress, 1, MONTH_MS)];
    let all: Vec<NewTopic<'_>> = for_ever
        .into_iter()
        .chain(views)
        .chain(progress)
        .map(|(name, partitions, retention_ms)| new_topic(name, partitions, retention_ms))
        .collect();
    create(options, &all, timeout)
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

/// The sources that have a topic of live events.
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
    Ok(names.filter_map(|name| options.topics.source_module(name)).map(str::to_owned).collect())
}

fn new_topic<'a>(name: &'a str, partitions: u32, retention_ms: &'a str) -> NewTopic<'a> {
    NewTopic::new(name, partitions as i32, TopicReplication::Fixed(-1))
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
