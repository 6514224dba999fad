//! Two isolated pairs side by side, used, crashed and restarted.
//!
//! The first run ever fetches the servers.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cebe_dev::{Guard, Options, Progress, clickhouse, create_topics, kafka, status};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "cebe.out.progress";

fn pair(dir: &Path) -> Guard {
    Guard::up(Options { progress: Progress::stderr(), ..Options::new(dir) }).unwrap()
}

/// One record in a transaction of its own, committed or aborted.
fn produce(bootstrap: &str, value: &str, commit: bool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "services-test")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<(), str>::to(TOPIC).payload(value)).unwrap();
    producer.flush(PATIENCE).unwrap();
    match commit {
        true => producer.commit_transaction(PATIENCE).unwrap(),
        false => producer.abort_transaction(PATIENCE).unwrap(),
    }
}

/// The first `count` committed records.
fn consume(bootstrap: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "services-test")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    let begun = Instant::now();
    let mut values = Vec::new();
    while values.len() < count && begun.elapsed() < PATIENCE {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
    }
    values
}

fn fill(pair: &Guard, name: &str) {
    produce(&pair.kafka_bootstrap, &format!("{name} aborted"), false);
    produce(&pair.kafka_bootstrap, name, true);
    pair.query("CREATE DATABASE cebe").unwrap();
    pair.query("CREATE TABLE cebe.t (name String) ENGINE = MergeTree ORDER BY name").unwrap();
    pair.query(&format!("INSERT INTO cebe.t VALUES ('{name}')")).unwrap();
}

fn read(pair: &Guard, name: &str) {
    assert_eq!(consume(&pair.kafka_bootstrap, 1), [name]);
    assert_eq!(pair.query("SELECT name FROM cebe.t").unwrap().trim(), name);
}

fn the_reader_only_reads(pair: &Guard) {
    let query = |statement: &str| {
        let (user, password) = (&pair.clickhouse_reader, &pair.clickhouse_reader_password);
        clickhouse::query(&pair.clickhouse_url, user, password, statement)
    };
    assert!(query("SELECT count() FROM cebe.t").is_ok());
    assert!(query("INSERT INTO cebe.t VALUES ('x')").is_err());
    assert!(query("SELECT 1 SETTINGS max_execution_time = 3600").is_err());
    let anonymous = clickhouse::query(&pair.clickhouse_url, "default", "", "SELECT * FROM cebe.t");
    assert!(anonymous.is_err());
}

#[test]
fn pairs_run_side_by_side_and_survive_a_crash() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| pair(two.path()));
        (pair(one.path()), second.join().unwrap())
    });
    assert_ne!(first.kafka_bootstrap, second.kafka_bootstrap);
    fill(&first, "first");
    fill(&second, "second");
    read(&first, "first");
    the_reader_only_reads(&first);

    kafka::kill(first.options()).unwrap();
    clickhouse::kill(first.options()).unwrap();
    assert!(!status(first.options()).unwrap().is_healthy());
    read(&second, "second");

    let begun = Instant::now();
    assert_eq!(kafka::start(first.options()).unwrap(), first.kafka_bootstrap);
    eprintln!("kafka is back {:.1} s after the crash", begun.elapsed().as_secs_f32());
    assert_eq!(clickhouse::start(first.options()).unwrap(), first.clickhouse_url);
    assert!(status(first.options()).unwrap().is_healthy());
    read(&first, "first");

    // Once more, and with topics of a test's own.
    create_topics(&first.kafka_bootstrap, None).unwrap();
    create_topics(&first.kafka_bootstrap, Some("mine.")).unwrap();

    // An orderly stop keeps the data as well, and the guard leaves nothing behind.
    clickhouse::stop(first.options()).unwrap();
    kafka::stop(first.options()).unwrap();
    let options = first.options().clone();
    clickhouse::start(&options).unwrap();
    assert_eq!(first.query("SELECT count() FROM cebe.t").unwrap().trim(), "1");
    drop(first);
    let after = status(&options).unwrap();
    assert!(after.kafka.pid.is_none() && after.clickhouse.pid.is_none());
}
