//! An engine that begins at a snapshot publishes the same bytes as one that never stopped.

use std::path::Path;

use cebe_connectors::binding::{Binding, ClaimRecord, LOGIC_VERSION, LogRecord, Range};
use cebe_connectors::kafka::source::Record;
use cebe_connectors::key_index::KeyIndex;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::{Numbered, number};
use cebe_connectors::snapshot::{Keeper, KeptTick, SealedAt, Sizes};
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::change::Membership;
use cebe_schemas::token::Keys;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod rebuilt;
mod undone;

pub(crate) const T: Millis = 1_764_000_000_000;
pub(crate) const HOUR_MS: Millis = 3_600_000;

pub(crate) fn judge() -> Judge {
    Judge { catalogue: Catalogue::shipped().unwrap().into(), keys: Keys::development().into() }
}

/// Everything between bound records and the bytes of the output.
pub(crate) struct Run<K> {
    pub adapter: Adapter<K>,
    pub dataflow: Dataflow,
}

impl<K: KeyIndex> Run<K> {
    pub fn tick(&mut self, binding: &Binding, records: &[Record]) -> (Numbered, KeptTick) {
        let adapted = self.adapter.adapt(binding.t_ms, binding.first_ordinal, records).unwrap();
        let mut kept = KeptTick::new(&adapted, binding.t_ms);
        let output = self.dataflow.tick(adapted.input).unwrap();
        self.adapter.learn(&output.moments);
        self.adapter.commit().unwrap();
        kept.facts.memberships = Membership::of(&output.moments);
        let keys = self.adapter.token_keys();
        (number(binding, adapted.rows, output.moments, keys).unwrap(), kept)
    }
}

/// A log of bindings without a log.
#[derive(Default)]
pub(crate) struct Log(pub LogPlace);

impl Log {
    pub fn new() -> Log {
        let mut log = Log::default();
        let claim = LogRecord::Claim(ClaimRecord { generation: 1, engine: "e".into() });
        log.0.chain.read(&claim.to_bytes().unwrap()).unwrap();
        log
    }

    pub fn bind(&mut self, t_ms: Millis, records: &[Record]) -> Binding {
        let ranges = records.chunk_by(|a, b| a.topic == b.topic).map(|same| Range {
            topic: same[0].topic.clone(),
            partition: 0,
            from: same[0].offset,
            to: same[0].offset + same.len() as i64,
            records: same.len() as u64,
        });
        let binding = self.0.chain.next(t_ms, 1, ranges.collect());
        let bytes = LogRecord::Binding(binding.clone()).to_bytes().unwrap();
        self.0.chain.read(&bytes).unwrap();
        binding
    }
}

pub(crate) type Tick = (Millis, Vec<Said>);

/// A control record, what a source has counted, or an event.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Control(Value),
    Count(Value),
    Event(Value),
}

fn event() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "customer.updated",
        "customer.merged",
        "customer.unmerged",
        "customer.erased",
        "segment.entered",
        "segment.exited",
        "broadcast.sent",
        "broadcast.replied",
        "ad.clicked",
    ]);
    let common = (name, 0u8..40, 1u8..6, 0i64..100 * HOUR_MS, prop::option::of(0u8..3));
    (common, 0u8..4, 0u8..3, any::<bool>()).prop_map(
        |((name, key, customer, ago, team), other, group, is_anonymous)| {
            let source = match name.split_once('.').unwrap().0 {
                "customer" | "segment" => "cdp",
                "broadcast" => "broadcast",
                _ => "ads",
            };
            let mut event = json!({
                "event_name": name, "schema_version": 1, "source_module": source, "account_id": "a",
                "idempotency_key": format!("k{key}"), "occurred_at": T - ago,
                "qontak_customer_id": customer.to_string(),
                "properties": {"into": other.to_string(), "from": other.to_string(),
                    "segment_id": "asserted", "broadcast_id": format!("b{group}"),
                    "campaign_id": format!("c{group}"), "size": group,
                    "phone": format!("0812345678{other}"), "city": (if group % 2 == 0 { "X" } else { "Y" })},
            });
            if let Some(team) = team {
                event["team_id"] = format!("t{team}").into();
            }
            if is_anonymous && source != "cdp" {
                event["qontak_customer_id"] = Value::Null;
                let value = format!("+62812345678{other}");
                event["identifiers"] = json!([{"type": "phone", "value": value}]);
            }
            if is_anonymous && source == "cdp" {
                event["identifiers"] = json!([{"type": "wa", "value": format!("w{other}")}]);
            }
            event
        },
    )
}

