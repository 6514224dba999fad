use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cebe_connectors::binding::Range;
use cebe_connectors::kafka::source::{Limits, Record, Source, SourceError, SourceOptions};
use cebe_connectors::kafka::{KafkaOptions, control, topics};
use rdkafka::producer::Producer;

use crate::support::{Squad, TIMEOUT, add_partitions, delete_records_before, delete_topic, fresh};

const ALL: Limits = Limits { records: 1_000_000, bytes: 1 << 30 };

fn live(options: &KafkaOptions) -> Source {
    let mut source = Source::open(options, SourceOptions::default()).unwrap();
    source.go_live(&BTreeMap::new()).unwrap();
    source
}

fn fill_to(source: &mut Source, records: usize) {
    let deadline = Instant::now() + TIMEOUT;
    while source.buffered().records < records {
        assert!(Instant::now() < deadline, "only {:?}", source.buffered());
        source.fill(Duration::from_millis(100)).unwrap();
    }
}

fn payloads(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.payload).unwrap()).collect()
}

#[test]
fn live_and_replay_give_the_same_records_in_ordinal_order() {
    let options = fresh();
    topics::create_source(&options, "cdp", 2, TIMEOUT).unwrap();
    topics::create_source(&options, "ads", 1, TIMEOUT).unwrap();
    let (cdp, ads) = (options.topics.events("cdp"), options.topics.events("ads"));
    let squad = Squad::new(&options);
    squad.send(&cdp, 1, &["c1", "c2"]);
    squad.send(&cdp, 0, &["c3"]);
    squad.send(&ads, 0, &["a1"]);
    control::publish(&options, b"{}", TIMEOUT).unwrap();
    let mut source = live(&options);
    fill_to(&mut source, 5);
    let ranges = source.offer(ALL);
    let live_records = source.take(&ranges).unwrap();
    assert_eq!(payloads(&live_records), ["{}", "a1", "c3", "c1", "c2"]);
    assert!(live_records[0].created_ms > 1_600_000_000_000);
    assert_eq!(source.offer(ALL), []);
    assert_eq!(source.buffered(), Limits { records: 0, bytes: 0 });

    squad.send(&cdp, 1, &["c4"]);
    fill_to(&mut source, 1);
    let more = source.offer(ALL);
    assert_eq!((more[0].from, more[0].to, more[0].records), (2, 3, 1));
    let more_records = source.take(&more).unwrap();

    let mut replay = Source::open(&options, SourceOptions::default()).unwrap();
    assert_eq!(replay.take(&ranges).unwrap(), live_records);
    assert_eq!(replay.take(&more).unwrap(), more_records);
    assert!(matches!(replay.take(&more), Err(SourceError::OutOfOrder { .. })));
}

#[test]
fn of_history_one_record_is_bound_at_a_time() {
    let options = fresh();
    topics::create_missing(&options, TIMEOUT).unwrap();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    let (cdp, history) = (options.topics.events("cdp"), options.topics.history.clone());
    let squad = Squad::new(&options);
    squad.send(&history, 0, &["h1", "h2"]);
    squad.send(&cdp, 0, &["c1", "c2", "c3"]);
    control::publish(&options, b"{}", TIMEOUT).unwrap();
    let mut source = live(&options);
    fill_to(&mut source, 6);
    let ranges = source.offer(ALL);
    assert_eq!(payloads(&source.take(&ranges).unwrap()), ["{}", "c1", "c2", "c3", "h1"]);
    squad.send(&cdp, 0, &["c4", "c5"]);
    fill_to(&mut source, 3);
    // A tick that is full of events takes history in all the same.
    let ranges = source.offer(Limits { records: 2, ..ALL });
    assert_eq!(payloads(&source.take(&ranges).unwrap()), ["c4", "h2"]);
}

#[test]
fn transactions_leave_gaps_and_aborted_records_never_show() {
    let options = fresh();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    let cdp = options.topics.events("cdp");
    let squad = Squad::transactional(&options, &cdp);
    for (payload, commit) in [("one", true), ("never", false), ("two", true)] {
        squad.producer().begin_transaction().unwrap();
        squad.send(&cdp, 0, &[payload]);
        if commit {
            squad.producer().commit_transaction(TIMEOUT).unwrap();
        } else {
            squad.producer().abort_transaction(TIMEOUT).unwrap();
        }
    }
    let mut source = live(&options);
    fill_to(&mut source, 2);
    let ranges = source.offer(ALL);
    assert_eq!((ranges[0].from, ranges[0].to, ranges[0].records), (0, 5, 2));
    assert_eq!(payloads(&source.take(&ranges).unwrap()), ["one", "two"]);
    let mut replay = Source::open(&options, SourceOptions::default()).unwrap();
    assert_eq!(payloads(&replay.take(&ranges).unwrap()), ["one", "two"]);
}

