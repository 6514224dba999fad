//! Records are published again as they were.

use cebe_connectors::kafka::{KafkaOptions, topics};
use cebe_connectors::replay::{Offsets, Outcome, Replay};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{Squad, TIMEOUT, config, delete_records_before, fresh};

fn source(options: &KafkaOptions, partitions: u32) -> String {
    topics::create_source(options, "cdp", partitions, TIMEOUT).unwrap();
    options.topics.events("cdp")
}

fn offsets(topic: &str, ranges: &[(i32, std::ops::Range<i64>)]) -> Offsets {
    let mut offsets = Offsets::default();
    for (partition, range) in ranges {
        offsets.push(topic, *partition, range.clone());
    }
    offsets
}

fn replay(options: &KafkaOptions, offsets: &Offsets) -> Outcome {
    let tried = Replay::open(options).unwrap().try_out(offsets).unwrap();
    let mut seen = Outcome::default();
    let outcome = Replay::open(options).unwrap().run(offsets, |outcome| seen = *outcome).unwrap();
    assert_eq!((outcome, outcome), (tried, seen));
    outcome
}

/// Everything on a partition from `offset` on, `n` records.
fn read(
    options: &KafkaOptions,
    topic: &str,
    partition: i32,
    offset: i64,
    n: usize,
) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = config(options).set("group.id", "test").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    consumer.assign(&assignment).unwrap();
    (0..n).map(|_| consumer.poll(TIMEOUT).expect("too few").unwrap().detach()).collect()
}

fn payloads(messages: &[OwnedMessage]) -> Vec<&str> {
    messages.iter().map(|m| std::str::from_utf8(m.payload().unwrap_or(b"none")).unwrap()).collect()
}

fn ends(options: &KafkaOptions, topic: &str, partition: i32) -> (i64, i64) {
    let consumer: BaseConsumer = config(options).create().unwrap();
    consumer.fetch_watermarks(topic, partition, TIMEOUT).unwrap()
}

#[test]
fn records_are_published_again_byte_for_byte() {
    let options = fresh();
    let topic = source(&options, 2);
    let squad = Squad::new(&options);
    squad.send(&topic, 1, &["other"]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some(&[0u8, 255][..]) })
        .insert(Header { key: "trace", value: None::<&[u8]> });
    let full = BaseRecord::to(&topic)
        .partition(1)
        .key(&b"key \xff"[..])
        .payload(&b"{\"not\": json \x00\xfe"[..])
        .headers(headers)
        .timestamp(1_000);
    squad.producer().send(full).map_err(|(error, _)| error).unwrap();
    let bare = BaseRecord::<[u8], [u8]>::to(&topic).partition(1);
    squad.producer().send(bare).map_err(|(error, _)| error).unwrap();
    squad.producer().flush(TIMEOUT).unwrap();

    let outcome = replay(&options, &offsets(&topic, &[(1, 1..3)]));
    assert_eq!(outcome, Outcome { selected: 2, replayed: 2, gone: 0 });
    let all = read(&options, &topic, 1, 1, 4);
    for (original, copy) in all[..2].iter().zip(&all[2..]) {
        assert_eq!((original.key(), original.payload()), (copy.key(), copy.payload()));
        assert!(copy.timestamp().to_millis() > Some(1_000_000), "created when it was replayed");
        let headers = |m: &OwnedMessage| {
            m.headers().map(|h| h.iter().map(|h| format!("{h:?}")).collect::<Vec<_>>())
        };
        assert_eq!(headers(original), headers(copy));
    }
    assert_eq!(all[2].headers().unwrap().count(), 2);
    assert_eq!((all[3].key(), all[3].payload()), (None, None));
    assert_eq!(ends(&options, &topic, 0), (0, 0), "nothing elsewhere");
}

#[test]
fn only_what_was_selected_is_published_and_what_is_gone_is_counted() {
    let options = fresh();
    let topic = source(&options, 1);
    let squad = Squad::new(&options);
    let names: Vec<String> = (0..6_000).map(|n| n.to_string()).collect();
    squad.send(&topic, 0, &names.iter().map(String::as_str).collect::<Vec<_>>());
    delete_records_before(&options, &topic, 3);
    let selected = offsets(&topic, &[(0, 1..5), (0, 7..8), (0, 5_000..5_002), (0, 5_998..6_004)]);
    assert_eq!(replay(&options, &selected), Outcome { selected: 13, replayed: 7, gone: 6 });
    let copies = read(&options, &topic, 0, 6_000, 7);
    assert_eq!(payloads(&copies), ["3", "4", "7", "5000", "5001", "5998", "5999"]);
    assert_eq!(ends(&options, &topic, 0), (3, 6_007));
}

#[test]
fn the_marks_and_aborted_records_of_transactions_are_not_there() {
    let options = fresh();
    let topic = source(&options, 1);
    let squad = Squad::transactional(&options, &topic);
    for (payload, commit) in [("one", true), ("never", false), ("two", true)] {
        squad.producer().begin_transaction().unwrap();
        squad.send(&topic, 0, &[payload]);
        if commit {
            squad.producer().commit_transaction(TIMEOUT).unwrap();
        } else {
            squad.producer().abort_transaction(TIMEOUT).unwrap();
        }
    }
    let all = offsets(&topic, &[(0, 0..6)]);
    let outcome = Replay::open(&options).unwrap().run(&all, |_| {}).unwrap();
    assert_eq!(outcome, Outcome { selected: 6, replayed: 2, gone: 4 });
    assert_eq!(payloads(&read(&options, &topic, 0, 6, 2)), ["one", "two"]);
}

#[test]
fn many_records_are_in_flight_only_so_many_at_once() {
    let options = fresh();
    let topic = source(&options, 2);
    let squad = Squad::new(&options);
    let large = "x".repeat(2_000);
    // More than the producer's queue holds, in records and in bytes.
    for partition in [0, 1] {
        squad.send(&topic, partition, &vec![large.as_str(); 12_000]);
    }
    let outcome = replay(&options, &offsets(&topic, &[(0, 0..12_000), (1, 0..12_000)]));
    assert_eq!(outcome, Outcome { selected: 24_000, replayed: 24_000, gone: 0 });
    assert_eq!(ends(&options, &topic, 1), (0, 24_000));
}

#[test]
fn a_topic_or_partition_that_is_no_more_is_gone() {
    let options = fresh();
    let topic = source(&options, 1);
    let deleted = options.topics.events("deleted");
    let mut selected = offsets(&deleted, &[(0, 0..1)]);
    selected.push(&topic, 7, 0..2);
    assert_eq!(replay(&options, &selected), Outcome { selected: 3, replayed: 0, gone: 3 });
}
