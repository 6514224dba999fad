//! Counts of sources and the ledger, each against a recount of everything so far.

use std::collections::BTreeMap;

use cebe_schemas::count::{HOUR_MS, OPEN_MS, hour_of};

use super::*;
use crate::adapter::reconciliation::Reconciliation;

/// The hour that ends with `T`.
const HOUR: Millis = T - T % HOUR_MS;

/// (source, hour) → (read, emitted).
type Hours = BTreeMap<(String, Millis), (u64, Option<u64>)>;

fn count(source: &str, hour_ms: Millis, emitted: u64) -> Record {
    record("cebe.counts", 0, json!({"source_module": source, "hour": hour_ms, "emitted": emitted}))
}

fn read_at(created_ms: Millis) -> Record {
    Record { created_ms, ..cdp(0, json!({})) }
}

fn hours(tick: &AdaptedTick) -> Hours {
    let row = |row: &Row| match row {
        Row::Reconciliation(row) => {
            assert_eq!(row.logical_time, tick.input.t_ms);
            Some(((row.source_module.to_string(), row.hour), (row.read, row.emitted)))
        }
        _ => None,
    };
    let rows: Vec<_> = tick.rows.iter().filter_map(row).collect();
    let hours: Hours = rows.iter().cloned().collect();
    assert_eq!(hours.len(), rows.len(), "one row a key and tick: {rows:?}");
    hours
}

fn of<const N: usize>(rows: [(Millis, u64, Option<u64>); N]) -> Hours {
    rows.into_iter().map(|(hour, read, said)| (("cdp".to_owned(), hour), (read, said))).collect()
}

#[test]
fn an_hour_shows_what_was_read_and_what_was_said() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let mut adapt = |t_ms, records: &[Record]| hours(&adapter.adapt(t_ms, 0, records).unwrap());
    let before = HOUR - 1;
    let read = [read_at(before), read_at(HOUR), read_at(T)];
    assert_eq!(adapt(T, &read), of([(hour_of(before), 1, None), (HOUR, 2, None)]));
    assert!(adapt(T + 1, &[]).is_empty(), "only what was counted");
    assert_eq!(adapt(T + 2, &[count("cdp", HOUR, 5)]), of([(HOUR, 2, Some(5))]));
    let again = [count("cdp", HOUR, 9), read_at(T), count("cdp", HOUR, 3)];
    assert_eq!(adapt(T + 3, &again), of([(HOUR, 3, Some(3))]), "the last one counts");
    let unread = adapt(T + 4, &[count("ads", HOUR, 8)]);
    assert_eq!(unread, [(("ads".to_owned(), HOUR), (0, Some(8)))].into());
}

#[test]
fn a_create_time_that_makes_no_sense_is_of_the_hour_of_arrival() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let mut adapt = |record: Record| hours(&adapter.adapt(T, 0, &[record]).unwrap());
    assert_eq!(adapt(read_at(HOUR + HOUR_MS)), of([(HOUR + HOUR_MS, 1, None)]), "clocks differ");
    assert_eq!(adapt(read_at(HOUR + 2 * HOUR_MS)), of([(HOUR, 1, None)]));
    assert_eq!(adapt(read_at(-1)), of([(HOUR, 2, None)]));
    assert_eq!(adapt(read_at(i64::MAX)), of([(HOUR, 3, None)]));
    assert_eq!(adapt(read_at(HOUR + HOUR_MS - OPEN_MS)), of([(HOUR + HOUR_MS - OPEN_MS, 1, None)]));
    assert_eq!(adapt(read_at(HOUR - OPEN_MS)), Hours::new(), "closed");
}

