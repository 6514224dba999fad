mod reconciliation;
mod waiting;

use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::fact::{AttributeFact, Stamp};
use cebe_schemas::row::{EventRow, LedgerRow, RejectedRow};
use cebe_schemas::token::Keys;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::binding::{Binding, Digest};
use crate::key_index::disk::DiskKeyIndex;
use crate::key_index::memory::MemoryKeyIndex;
use crate::out::numbered::{Numbered, number};

const T: Millis = 1_795_000_000_000;

fn judge() -> Judge {
    let catalogue = Arc::new(Catalogue::shipped().unwrap());
    Judge { catalogue, keys: Arc::new(Keys::development()) }
}

fn adapter<K: KeyIndex>(keys: K) -> Adapter<K> {
    Adapter::new(judge(), Topics::default(), keys, ControlState::new())
}

fn record(topic: &str, offset: i64, payload: impl ToString) -> Record {
    let payload = payload.to_string().into_bytes();
    Record { topic: topic.into(), offset, created_ms: T - 7, payload, ..Record::default() }
}

fn control(offset: i64, payload: Value) -> Record {
    record("cebe.control", offset, payload)
}

fn sources_on() -> Record {
    control(0, json!({"sources": {"cdp": "on", "broadcast": "on"}}))
}

/// An event of account `a` that happened at `T`; `more` is put over it.
fn event(name: &str, key: &str, customer: &str, more: Value) -> Value {
    let source = if name.starts_with("broadcast.") { "broadcast" } else { "cdp" };
    let mut event = json!({
        "event_name": name, "schema_version": 1, "source_module": source,
        "idempotency_key": key, "account_id": "a", "occurred_at": T,
        "qontak_customer_id": customer,
    });
    for (field, value) in more.as_object().unwrap() {
        event[field] = value.clone();
    }
    event
}

fn cdp(offset: i64, event: Value) -> Record {
    record("cebe.events.cdp", offset, event)
}

/// The first tick, with every source on.
fn adapt(records: &[Record]) -> AdaptedTick {
    let records: Vec<Record> = [&[sources_on()], records].concat();
    adapter(MemoryKeyIndex::default()).adapt(T, 100, &records).unwrap()
}

fn events(tick: &AdaptedTick) -> Vec<&EventRow> {
    tick.rows
        .iter()
        .filter_map(|row| if let Row::Event(row) = row { Some(row) } else { None })
        .collect()
}

fn rejected(tick: &AdaptedTick) -> Vec<&RejectedRow> {
    tick.rows
        .iter()
        .filter_map(|row| if let Row::Rejected(row) = row { Some(row) } else { None })
        .collect()
}

fn ledger(tick: &AdaptedTick) -> Vec<&LedgerRow> {
    tick.rows
        .iter()
        .filter_map(|row| if let Row::Ledger(row) = row { Some(row) } else { None })
        .collect()
}

#[test]
fn an_accepted_event_is_a_row_with_its_place() {
    let created = event("customer.created", "k1", "7", json!({"team_id": "t"}));
    let tick = adapt(&[cdp(41, created)]);
    let [row] = events(&tick)[..] else { panic!("{:?}", tick.rows) };
    assert_eq!((row.offset, row.ordinal, row.partition), (41, 101, 0));
    assert_eq!((row.received_at, row.published_at, row.logical_time), (T, T - 7, T));
    assert_eq!((&*row.account_id, &*row.team_id, &*row.topic), ("a", "t", "cebe.events.cdp"));
    assert_eq!(tick.tally.ingested[&("cdp".into(), "customer.created".into())], 1);
}

#[test]
fn a_create_time_that_makes_no_sense_is_the_arrival() {
    for created_ms in [-1, i64::MIN, T + 1, i64::MAX] {
        let mut record = cdp(0, event("customer.created", "k", "7", json!({})));
        record.created_ms = created_ms;
        assert_eq!(events(&adapt(&[record]))[0].published_at, T);
    }
}

#[test]
fn control_records_of_a_tick_come_before_its_events() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let first = cdp(0, event("customer.created", "k1", "7", json!({})));
    let tick = adapter.adapt(T, 0, std::slice::from_ref(&first)).unwrap();
    assert_eq!((events(&tick).len(), ledger(&tick)[0].skipped), (0, 1), "off unless told");
    let tick = adapter.adapt(T + 1, 1, &[first, sources_on()]).unwrap();
    assert_eq!(events(&tick).len(), 1);
    let row = ledger(&tick)[0];
    assert_eq!((row.records_read, row.accepted, row.skipped), (2, 1, 1), "cumulative");
    assert_eq!(ledger(&tick).len(), 1, "control is in no ledger");
    assert!(ledger(&adapter.adapt(T + 2, 3, &[]).unwrap()).is_empty(), "only what was read");
}

