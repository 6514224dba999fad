//! The engine's loop without its dataflow, killed at every place where that can hurt.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::Binding;
use cebe_connectors::kafka::binding_log::BindingLog;
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::kafka::source::{Limits, Source, SourceOptions};
use cebe_connectors::kafka::{KafkaOptions, control, topics};
use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::{Numbered, compare, number};
use cebe_connectors::out::progress_log::{self, ProgressLog};
use cebe_connectors::out::publisher::{Publisher, PublisherOptions};
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::control::ControlState;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;
use cebe_schemas::view::{OUT_PARTITIONS, View};
use serde_json::{Value, json};

use crate::support::{Squad, TIMEOUT, fresh, holder, read_all};

pub struct Engine {
    pub log: BindingLog,
    source: Source,
    adapter: Adapter<DiskKeyIndex>,
    publisher: Publisher,
}

/// Where an engine dies in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dies {
    Never,
    AfterBind,
    BeforePublish,
    BeforeCommit,
}

fn judge() -> Judge {
    Judge {
        catalogue: Arc::new(Catalogue::shipped().unwrap()),
        keys: Arc::new(Keys::development()),
    }
}

impl Engine {
    /// Takes over and works through what is bound.
    pub fn start(options: &KafkaOptions, dir: &Path) -> Engine {
        let log = holder(options, "engine");
        let id = format!("{}-engine", options.topics.bindings);
        // Short, so that a broker that is away leaves commits without an answer.
        let transaction_timeout = Duration::from_secs(4);
        let publishing = PublisherOptions { transactional_id: id, transaction_timeout };
        let publisher = Publisher::open(options, publishing).unwrap();
        let lineage = log.chain().genesis().unwrap().to_string();
        let keys = DiskKeyIndex::open(dir, &lineage, 0).unwrap();
        let adapter = Adapter::new(judge(), options.topics.clone(), keys, ControlState::new());
        let source = Source::open(options, SourceOptions::default()).unwrap();
        let mut engine = Engine { log, source, adapter, publisher };
        engine.replay(options);
        engine
    }

    fn replay(&mut self, options: &KafkaOptions) {
        let last = progress_log::last(options).unwrap().map_or(0, |progress| progress.binding);
        let mut published = ProgressLog::since(options, -1).unwrap();
        let mut bindings = self.log.replay(LogPlace::default()).unwrap();
        while let Some(binding) = bindings.next(&self.log).unwrap() {
            let tick = self.tick(&binding);
            match published.of(binding.number).unwrap() {
                Some(progress) => compare(&progress, &tick.progress).unwrap(),
                None => {
                    assert!(binding.number > last, "nothing has expired");
                    self.publisher.publish(&tick, &mut self.log).unwrap();
                }
            }
            self.adapter.commit().unwrap();
        }
        self.source.go_live(self.log.chain().positions()).unwrap();
    }

    fn tick(&mut self, binding: &Binding) -> Numbered {
        let records = self.source.take(&binding.ranges).unwrap();
        let adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, &records).unwrap();
        number(binding, adapted.rows, vec![], &Keys::development()).unwrap()
    }

    /// One turn of the live loop; the records it bound.
    pub fn turn(&mut self, dies: Dies) -> u64 {
        self.source.fill(Duration::from_millis(50)).unwrap();
        self.log.poll().unwrap();
        let ranges = self.source.offer(Limits { records: 40, bytes: 1 << 20 });
        if ranges.is_empty() {
            return 0;
        }
        let binding = self.log.bind(ranges).unwrap();
        if dies == Dies::AfterBind {
            return binding.records();
        }
        let tick = self.tick(&binding);
        if dies == Dies::BeforePublish {
            return binding.records();
        }
        self.publisher.publish(&tick, &mut self.log).unwrap();
        if dies != Dies::BeforeCommit {
            self.adapter.commit().unwrap();
        }
        binding.records()
    }
}

pub fn event(n: usize) -> String {
    // Every seventh repeats a key, every fifth is wrong.
    let key = if n % 7 == 6 { n - 3 } else { n };
    let name = if n % 5 == 4 { "customer.flown" } else { "customer.updated" };
    json!({
        "event_name": name, "schema_version": 1, "source_module": "cdp",
        "idempotency_key": format!("k{key}"), "account_id": "a",
        "qontak_customer_id": (n % 11).to_string(), "occurred_at": "2026-06-01T00:00:00Z",
        "properties": {"city": "Depok", "phone": format!("08123456{n:04}")},
    })
    .to_string()
}

pub fn expected_accepted(records: usize) -> usize {
    let mut keys = std::collections::BTreeSet::new();
    (0..records)
        .filter(|n| n % 5 != 4)
        .filter(|n| keys.insert(if n % 7 == 6 { n - 3 } else { *n }))
        .count()
}

pub fn values(options: &KafkaOptions, view: View) -> Vec<Value> {
    (0..OUT_PARTITIONS as i32)
        .flat_map(|partition| read_all(options, &options.topics.out(view), partition))
        .map(|(_, value, _)| serde_json::from_slice(&value).unwrap())
        .collect()
}