#[test]
fn topics_and_partitions_that_come_later_are_read_from_their_first_record() {
    let options = fresh();
    let mut source = live(&options);
    topics::create_source(&options, "late", 1, TIMEOUT).unwrap();
    let late = options.topics.events("late");
    let squad = Squad::new(&options);
    squad.send(&late, 0, &["first"]);
    fill_to(&mut source, 1);
    add_partitions(&options, &late, 2);
    Squad::new(&options).send(&late, 1, &["second"]);
    fill_to(&mut source, 2);
    let ranges = source.offer(ALL);
    assert_eq!(payloads(&source.take(&ranges).unwrap()), ["first", "second"]);
}

#[test]
fn a_restart_goes_on_where_bindings_ended() {
    let options = fresh();
    topics::create_source(&options, "cdp", 2, TIMEOUT).unwrap();
    let cdp: std::sync::Arc<str> = options.topics.events("cdp").into();
    let squad = Squad::new(&options);
    squad.send(&cdp, 0, &["1", "2", "3"]);
    squad.send(&cdp, 1, &["4"]);
    let mut source = Source::open(&options, SourceOptions::default()).unwrap();
    source.go_live(&BTreeMap::from([((cdp.clone(), 0), 2)])).unwrap();
    fill_to(&mut source, 2);
    let ranges = source.offer(ALL);
    assert_eq!(payloads(&source.take(&ranges).unwrap()), ["3", "4"]);
    assert_eq!(ranges[0].from, 2);
}

#[test]
fn a_null_is_an_empty_record() {
    let options = fresh();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    let cdp = options.topics.events("cdp");
    let squad = Squad::new(&options);
    let record = rdkafka::producer::BaseRecord::<str, str>::to(&cdp).partition(0).key("k");
    squad.producer().send(record).map_err(|(error, _)| error).unwrap();
    squad.producer().flush(TIMEOUT).unwrap();
    let mut source = live(&options);
    fill_to(&mut source, 1);
    let ranges = source.offer(ALL);
    assert_eq!(source.take(&ranges).unwrap()[0].payload, b"");
}

#[test]
fn a_small_buffer_holds_back_and_loses_nothing() {
    let options = fresh();
    topics::create_source(&options, "cdp", 3, TIMEOUT).unwrap();
    let cdp = options.topics.events("cdp");
    let squad = Squad::new(&options);
    let numbers: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    for (partition, part) in numbers.chunks(1_000).enumerate() {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        squad.send(&cdp, partition as i32, &part);
    }
    let small = SourceOptions {
        buffer: Limits { records: 50, bytes: 1 << 20 },
        ..SourceOptions::default()
    };
    let mut source = Source::open(&options, small).unwrap();
    source.go_live(&BTreeMap::new()).unwrap();
    let (mut bindings, mut all): (Vec<Vec<Range>>, Vec<Record>) = Default::default();
    let deadline = Instant::now() + TIMEOUT;
    while all.len() < 3_000 {
        assert!(Instant::now() < deadline, "{} records", all.len());
        source.fill(Duration::from_millis(100)).unwrap();
        assert!(source.buffered().records <= 50);
        let ranges = source.offer(Limits { records: 20, bytes: 1 << 20 });
        all.extend(source.take(&ranges).unwrap());
        bindings.push(ranges);
    }
    let mut found: Vec<String> = payloads(&all).into_iter().map(str::to_owned).collect();
    found.sort_by_key(|n| n.parse::<u32>().unwrap());
    assert_eq!(found, numbers);

    // The last partition first: what is needed lies behind more than the buffer holds.
    let mut replay = Source::open(&options, small).unwrap();
    let whole: Vec<Range> = (0..3)
        .rev()
        .map(|partition| Range {
            topic: cdp.as_str().into(),
            partition,
            from: 0,
            to: 1_000,
            records: 1_000,
        })
        .collect();
    for range in whole {
        assert_eq!(replay.take(&[range]).unwrap().len(), 1_000);
    }
    let mut replay = Source::open(&options, small).unwrap();
    let replayed: Vec<Record> =
        bindings.iter().flat_map(|ranges| replay.take(ranges).unwrap()).collect();
    assert_eq!(replayed, all);
}

