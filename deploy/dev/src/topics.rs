//! The topics of CEBE.

use std::{
    thread,
    time::{Duration, Instant},
};

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
const FOR_EVER: i64 = -1;
const DAYS_30: i64 = 30 * 24 * 60 * 60 * 1000;

/// A topic as it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// How many partitions it has.
    pub partitions: u8,
    /// How long a record is kept, in milliseconds; -1 is for ever.
    pub retention_ms: i64,
}

/// Every topic, in the order of the flow.
pub const TOPICS: [Topic; 20] = [
    topic("cebe.events.cdp", 4, FOR_EVER),
    topic("cebe.events.broadcast", 4, FOR_EVER),
    topic("cebe.events.ads", 4, FOR_EVER),
    topic("cebe.backfill.cdp", 4, FOR_EVER),
    topic("cebe.backfill.broadcast", 4, FOR_EVER),
    topic("cebe.backfill.ads", 4, FOR_EVER),
    topic("cebe.counts", 1, FOR_EVER),
    // These three are the order of everything, hence one partition, and never deleted.
    topic("cebe.control", 1, FOR_EVER),
    topic("cebe.history", 1, FOR_EVER),
    topic("cebe.bindings", 1, FOR_EVER),
    topic("cebe.out.events", 8, DAYS_30),
    topic("cebe.out.identities", 8, DAYS_30),
    topic("cebe.out.customers", 8, DAYS_30),
    topic("cebe.out.seen", 8, DAYS_30),
    topic("cebe.out.segments", 8, DAYS_30),
    topic("cebe.out.metrics", 8, DAYS_30),
    topic("cebe.out.quarantine", 8, DAYS_30),
    topic("cebe.out.rejected", 8, DAYS_30),
    topic("cebe.out.ledger", 8, DAYS_30),
    topic("cebe.out.progress", 1, DAYS_30),
];

const fn topic(name: &'static str, partitions: u8, retention_ms: i64) -> Topic {
    Topic { name, partitions, retention_ms }
}

/// Creates the topics that are not there yet, and waits until all can be used.
///
/// With a prefix, tests that share a broker have topics of their own.
pub fn create_topics(bootstrap: &str, prefix: Option<&str>) -> Result<()> {
    let prefix = prefix.unwrap_or_default();
    let wanted = TOPICS.map(|topic| (format!("{prefix}{}", topic.name), topic));
    let client: AdminClient<DefaultClientContext> = kafka::client_config(bootstrap)
        .create()
        .map_err(|source| failed(bootstrap, "connect", source))?;
    let options =
        AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let retention = TOPICS.map(|topic| topic.retention_ms.to_string());
    let new: Vec<NewTopic> = wanted
        .iter()
        .zip(&retention)
        .map(|((name, topic), ms)| new_topic(name, topic, ms))
        .collect();
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

fn new_topic<'a>(name: &'a str, topic: &Topic, retention_ms: &'a str) -> NewTopic<'a> {
    NewTopic::new(name, topic.partitions.into(), TopicReplication::Fixed(1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", retention_ms)
        .set("retention.bytes", "-1")
}

/// A broker knows a topic a little after its controller has created it.
fn await_topics(bootstrap: &str, wanted: &[(String, Topic)]) -> Result<()> {
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
        let ready = |(name, _): &(String, Topic)| actual(name).is_some_and(|(all, led)| all == led);
        if wanted.iter().all(ready) || begun.elapsed() > PATIENCE {
            return wanted.iter().try_for_each(|(name, topic)| {
                check(name, topic, actual(name).unwrap_or_default().1)
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// More partitions than asked for are somebody's choice, fewer a topic from another time.
fn check(name: &str, topic: &Topic, actual: usize) -> Result<()> {
    let expected = usize::from(topic.partitions);
    if actual >= expected {
        return Ok(());
    }
    Err(ServicesError::Partitions { topic: name.to_owned(), actual, expected })
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
        let mut names = TOPICS.map(|topic| topic.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_order_of_everything_is_kept_for_ever_in_one_partition() {
        for name in ["cebe.control", "cebe.history", "cebe.bindings"] {
            assert!(TOPICS.contains(&topic(name, 1, FOR_EVER)));
        }
    }

    #[test]
    fn topic_with_too_few_partitions_is_named() {
        let wanted = topic("cebe.out.events", 8, DAYS_30);
        assert!(check("x", &wanted, 9).is_ok());
        let error = check("p.cebe.out.events", &wanted, 4).unwrap_err().to_string();
        assert!(error.starts_with("topic p.cebe.out.events has 4 partitions, not 8"));
    }
}