#[test]
fn a_control_record_that_is_wrong_is_rejected_and_changes_nothing() {
    let canary = "0812-3456-7890";
    let wrong = json!({"sources": {"cdp": "on", "ads": canary}});
    let mut adapter = adapter(MemoryKeyIndex::default());
    let before = adapter.control().clone();
    let records = [control(5, wrong), record("cebe.control", 6, "no json")];
    let tick = adapter.adapt(T, 0, &records).unwrap();
    assert_eq!(*adapter.control(), before);
    let rows = rejected(&tick);
    let reasons: Vec<_> = rows.iter().map(|r| (r.offset, &*r.reason, &*r.pointer)).collect();
    assert_eq!(reasons, [(5, "schema_violation", "/sources/ads"), (6, "malformed_json", "")]);
    assert!(!format!("{rows:?}").contains(canary), "{rows:?}");
    assert!(ledger(&tick).is_empty());
}

#[test]
fn definitions_are_told_first_and_when_they_change() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let mut told = |t_ms, record: Option<Record>| {
        let tick = adapter.adapt(t_ms, 0, record.as_slice()).unwrap();
        tick.input.definitions.map(|definitions| definitions.segments.len())
    };
    let segment = |id: &str| {
        control(
            1,
            json!({"segments": [{"segment_id": id, "account_id": "a",
            "when": {"did": "broadcast.replied"}}]}),
        )
    };
    assert_eq!(told(T, None), Some(0), "the shipped ones");
    assert_eq!(told(T + 1, None), None);
    assert_eq!(told(T + 2, Some(segment("s"))), Some(1));
    assert_eq!(told(T + 3, Some(segment("s"))), None, "said again");
    assert_eq!(told(T + 4, Some(sources_on())), None);
    assert_eq!(told(T + 5, Some(segment("r"))), Some(2));
}

#[test]
fn the_first_of_a_key_is_taken_in_and_only_acceptance_uses_a_key() {
    let with = |more| cdp(0, event("customer.updated", "k", "7", more));
    let tick = adapt(&[
        with(json!({"schema_version": 9})),
        with(json!({"properties": {"city": "Depok"}})),
        with(json!({"occurred_at": T - 1})),
        cdp(0, event("customer.updated", "k", "7", json!({"account_id": "b"}))),
    ]);
    let row = ledger(&tick)[0];
    assert_eq!((row.rejected, row.accepted, row.duplicate), (1, 2, 1));
    assert_eq!(events(&tick)[0].ordinal, 102);
    assert_eq!(tick.tally.duplicates.len(), 1);
    assert_eq!(tick.tally.duplicates[0].of, 102);
    assert_eq!(tick.input.events.len(), 2, "a duplicate tells nothing");
}

#[test]
fn the_horizon_is_a_setting() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let horizon = control(1, json!({"settings": {"dedup_horizon": "1s"}}));
    let again = || cdp(0, event("customer.updated", "k", "7", json!({})));
    let mut accepted = |t_ms, ordinal, records: &[Record]| {
        events(&adapter.adapt(t_ms, ordinal, records).unwrap()).len()
    };
    assert_eq!(accepted(T, 0, &[sources_on(), horizon, again()]), 1);
    assert_eq!(accepted(T + 999, 3, &[again()]), 0);
    assert_eq!(accepted(T + 1_000, 4, &[again()]), 1);
}

#[test]
fn properties_of_a_customer_are_attributes_and_some_identify() {
    let keys = Keys::development();
    let more = json!({
        "team_id": "t-1",
        "identifiers": [{"type": "wa", "value": " x1 "}],
        "properties": {"phone": "0812-3456-7890", "email": "n/a", "city": "Depok", "tier": null},
    });
    let tick = adapt(&[cdp(0, event("customer.updated", "k", "7", more))]);
    let subject = keys.id_key().subject("a", "7");
    let stamp = Stamp { occurred_at_ms: T, key: "k".into(), ordinal: 101 };
    let facts = &tick.input.attributes;
    assert!(facts.iter().all(|f| f.subject == subject && f.stamp == stamp), "{facts:?}");
    let token = |kind: &str, text: &str| keys.token("a", kind, text);
    let phone = token("phone", "+6281234567890");
    let value = |fact: &AttributeFact| fact.value.as_ref().map(|value| value.value().clone());
    let found: Vec<_> =
        facts.iter().map(|f| (&*f.name, value(f), f.identifier.map(|i| i.token))).collect();
    let masked = format!("~{}", keys.render(phone));
    assert_eq!(found[0], ("city", Some(json!("Depok")), None));
    assert_eq!((found[1].0, found[1].2), ("email", None), "kept, and no identifier");
    assert_eq!(found[2], ("phone", Some(json!(masked)), Some(phone)));
    assert_eq!(found[3], ("tier", None, None));
    assert_eq!(tick.input.identifiers.len(), 1);
    assert_eq!(tick.input.identifiers[0].1.token, token("wa", "x1"));
    assert_eq!(tick.input.namings.len(), 2);
    assert_eq!(tick.input.known[0].team.as_deref(), Some("t-1"));
    assert_eq!(events(&tick)[0].identifier_tokens.len(), 2);
}