fn control() -> impl Strategy<Value = Value> {
    let segment = |id: &str, version: u8, when: Value| json!({"segments": [{"segment_id": id, "account_id": "a", "version": version, "when": when}]});
    (0u8..10, 1u8..4).prop_map(move |(which, n)| match which {
        0 => segment("s", n, json!({"did": "broadcast.sent", "at_least": n, "within": "70h"})),
        1 => segment("s", n, json!({"attribute": "city", "eq": "X"})),
        2 => segment("u", n, json!({"in_segment": "s"})),
        // It waits for history that never comes, unless there is none.
        3 => segment("w", n, json!({"did": "ad.clicked", "where": [{"property": "size", "gte": n}]})),
        4 => json!({"remove_segments": [{"account_id": "a", "segment_id": "s"}]}),
        5 => json!({"settings": {"max_customers_per_identifier": n}}),
        6 => json!({"settings": {"block_list": ["+628123456780"], "time_zones": {"a": "Asia/Makassar"}}}),
        7 => json!({"settings": {"hashed_key_sources": ["cdp", "ads"]}}),
        8 => json!({"sources": {"ads": if n > 1 { "on" } else { "off" }}}),
        _ => json!({"metrics": [{"metric": "m", "account_id": "a", "denominator": "broadcast.sent",
            "numerator": "broadcast.replied", "within": "2d", "version": n}]}),
    })
}

pub(crate) fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let count = (0i64..9, 0u64..9).prop_map(|(ago, emitted)| {
        json!({"source_module": "ads", "hour": T - ago * HOUR_MS, "emitted": emitted})
    });
    let said = prop_oneof![
        16 => event().prop_map(Said::Event),
        2 => control().prop_map(Said::Control),
        1 => count.prop_map(Said::Count),
    ];
    let passed = prop_oneof![1i64..1_000, Just(HOUR_MS), Just(30 * HOUR_MS)];
    prop::collection::vec((passed, prop::collection::vec(said, 0..7)), 3..14)
}

/// The records of a tick: control first, then by source, as a binding orders them.
pub(crate) fn records(said: &[Said], offsets: &mut [i64; 5]) -> Vec<Record> {
    let topics = [
        "cebe.control",
        "cebe.counts",
        "cebe.events.ads",
        "cebe.events.broadcast",
        "cebe.events.cdp",
    ];
    let place = |said: &Said| match said {
        Said::Control(_) => 0,
        Said::Count(_) => 1,
        Said::Event(event) => {
            let topic = format!("cebe.events.{}", event["source_module"].as_str().unwrap());
            topics.iter().position(|each| *each == topic).unwrap()
        }
    };
    let mut placed: Vec<(usize, &Said)> = said.iter().map(|said| (place(said), said)).collect();
    placed.sort_by_key(|(place, _)| *place);
    let record = |(place, said): (usize, &Said)| {
        offsets[place] += 1;
        let (Said::Control(json) | Said::Count(json) | Said::Event(json)) = said;
        Record {
            topic: topics[place].into(),
            offset: offsets[place] - 1,
            created_ms: T,
            payload: json.to_string().into_bytes(),
            ..Record::default()
        }
    };
    placed.into_iter().map(record).collect()
}

/// So small that everything is merged all the time, in several parts.
pub(crate) const TINY: Sizes =
    Sizes { recent_bytes_min: 2_000, recent_files_max: 2, part_bytes: 1_000, keys_bytes: 1 << 20 };