#[test]
fn a_backlog_of_one_partition_leaves_room_for_the_others() {
    let options = fresh();
    topics::create_source(&options, "cdp", 2, TIMEOUT).unwrap();
    let cdp = options.topics.events("cdp");
    let squad = Squad::new(&options);
    squad.send(&cdp, 0, &["x"; 500]);
    squad.send(&cdp, 1, &["live"; 5]);
    let mut source = live(&options);
    fill_to(&mut source, 505);
    let ranges = source.offer(Limits { records: 100, bytes: 1 << 20 });
    let records: Vec<u64> = ranges.iter().map(|range| range.records).collect();
    assert_eq!(records, [95, 5]);
}

#[test]
fn deleted_records_are_an_error_that_names_them() {
    let options = fresh();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    let cdp: std::sync::Arc<str> = options.topics.events("cdp").into();
    Squad::new(&options).send(&cdp, 0, &["1", "2", "3", "4"]);
    delete_records_before(&options, &cdp, 3);

    let bound = Range { topic: cdp.clone(), partition: 0, from: 1, to: 3, records: 2 };
    let mut source = Source::open(&options, SourceOptions::default()).unwrap();
    let error = source.take(std::slice::from_ref(&bound)).unwrap_err();
    assert!(matches!(error, SourceError::Gone { from: 1, to: 3, .. }), "{error}");

    let positions = BTreeMap::from([((cdp.clone(), 0), 1)]);
    let mut source = Source::open(&options, SourceOptions::default()).unwrap();
    let error = source.go_live(&positions).unwrap_err().to_string();
    assert!(error.contains(&format!("not read yet: {cdp}/0: offsets 1 to 3. Restore")), "{error}");

    let accepting = SourceOptions { accept_loss: true, ..SourceOptions::default() };
    let mut source = Source::open(&options, accepting).unwrap();
    source.go_live(&positions).unwrap();
    fill_to(&mut source, 1);
    let ranges = source.offer(Limits { records: 10, bytes: 1 << 20 });
    assert_eq!(ranges, [Range { topic: cdp, partition: 0, from: 1, to: 4, records: 1 }]);
    assert_eq!(source.take(&ranges).unwrap()[0].payload, b"4");
}

#[test]
fn what_is_deleted_under_a_running_source_is_an_error() {
    let options = fresh();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    let cdp: std::sync::Arc<str> = options.topics.events("cdp").into();
    let squad = Squad::new(&options);
    squad.send(&cdp, 0, &["1", "2", "3", "4"]);
    let small =
        SourceOptions { buffer: Limits { records: 1, bytes: 1 }, ..SourceOptions::default() };
    let mut source = Source::open(&options, small).unwrap();
    source.go_live(&BTreeMap::new()).unwrap();
    fill_to(&mut source, 1);
    squad.send(&cdp, 0, &vec!["x"; 50_000]);
    delete_records_before(&options, &cdp, 50_000);
    let deadline = Instant::now() + 3 * TIMEOUT;
    let error = loop {
        assert!(Instant::now() < deadline, "no error");
        let ranges = source.offer(Limits { records: 1_000, bytes: 1 << 20 });
        source.take(&ranges).unwrap();
        if let Err(error) = source.fill(Duration::from_millis(100)) {
            break error.to_string();
        }
    };
    assert!(error.contains("are needed and no longer held"), "{error}");
}

#[test]
fn a_topic_made_anew_is_an_error() {
    let options = fresh();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    let cdp: std::sync::Arc<str> = options.topics.events("cdp").into();
    Squad::new(&options).send(&cdp, 0, &["1", "2"]);
    delete_topic(&options, &cdp);
    std::thread::sleep(Duration::from_millis(500));
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    Squad::new(&options).send(&cdp, 0, &["new"]);

    let mut source = Source::open(&options, SourceOptions::default()).unwrap();
    let bound = Range { topic: cdp.clone(), partition: 0, from: 0, to: 2, records: 2 };
    let error = source.take(&[bound]).unwrap_err().to_string();
    assert!(error.contains("offset 2 is needed, but the partition ends at 1"), "{error}");
}
