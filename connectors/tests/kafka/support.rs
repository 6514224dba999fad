//! A broker, topics of the test's own, and plain clients to look from outside.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cebe_connectors::binding::LOGIC_VERSION;
use cebe_connectors::kafka::binding_log::{BindingLog, BindingLogError, BindingLogOptions};
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::kafka::{KafkaOptions, Topics, topics};
use cebe_schemas::view::OUT_PARTITIONS;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The shared broker.
fn brokers() -> &'static str {
    static BROKERS: OnceLock<String> = OnceLock::new();
    BROKERS.get_or_init(|| {
        std::env::var("CEBE_KAFKA_BROKERS").unwrap_or_else(|_| {
            let checkout = cebe_dev::Options::of_checkout().unwrap();
            cebe_dev::kafka::start(&checkout).unwrap()
        })
    })
}

/// The engine's topics under a prefix that nobody else has.
pub fn fresh() -> KafkaOptions {
    fresh_on(brokers())
}

/// As [`fresh`], on another broker than the shared one.
pub fn fresh_on(brokers: &str) -> KafkaOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut options = KafkaOptions::new(brokers);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    options.topics = Topics::prefixed(&format!("test-{nanos:x}-{next}."));
    topics::create_missing(&options, TIMEOUT).unwrap();
    options
}

/// An engine's entry with a short claim.
pub fn open_log(options: &KafkaOptions, name: &str) -> Result<BindingLog, BindingLogError> {
    let entry = BindingLogOptions {
        engine: name.to_owned(),
        claim_wait: Duration::from_millis(300),
        logic_version: LOGIC_VERSION,
    };
    BindingLog::open(options, entry, LogPlace::default())
}

/// An engine that has taken over.
pub fn holder(options: &KafkaOptions, name: &str) -> BindingLog {
    let mut log = open_log(options, name).unwrap();
    log.take_over().unwrap();
    log
}

pub fn config(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.brokers);
    config
}

/// Publishes payloads to one partition and waits until they are there.
pub struct Squad(BaseProducer);

impl Squad {
    pub fn new(options: &KafkaOptions) -> Squad {
        Squad(config(options).set("linger.ms", "0").create().unwrap())
    }

    /// One that a broker's death does not discourage.
    pub fn patient(options: &KafkaOptions) -> Squad {
        Squad(config(options).set("enable.idempotence", "true").create().unwrap())
    }

    pub fn transactional(options: &KafkaOptions, id: &str) -> Squad {
        let producer: BaseProducer = config(options).set("transactional.id", id).create().unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        Squad(producer)
    }

    pub fn producer(&self) -> &BaseProducer {
        &self.0
    }

    pub fn send(&self, topic: &str, partition: i32, payloads: &[&str]) {
        for payload in payloads {
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(payload);
            self.0.send(record).map_err(|(error, _)| error).unwrap();
        }
        let deadline = Instant::now() + 4 * TIMEOUT;
        while self.0.in_flight_count() > 0 {
            assert!(Instant::now() < deadline, "not delivered");
            self.0.poll(Duration::ZERO);
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Everything committed on a partition: key, value, timestamp.
pub fn read_all(
    options: &KafkaOptions,
    topic: &str,
    partition: i32,
) -> Vec<(Vec<u8>, Vec<u8>, i64)> {
    let consumer: BaseConsumer = config(options)
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    loop {
        match consumer.poll(TIMEOUT).expect("no end of the partition") {
            Ok(message) => records.push((
                message.key().unwrap_or_default().to_vec(),
                message.payload().unwrap_or_default().to_vec(),
                message.timestamp().to_millis().unwrap(),
            )),
            Err(KafkaError::PartitionEOF(_)) => return records,
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn admin(options: &KafkaOptions) -> AdminClient<DefaultClientContext> {
    config(options).create().unwrap()
}

/// Deletes every record that a topic of a view holds, as retention does.
pub fn delete_records(options: &KafkaOptions, topic: &str) {
    let mut offsets = TopicPartitionList::new();
    for partition in 0..OUT_PARTITIONS as i32 {
        offsets.add_partition_offset(topic, partition, Offset::End).unwrap();
    }
    let deleted = admin(options).delete_records(&offsets, &AdminOptions::new());
    futures_executor::block_on(deleted).unwrap();
}

pub fn add_partitions(options: &KafkaOptions, topic: &str, count: usize) {
    let request = [NewPartitions::new(topic, count)];
    let results = futures_executor::block_on(
        admin(options).create_partitions(&request, &AdminOptions::new()),
    );
    assert!(results.unwrap().iter().all(Result::is_ok));
}

pub fn delete_records_before(options: &KafkaOptions, topic: &str, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    let deleted =
        futures_executor::block_on(admin(options).delete_records(&offsets, &AdminOptions::new()));
    assert!(deleted.unwrap().elements().iter().all(|each| each.error().is_ok()));
}

pub fn delete_topic(options: &KafkaOptions, topic: &str) {
    let results =
        futures_executor::block_on(admin(options).delete_topics(&[topic], &AdminOptions::new()));
    assert!(results.unwrap().iter().all(Result::is_ok));
}
