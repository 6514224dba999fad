use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cebe_connectors::binding::{Binding, Digest};
use cebe_connectors::kafka::{KafkaOptions, TransactionError};
use cebe_connectors::out::numbered::{Numbered, OutRecord, number};
use cebe_connectors::out::progress_log::{self, ProgressLog};
use cebe_connectors::out::publisher::{PublishError, Publisher, PublisherOptions};
use cebe_schemas::row::{LedgerRow, Row};
use cebe_schemas::token::Keys;
use cebe_schemas::view::{OUT_PARTITIONS, View};

use crate::support::{fresh, holder, read_all};

fn binding(number: u64) -> Binding {
    Binding {
        number,
        t_ms: 1_700_000_000_000 + number as i64,
        generation: 1,
        logic_version: 1,
        previous: Digest::NONE,
        first_ordinal: 0,
        ranges: vec![],
    }
}

/// A tick with a ledger row for each of `partitions`.
fn tick(number_: u64, partitions: i32) -> Numbered {
    let binding = binding(number_);
    let rows = (0..partitions).map(|partition| {
        Row::Ledger(LedgerRow {
            topic: "cebe.events.cdp".into(),
            partition,
            records_read: number_,
            accepted: 0,
            duplicate: 0,
            rejected: number_,
            skipped: 0,
            skipped_ranges: Vec::new(),
            logical_time: binding.t_ms,
        })
    });
    number(&binding, rows.collect(), vec![], &Keys::development()).unwrap()
}

fn open(options: &KafkaOptions) -> Publisher {
    let id = format!("{}-engine", options.topics.bindings);
    let publisher = PublisherOptions { transactional_id: id, ..PublisherOptions::default() };
    Publisher::open(options, publisher).unwrap()
}

/// Key, value and timestamp of records.
type ByPartition = BTreeMap<u32, Vec<(Vec<u8>, Vec<u8>, i64)>>;

/// What is on the ledger's topic.
fn published(options: &KafkaOptions) -> ByPartition {
    (0..OUT_PARTITIONS)
        .map(|p| (p, read_all(options, &options.topics.out(View::Ledger), p as i32)))
        .filter(|(_, records)| !records.is_empty())
        .collect()
}

fn expected<'a>(records: impl IntoIterator<Item = &'a OutRecord>) -> ByPartition {
    let mut by_partition: ByPartition = BTreeMap::new();
    for r in records {
        let record = (r.key.clone(), r.value.clone(), r.t_ms);
        by_partition.entry(r.partition).or_default().push(record);
    }
    by_partition
}

#[test]
fn a_tick_is_out_whole_and_can_be_found_again() {
    let options = fresh();
    let mut log = holder(&options, "a");
    let mut publisher = open(&options);
    assert_eq!(progress_log::last(&options).unwrap(), None);
    let ticks: Vec<Numbered> = (1..=40).map(|n| tick(n, (n % 5) as i32)).collect();
    for tick in &ticks {
        publisher.publish(tick, &mut log).unwrap();
    }
    assert_eq!(published(&options), expected(ticks.iter().flat_map(|tick| &tick.records)));
    assert_eq!(progress_log::last(&options).unwrap().as_ref(), Some(&ticks[39].progress));
    let mut progress = ProgressLog::since(&options, -1).unwrap();
    for n in [1, 2, 7, 40] {
        assert_eq!(progress.of(n).unwrap().as_ref(), Some(&ticks[n as usize - 1].progress));
    }
    for n in 41..45 {
        assert_eq!(progress.of(n).unwrap(), None, "however often the end is reached");
    }
}

#[test]
fn a_newer_publisher_fences_the_older() {
    let options = fresh();
    let mut log = holder(&options, "a");
    let mut old = open(&options);
    old.publish(&tick(1, 2), &mut log).unwrap();
    let mut new = open(&options);
    let error = old.publish(&tick(2, 2), &mut log).unwrap_err();
    assert!(matches!(error, PublishError::Transaction(TransactionError::Fenced { .. })), "{error}");
    new.publish(&tick(2, 3), &mut log).unwrap();
    let ticks = [tick(1, 2), tick(2, 3)];
    assert_eq!(published(&options), expected(ticks.iter().flat_map(|tick| &tick.records)));
}

#[test]
fn a_tick_larger_than_the_queue_is_one_transaction() {
    let mut options = fresh();
    options.properties.insert("queue.buffering.max.messages".to_owned(), "1000".to_owned());
    let mut log = holder(&options, "a");
    let mut publisher = open(&options);
    let large = tick(1, 5_000);
    publisher.publish(&large, &mut log).unwrap();
    assert_eq!(published(&options), expected(&large.records));
}

#[test]
fn publishing_is_fast() {
    let options = fresh();
    let mut log = holder(&options, "a");
    let mut publisher = open(&options);
    publisher.publish(&tick(1, 3), &mut log).unwrap();
    for (name, pause) in [("at intervals", 40), ("back to back", 0)] {
        let first = if pause > 0 { 2 } else { 200 };
        let mut times: Vec<Duration> = (first..first + 100)
            .map(|n| {
                std::thread::sleep(Duration::from_millis(pause));
                let begun = Instant::now();
                publisher.publish(&tick(n, 3), &mut log).unwrap();
                begun.elapsed()
            })
            .collect();
        times.sort();
        println!("publish {name}: p50 {:?}, p99 {:?}", times[50], times[98]);
    }
}
