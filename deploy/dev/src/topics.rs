//! The topics of CEBE.

use std::{
    thread,
    time::{Duration, Instant},
};

use cebe_schemas::topic::{self, FOR_EVER_MS, Topic};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    error::{Result, ServicesError},
    kafka,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Every topic: those that publishers write to, and those of the engine.
pub fn all() -> Vec<Topic> {
    let sources = ["cdp", "broadcast", "ads"];
    let kinds = ["cebe.events", "cebe.backfill"];
    let sources = kinds.iter().flat_map(|kind| sources.map(|source| format!("{kind}.{source}")));
    sources.map(|name| Topic::new(name, 4, FOR_EVER_MS)).chain(topic::engine()).collect()
}

/// Creates the topics that are not there yet, and waits until all can be used.
///
/// With a prefix, tests that share a broker have topics of their own.
pub fn create_topics(bootstrap: &str, prefix: Option<&str>) -> Result<()> {
    let prefix = prefix.unwrap_or_default();
    let wanted: Vec<Topic> = all()
        .into_iter()
        .map(|topic| Topic { name: format!("{prefix}{}", topic.name), ..topic })
        .collect();
    let client: AdminClient<DefaultClientContext> = kafka::client_config(bootstrap)
        .create()
        .map_err(|source| failed(bootstrap, "connect", source))?;
    let options =
        AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let retention: Vec<String> = wanted.iter().map(|t| t.retention_ms.to_string()).collect();
    let new: Vec<NewTopic> =
        wanted.iter().zip(&retention).map(|(topic, ms)| new_topic(topic, ms)).collect();
    let results = futures_executor::block_on(client.create_topics(&new, &options))
        .map_err(|source| failed(bootstrap, "create topics", source))?;
    for (name, code) in results.into_iter().filter_map(std::result::Result::err) {
        if code != RDKafkaErrorCode::TopicAlreadyExists {
            let source = KafkaError::AdminOp(code);
            return Err(failed(bootstrap, &format!("create topic {name}"), source));
        }
    }
    await_topics(bootstrap, &wanted)
}

fn new_topic<'a>(topic: &'a Topic, retention_ms: &'a str) -> NewTopic<'a> {
    NewTopic::new(&topic.name, topic.partitions as i32, TopicReplication::Fixed(1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", retention_ms)
        .set("retention.bytes", "-1")
}

/// A broker knows a topic a little after its controller has created it.
fn await_topics(bootstrap: &str, wanted: &[Topic]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let metadata = kafka::metadata(bootstrap, PATIENCE)
            .map_err(|source| failed(bootstrap, "list topics", source))?;
        let actual = |name: &str| {
            metadata.topics().iter().find(|topic| topic.name() == name).map(|topic| {
                let led = topic.partitions().iter().filter(|p| p.leader() >= 0).count();
                (topic.partitions().len(), led)
            })
        };
        let ready = |topic: &Topic| actual(&topic.name).is_some_and(|(all, led)| all == led);
        if wanted.iter().all(ready) || begun.elapsed() > PATIENCE {
            return wanted
                .iter()
                .try_for_each(|topic| check(topic, actual(&topic.name).unwrap_or_default().1));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// More partitions than asked for are somebody's choice, fewer a topic from another time.
fn check(topic: &Topic, actual: usize) -> Result<()> {
    let expected = topic.partitions as usize;
    if actual >= expected {
        return Ok(());
    }
    Err(ServicesError::Partitions { topic: topic.name.clone(), actual, expected })
}

fn failed(bootstrap: &str, action: &str, source: KafkaError) -> ServicesError {
    ServicesError::Kafka {
        bootstrap: bootstrap.to_owned(),
        action: action.to_owned(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = all().into_iter().map(|topic| topic.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn topic_with_too_few_partitions_is_named() {
        let wanted = Topic::new("p.cebe.out.events", 8, topic::MONTH_MS);
        assert!(check(&wanted, 9).is_ok());
        let error = check(&wanted, 4).unwrap_err().to_string();
        assert!(error.starts_with("topic p.cebe.out.events has 4 partitions, not 8"));
    }
}