#[test]
fn segments_are_asserted() {
    let more = json!({"properties": {"segment_id": "vip"}});
    let tick = adapt(&[
        cdp(0, event("segment.entered", "k", "7", more.clone())),
        cdp(1, event("segment.exited", "l", "7", more)),
    ]);
    let said: Vec<_> = tick.input.assertions.iter().map(|a| (&*a.segment_id, a.entered)).collect();
    assert_eq!(said, [("vip", true), ("vip", false)]);
}

#[test]
fn definitions_are_announced_once_and_told_to_readers() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let definitions = |tick: &AdaptedTick| {
        let row = |row: &Row| match row {
            Row::Definition(row) => Some((row.kind, row.id.clone(), row.version, row.deleted)),
            _ => None,
        };
        tick.rows.iter().filter_map(row).collect::<Vec<_>>()
    };
    let first = adapter.adapt(T, 0, &[sources_on()]).unwrap();
    assert!(definitions(&first).contains(&("metric", "reply_rate".into(), 1, 0)));
    assert!(first.input.definitions.is_some());
    let second = adapter.adapt(T + 1, 1, &[]).unwrap();
    assert!(second.input.definitions.is_none() && definitions(&second).is_empty());
    let segment = json!({"segment_id": "s", "account_id": "a", "version": 3,
        "when": {"did": "broadcast.replied"}});
    let put = control(1, json!({"segments": [segment]}));
    let third = adapter.adapt(T + 2, 1, &[put]).unwrap();
    assert_eq!(definitions(&third), [("segment", "s".into(), 3, 0)]);
    let remove = json!({"remove_segments": [{"segment_id": "s", "account_id": "a"}]});
    let fourth = adapter.adapt(T + 3, 2, &[control(2, remove)]).unwrap();
    assert_eq!(definitions(&fourth), [("segment", "s".into(), 3, 1)]);
}

#[test]
fn protections_are_announced_when_they_change() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let cap = |n: u32| control(0, json!({"settings": {"max_customers_per_identifier": n}}));
    let mut told = |t_ms, records: &[Record]| {
        let linking = adapter.adapt(t_ms, 0, records).unwrap().input.linking;
        linking.map(|linking| linking.holders_max)
    };
    assert_eq!(told(T, &[]), Some(5));
    assert_eq!(told(T + 1, &[cap(5)]), None);
    assert_eq!(told(T + 2, &[cap(3)]), Some(3));
}

#[test]
fn only_customer_events_identify() {
    let more = json!({"identifiers": [{"type": "phone", "value": "0812-3456-7890"}],
        "properties": {"broadcast_id": "b-1", "phone": "0812-3456-7890"}});
    let sent = record("cebe.events.broadcast", 0, event("broadcast.sent", "k", "7", more));
    let tick = adapt(&[sent]);
    assert!(tick.input.identifiers.is_empty());
    assert_eq!(events(&tick)[0].identifier_tokens.len(), 1, "it may resolve an event without id");
    let ids = Keys::development().id_key().clone();
    assert_eq!(tick.input.events[0].1.group, ids.group("a", "b-1"));
    assert_eq!(&*tick.input.groups[0].group_key, "b-1");
}

#[test]
fn merges_name_both_customers_and_one_with_oneself_has_no_effect() {
    let ids = Keys::development().id_key().clone();
    let merge = |name: &str, field: &str, other: &str| {
        let more = json!({"properties": {field: other}});
        adapt(&[cdp(0, event(name, "k", "7", more))]).input
    };
    let (seven, nine) = (ids.subject("a", "7"), ids.subject("a", "9"));
    for (name, field, linked) in
        [("customer.merged", "into", true), ("customer.unmerged", "from", false)]
    {
        let input = merge(name, field, "9");
        assert_eq!(input.merges[0].pair, (seven.min(nine), seven.max(nine)));
        assert_eq!(input.merges[0].linked, linked);
        let known: Vec<&str> = input.known.iter().map(|known| &*known.customer_id).collect();
        assert_eq!(known, ["7", "9"]);
        assert_eq!((input.known[0].by, input.known[1].by), (None, Some(seven)));
        assert!(merge(name, field, "7").merges.is_empty());
    }
}