#[test]
fn a_source_that_falls_silent_shows_hour_by_hour_for_31_days() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let mut adapt = |t_ms, records: &[Record]| hours(&adapter.adapt(t_ms, 0, records).unwrap());
    assert_eq!(adapt(T, &[read_at(HOUR), count("ads", HOUR, 1)]).len(), 2);
    assert!(adapt(HOUR + HOUR_MS, &[]).is_empty(), "its hour has a row");
    let empty = (HOUR + HOUR_MS, 0, None);
    let said = count("cdp", HOUR + 2 * HOUR_MS, 0);
    let hour = (HOUR + 2 * HOUR_MS, 0, Some(0));
    assert_eq!(adapt(HOUR + 2 * HOUR_MS, &[said]), of([empty, hour]));
    // The engine was off for a while.
    let unknown = (3..9).map(|n| (("cdp".to_owned(), HOUR + n * HOUR_MS), (0, None)));
    assert_eq!(adapt(HOUR + 9 * HOUR_MS, &[]), unknown.collect());
    assert!(adapt(HOUR + OPEN_MS, &[]).is_empty(), "nobody expects it any more");
}

#[test]
fn a_count_that_is_wrong_is_rejected_and_changes_nothing() {
    let canary = "0812-3456-7890";
    let mut adapter = adapter(MemoryKeyIndex::default());
    let wrong = record("cebe.counts", 4, json!({"source_module": canary, "hour": 1}));
    let records = [wrong, record("cebe.counts", 5, "7"), count("cdp", HOUR - OPEN_MS, 1)];
    let tick = adapter.adapt(T, 0, &records).unwrap();
    let rows = rejected(&tick);
    let reasons: Vec<_> =
        rows.iter().map(|row| (&*row.topic, &*row.reason, &*row.pointer)).collect();
    assert_eq!(
        reasons,
        [
            ("cebe.counts", "schema_violation", "/hour"),
            ("cebe.counts", "malformed_json", ""),
            ("cebe.counts", "too_old", "/hour"),
        ]
    );
    assert!(!format!("{rows:?}").contains(canary), "{rows:?}");
    assert!(ledger(&tick).is_empty() && hours(&tick).is_empty());
}

/// A tick: how long after the one before, and its records. A record: source, partition, how long ago
/// it was made, what it is.
type Ticks = Vec<(Millis, Vec<(usize, i32, Millis, Kind)>)>;