#[test]
fn an_engine_killed_anywhere_loses_nothing_and_doubles_nothing() {
    let options = fresh();
    topics::create_source(&options, "cdp", 3, TIMEOUT).unwrap();
    let cdp = options.topics.events("cdp");
    control::publish(&options, br#"{"sources": {"cdp": "on"}}"#, TIMEOUT).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let squad = Squad::new(&options);
    let (mut sent, mut bound) = (0, 0);
    let deaths =
        [Dies::AfterBind, Dies::BeforePublish, Dies::BeforeCommit, Dies::AfterBind, Dies::Never];
    for dies in deaths {
        let mut engine = Engine::start(&options, dir.path());
        for turn in 0..4 {
            // The flag first, so that what is on does not depend on timing.
            while sent == 0 && bound == 0 {
                bound += engine.turn(Dies::Never);
            }
            let batch: Vec<String> = (sent..sent + 50).map(event).collect();
            for payload in &batch {
                squad.send(&cdp, (sent % 3) as i32, &[payload]);
                sent += 1;
            }
            let dies = if turn == 3 { dies } else { Dies::Never };
            bound += engine.turn(dies);
        }
        drop(engine);
    }
    let mut engine = Engine::start(&options, dir.path());
    let deadline = Instant::now() + TIMEOUT;
    while bound < sent as u64 + 1 {
        assert!(Instant::now() < deadline, "{bound} of {sent} bound");
        bound += engine.turn(Dies::Never);
    }

    let rows = values(&options, View::Events);
    let mut ordinals: Vec<u64> = rows.iter().map(|row| row["ordinal"].as_u64().unwrap()).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    assert_eq!(ordinals.len(), rows.len(), "none is there twice");
    let keys: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row["idempotency_key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), rows.len(), "none is accepted twice");
    assert_eq!(rows.len(), expected_accepted(sent));
    let mut last: BTreeMap<i64, Value> = BTreeMap::new();
    for row in values(&options, View::Ledger) {
        let partition = row["partition"].as_i64().unwrap();
        let read = |row: &Value| row["records_read"].as_u64();
        if last.get(&partition).is_none_or(|held| read(held) < read(&row)) {
            last.insert(partition, row);
        }
    }
    let sum = |field: &str| last.values().map(|row| row[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("records_read"), sent as u64);
    assert_eq!(sum("accepted"), rows.len() as u64);
    assert_eq!(sum("rejected"), sent as u64 / 5);
    assert_eq!(values(&options, View::Rejected).len(), sent / 5);
    assert_eq!(
        sum("records_read"),
        sum("accepted") + sum("duplicate") + sum("rejected") + sum("skipped")
    );
    one_progress_for_each_binding(&options, &engine);
}

pub fn one_progress_for_each_binding(options: &KafkaOptions, engine: &Engine) {
    let numbers: Vec<u64> = read_all(options, &options.topics.progress, 0)
        .iter()
        .map(|(_, value, _)| serde_json::from_slice::<Value>(value).unwrap())
        .map(|progress| progress["binding"].as_u64().unwrap())
        .collect();
    let all: Vec<u64> = (1..=engine.log.chain().head().number).collect();
    assert_eq!(numbers, all);
}

#[test]
fn a_replay_that_differs_is_noticed() {
    let options = fresh();
    topics::create_source(&options, "cdp", 1, TIMEOUT).unwrap();
    control::publish(&options, br#"{"sources": {"cdp": "on"}}"#, TIMEOUT).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(&options, dir.path());
    while engine.turn(Dies::Never) == 0 {}
    Squad::new(&options).send(&options.topics.events("cdp"), 0, &[&event(1)]);
    while engine.turn(Dies::Never) == 0 {}

    // As if the rules had changed: a source that was on is off.
    let mut source = Source::open(&options, SourceOptions::default()).unwrap();
    let mut other = Adapter::new(
        judge(),
        options.topics.clone(),
        MemoryKeyIndex::default(),
        ControlState::new(),
    );
    let mut published = ProgressLog::since(&options, -1).unwrap();
    let mut bindings = engine.log.replay(LogPlace::default()).unwrap();
    let mut differences = Vec::new();
    while let Some(binding) = bindings.next(&engine.log).unwrap() {
        let mut records = source.take(&binding.ranges).unwrap();
        records.retain(|record| *record.topic != *options.topics.control);
        let adapted = other.adapt(binding.t_ms, binding.first_ordinal, &records).unwrap();
        let tick = number(&binding, adapted.rows, vec![], &Keys::development()).unwrap();
        let progress = published.of(binding.number).unwrap().unwrap();
        differences.extend(compare(&progress, &tick.progress).err());
    }
    assert_eq!(differences.len(), 1);
    assert!(differences[0].where_.starts_with("view "), "{}", differences[0]);
}

#[test]
fn from_kafka_to_committed_is_fast() {
    let options = fresh();
    topics::create_source(&options, "cdp", 3, TIMEOUT).unwrap();
    let cdp = options.topics.events("cdp");
    control::publish(&options, br#"{"sources": {"cdp": "on"}}"#, TIMEOUT).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(&options, dir.path());
    while engine.turn(Dies::Never) == 0 {}
    let squad = Squad::new(&options);
    let mut times: Vec<Duration> = (0..100)
        .map(|n| {
            std::thread::sleep(Duration::from_millis(30));
            let begun = Instant::now();
            squad.send(&cdp, n % 3, &[&event(n as usize)]);
            while engine.turn(Dies::Never) == 0 {}
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("send, bind, adapt, commit: p50 {:?}, p99 {:?}", times[50], times[98]);
    assert!(times[50] < Duration::from_millis(500));
}