pub(crate) fn newest(store: &Store, binding: u64) -> Manifest {
    loop {
        let newest = Manifest::list(store, "test").unwrap().states.into_iter().next();
        if let Some(manifest) = newest.filter(|manifest| manifest.binding == binding) {
            return manifest;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// An adapter before the first binding, with something in force already.
pub(crate) fn before_all<K>(keys: K) -> Adapter<K> {
    let mut control = ControlState::new();
    let clicked = json!({"did": "ad.clicked", "where": [{"property": "size", "gte": 1}]});
    let first = json!({
        "sources": {"cdp": "on", "broadcast": "on", "ads": "on"},
        "segments": [{"segment_id": "f", "account_id": "a", "when": clicked}],
    });
    control.apply(first.to_string().as_bytes()).unwrap();
    Adapter::new(judge(), Topics::default(), keys, control)
}

/// A start, with a key index that is lost.
fn begin(store: &Store, manifest: &Manifest, keys: &Path, workers: usize) -> Run<DiskKeyIndex> {
    let mut keys = DiskKeyIndex::open(keys, "x", 0).unwrap();
    let (topics, judge) = (Topics::default(), judge());
    let known = (workers, &topics, &judge);
    let restored = restore(store, manifest, known, &mut keys, None, || Ok(()));
    let (adapter, dataflow, _) = restored.unwrap();
    Run { adapter: adapter.with_keys(keys), dataflow }
}

/// `at`: after that tick a start begins at one of the snapshots that there are, `pick` says which.
fn check(ticks: &[Tick], at: usize, pick: usize, workers: usize) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(&dir.path().join("snapshots")).unwrap();
    let origin = Origin { is_first: true, ..Origin::default() };
    let mut keeper = Some(Keeper::start(store.clone(), "test".into(), origin, TINY).unwrap());
    let adapter = before_all(MemoryKeyIndex::default());
    let mut first = Run { adapter, dataflow: Dataflow::start(1).unwrap() };
    let mut second: Option<Run<DiskKeyIndex>> = None;
    let (mut log, mut t_ms, mut offsets) = (Log::new(), T, [0; 5]);
    let mut past = Vec::new();
    for (number, (passed, said)) in ticks.iter().enumerate() {
        t_ms += passed;
        let records = records(said, &mut offsets);
        let binding = log.bind(t_ms, &records);
        let (published, mut kept) = first.tick(&binding, &records);
        if let Some(second) = &mut second {
            let (again, _) = second.tick(&binding, &records);
            prop_assert_eq!(&again, &published);
        }
        let Some(running) = &keeper else { continue };
        kept.publish(&binding, published.records.clone());
        running.keep(kept);
        let (place, adapter) = (log.0.clone(), first.adapter.save());
        running.seal(SealedAt { place, adapter, logic_version: LOGIC_VERSION });
        newest(&store, binding.number);
        past.push((binding, records, published));
        if number == at {
            // What it still deletes is deleted.
            drop(keeper.take());
            let manifests = Manifest::list(&store, "test").unwrap().states;
            let manifest = &manifests[pick % manifests.len()];
            let mut begun = begin(&store, manifest, &dir.path().join("keys"), workers);
            for (binding, records, published) in &past[manifest.binding as usize..] {
                prop_assert_eq!(&begun.tick(binding, records).0, published);
            }
            second = Some(begun);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_start_from_a_snapshot_goes_on_as_if_nothing_had_happened(
        (ticks, at) in ticks().prop_flat_map(|ticks| {
            let last = ticks.len();
            (Just(ticks), 0..last)
        }),
        pick in 0usize..60,
        workers in 1usize..4,
    ) {
        check(&ticks, at, pick, workers)?;
    }
}

/// The names of the parts of the base; none if the manifest is just being deleted.
fn base(folder: &Path, manifest: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(folder.join(manifest)).ok()?;
    let json: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let parts = json["files"]["facts"]["base"].as_array().unwrap();
    Some(parts.iter().map(|part| part["name"].as_str().unwrap().to_owned()).collect())
}

/// Of the base, whatever file is damaged, a snapshot remains that does not need it.
#[test]
fn no_file_of_the_base_is_in_all_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(dir.path()).unwrap();
    let origin = Origin { is_first: true, ..Origin::default() };
    // A part that does not change is one file for all.
    let sizes = Sizes { part_bytes: 1 << 20, ..TINY };
    let keeper = Keeper::start(store.clone(), "test".into(), origin, sizes).unwrap();
    let adapter = before_all(MemoryKeyIndex::default());
    let mut run = Run { adapter, dataflow: Dataflow::start(1).unwrap() };
    let (mut log, mut offsets, mut merged) = (Log::new(), [0; 5], 0);
    for n in 0..60 {
        let click = json!({
            "event_name": "ad.clicked", "schema_version": 1, "source_module": "ads",
            "account_id": "a", "idempotency_key": format!("k{n}"), "occurred_at": T,
            "qontak_customer_id": n.to_string(), "properties": {"campaign_id": "c"},
        });
        let records = records(&[Said::Event(click)], &mut offsets);
        let binding = log.bind(T + n, &records);
        keeper.keep(run.tick(&binding, &records).1);
        let (place, adapter) = (log.0.clone(), run.adapter.save());
        keeper.seal(SealedAt { place, adapter, logic_version: LOGIC_VERSION });
        newest(&store, binding.number);
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.retain(|name| name.starts_with("manifest-"));
        names.sort();
        let newest = base(dir.path(), names.last().unwrap()).unwrap();
        let others = names.iter().filter_map(|name| base(dir.path(), name));
        let is_apart = |other: &Vec<String>| other.iter().all(|part| !newest.contains(part));
        merged += usize::from(!newest.is_empty());
        assert!(newest.is_empty() || others.clone().any(|other| is_apart(&other)), "{names:?}");
        // Four, and one that is just being deleted.
        assert!(names.len() <= 5, "{names:?}");
    }
    assert!(merged > 40, "{merged}");
}