#[derive(Clone, Debug)]
enum Kind {
    Event(u8),
    Count(u64),
    Broken,
    Flag(&'static str),
}

const SOURCES: [&str; 2] = ["cdp", "broadcast"];

fn ticks() -> impl Strategy<Value = Ticks> {
    let passed = prop_oneof![
        8 => 1..HOUR_MS / 2,
        3 => HOUR_MS..5 * HOUR_MS,
        1 => OPEN_MS - 3 * HOUR_MS..OPEN_MS + 3 * HOUR_MS,
    ];
    let ago = prop_oneof![
        8 => -HOUR_MS / 2..3 * HOUR_MS,
        1 => -3 * HOUR_MS..-HOUR_MS / 2,
        1 => OPEN_MS - 2 * HOUR_MS..OPEN_MS + 2 * HOUR_MS,
    ];
    let kind = prop_oneof![
        8 => (0u8..9).prop_map(Kind::Event),
        3 => (0u64..9).prop_map(Kind::Count),
        1 => Just(Kind::Broken),
        1 => prop::sample::select(vec!["on", "off"]).prop_map(Kind::Flag),
    ];
    let record = (0..SOURCES.len(), 0i32..2, ago, kind);
    prop::collection::vec((passed, prop::collection::vec(record, 0..8)), 1..14)
}

/// The tick as records of each topic.
fn written(t_ms: Millis, said: &[(usize, i32, Millis, Kind)], offset: &mut i64) -> Vec<Record> {
    let record = |(source, partition, ago, kind): &(usize, i32, Millis, Kind)| {
        *offset += 1;
        let (name, created_ms) = (SOURCES[*source], t_ms - ago);
        let broken = || record(&format!("cebe.events.{name}"), *offset, "{");
        let record = match kind {
            Kind::Event(key) => {
                let kind = ["customer.updated", "broadcast.sent"][*source];
                let more = json!({"occurred_at": t_ms, "properties": {"broadcast_id": "b"}});
                let event = event(kind, &key.to_string(), "7", more);
                record(&format!("cebe.events.{name}"), *offset, event)
            }
            Kind::Count(emitted) => count(name, hour_of(created_ms), *emitted),
            Kind::Broken => broken(),
            Kind::Flag(flag) => control(*offset, json!({"sources": {name: flag}})),
        };
        Record { partition: *partition, created_ms, ..record }
    };
    said.iter().map(record).collect()
}

/// Every hour from scratch: the contract, record by record.
fn recount(log: &[(Millis, Record)]) -> Hours {
    let mut hours = Hours::new();
    for (t_ms, record) in log {
        let arrival = t_ms / HOUR_MS;
        let open = arrival - 31 * 24 + 1..=arrival + 1;
        if &*record.topic == "cebe.counts" {
            let said: Value = serde_json::from_slice(&record.payload).unwrap();
            let hour_ms = said["hour"].as_i64().unwrap();
            if open.contains(&(hour_ms / HOUR_MS)) {
                let source = said["source_module"].as_str().unwrap().to_owned();
                hours.entry((source, hour_ms)).or_default().1 = said["emitted"].as_u64();
            }
        } else if let Some(source) = record.topic.strip_prefix("cebe.events.") {
            let mut hour = record.created_ms / HOUR_MS;
            if hour > arrival + 1 {
                hour = arrival;
            }
            if open.contains(&hour) {
                hours.entry((source.to_owned(), hour * HOUR_MS)).or_default().0 += 1;
            }
        }
    }
    hours
}

/// Every partition from scratch: records of the log, and what the rows so far say of them.
fn recount_ledger(log: &[(Millis, Record)], rows: &[Row], topic: &str, partition: i32) -> [u64; 4] {
    let is_of = |(_, r): &&(Millis, Record)| &*r.topic == topic && r.partition == partition;
    let mut counts = [log.iter().filter(is_of).count() as u64, 0, 0, 0];
    for row in rows {
        match row {
            Row::Event(r) if (&*r.topic, r.partition) == (topic, partition) => counts[1] += 1,
            Row::Rejected(r) if (&*r.topic, r.partition) == (topic, partition) => counts[2] += 1,
            Row::Ledger(r) if (&*r.topic, r.partition) == (topic, partition) => {
                counts[3] +=
                    r.skipped_ranges.iter().map(|(from, to)| (to - from) as u64).sum::<u64>();
            }
            _ => {}
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// After every tick, the last row of each hour and of each partition is what a recount of
    /// everything so far gives, and no row is there that none was needed for.
    #[test]
    fn every_row_is_a_recount(ticks in ticks()) {
        let mut adapter = adapter(MemoryKeyIndex::default());
        adapter.adapt(T - 1, 0, &[sources_on()]).unwrap();
        let (mut t_ms, mut offset, mut ordinal) = (T, 0, 1);
        let (mut log, mut rows, mut shown) = (Vec::new(), Vec::new(), Hours::new());
        for (passed, said) in ticks {
            t_ms += passed;
            let records = written(t_ms, &said, &mut offset);
            log.extend(records.iter().map(|record| (t_ms, record.clone())));
            let tick = adapter.adapt(t_ms, ordinal, &records).unwrap();
            ordinal += records.len() as u64;
            rows.extend(tick.rows.iter().cloned());
            shown.extend(hours(&tick));
            let expected = recount(&log);
            for (hour, counted) in &shown {
                prop_assert_eq!(expected.get(hour).copied().unwrap_or_default(), *counted, "{:?}", hour);
            }
            prop_assert!(expected.keys().all(|hour| shown.contains_key(hour)));
            for row in ledger(&tick) {
                let counts = recount_ledger(&log, &rows, &row.topic, row.partition);
                let found = [row.records_read, row.accepted, row.rejected, row.skipped];
                prop_assert_eq!(found, counts);
                prop_assert_eq!(row.records_read, found[1..].iter().sum::<u64>() + row.duplicate);
            }
        }
    }
}

#[test]
fn it_is_saved_as_it_is() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    adapter.adapt(T, 0, &[read_at(T), count("ads", HOUR, 1), sources_on()]).unwrap();
    let saved = serde_json::to_string(&adapter.reconciliation).unwrap();
    assert_eq!(serde_json::from_str::<Reconciliation>(&saved).unwrap(), adapter.reconciliation);
    let saved = serde_json::to_string(&adapter.ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&saved).unwrap(), adapter.ledger);
}