#[test]
fn an_event_without_a_customer_is_about_whoever_its_identifiers_belong_to() {
    let replied = |key: &str, value: &str| {
        let more = json!({"qontak_customer_id": null, "properties": {"broadcast_id": "b"},
            "identifiers": [{"type": "email", "value": value}]});
        record("cebe.events.broadcast", 0, event("broadcast.replied", key, "", more))
    };
    let tick = adapt(&[replied("k", "x@y.example"), replied("l", " X@Y.example")]);
    assert_eq!(events(&tick).len(), 2);
    assert!(tick.input.known.is_empty());
    assert_eq!(tick.input.events[0], tick.input.events[1]);
    let subject = tick.input.events[0].0;
    let token = Keys::development().token("a", "email", "x@y.example");
    let named: Vec<_> = tick.input.anonymous.iter().map(|(s, i)| (*s, i.token)).collect();
    assert_eq!(named, [(subject, token); 2]);
    let nobody = adapt(&[replied("k", "n/a")]);
    assert_eq!((events(&nobody).len(), nobody.input.events.len()), (1, 0));
}

#[test]
fn a_topic_that_is_no_source_is_an_error() {
    let mut adapter = adapter(MemoryKeyIndex::default());
    let error = adapter.adapt(T, 0, &[record("cebe.payroll", 0, "{}")]).unwrap_err().to_string();
    assert!(error.contains("cebe.payroll"), "{error}");
}

/// Any record that a topic may hold: good, bad, repeated, of a source that is off, control.
fn any_record() -> impl Strategy<Value = (bool, String)> {
    let key = 0u8..12;
    prop_oneof![
        8 => (key, 0u8..4, 0i64..9).prop_map(|(key, customer, ago)| {
            let more = json!({"occurred_at": T - ago, "properties": {"phone": format!("0812345678{customer}")}});
            let event = event("customer.updated", &key.to_string(), &customer.to_string(), more);
            (false, event.to_string())
        }),
        2 => ".{0,40}".prop_map(|text| (false, text)),
        1 => Just((false, event("customer.flown", "k", "7", json!({})).to_string())),
        1 => prop::sample::select(vec![
            json!({"sources": {"cdp": "off"}}),
            json!({"sources": {"cdp": "on"}}),
            json!({"sources": {"cdp": {"accounts": ["b"]}}}),
            json!({"settings": {"dedup_horizon": "3ms"}}),
            json!({"settings": {"dedup_horizon": "400d"}}),
            json!({"sources": 1}),
        ])
        .prop_map(|control| (true, control.to_string())),
    ]
}

/// Adapts `ticks` from the first on and numbers what comes out.
fn run<K: KeyIndex>(keys: K, ticks: &[(Millis, Vec<Record>)], commit: usize) -> Vec<Numbered> {
    let mut adapter = adapter(keys);
    let mut ordinal = 0;
    let mut out = Vec::new();
    for (at, (t_ms, records)) in ticks.iter().enumerate() {
        let tick = adapter.adapt(*t_ms, ordinal, records).unwrap();
        for row in ledger(&tick) {
            let sum = row.accepted + row.duplicate + row.rejected + row.skipped;
            assert_eq!(row.records_read, sum, "{row:?}");
        }
        let binding = Binding {
            number: at as u64 + 1,
            t_ms: *t_ms,
            generation: 1,
            logic_version: 1,
            previous: Digest::NONE,
            first_ordinal: ordinal,
            ranges: vec![],
        };
        out.push(number(&binding, tick.rows, vec![], &Keys::development()).unwrap());
        ordinal += records.len() as u64;
        if at < commit {
            adapter.commit().unwrap();
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every record ends in exactly one way, and a replay over the key index that a dead engine
    /// left behind publishes the same bytes.
    #[test]
    fn a_replay_gives_the_same_bytes(
        ticks in prop::collection::vec(
            (1i64..5, prop::collection::vec(any_record(), 0..8)), 1..12),
        committed in 0usize..12,
    ) {
        let (mut t_ms, mut offset) = (T, 0);
        let mut bound = vec![(T, vec![sources_on()])];
        for (passed, records) in ticks {
            t_ms += passed;
            let records = records.into_iter().map(|(is_control, payload)| {
                offset += 1;
                let topic = if is_control { "cebe.control" } else { "cebe.events.cdp" };
                record(topic, offset, payload)
            });
            bound.push((t_ms, records.collect()));
        }
        let first = run(MemoryKeyIndex::default(), &bound, usize::MAX);
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let keys = DiskKeyIndex::open(dir.path(), "x", 0).unwrap();
            prop_assert_eq!(&run(keys, &bound, committed), &first);
        }
    }
}
