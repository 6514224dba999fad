use serde_json::{Value, json};

use super::*;
use crate::catalogue::Catalogue;
use crate::control::ControlState;
use crate::verdict::{Judge, Verdict};

const T: Millis = 1_764_000_000_000;

fn judged(event: &Value, hashed: bool) -> ValidEvent {
    let keys = Keys::development().into();
    let judge = Judge { catalogue: Catalogue::shipped().unwrap().into(), keys };
    let mut control = ControlState::new();
    let sources = json!({"cdp": "on", "broadcast": "on", "ads": "on"});
    let hashed_keys = if hashed { json!(["cdp", "broadcast", "ads"]) } else { json!([]) };
    let record = json!({"sources": sources, "settings": {"hashed_key_sources": hashed_keys}});
    control.apply(record.to_string().as_bytes()).unwrap();
    let source = event["source_module"].as_str().unwrap();
    match judge.judge(source, event.to_string().as_bytes(), &control, T) {
        Verdict::Valid(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn stored<'r>(event: &'r ValidEvent, kept: &'r Kept) -> StoredEvent<'r> {
    StoredEvent {
        account_id: &event.account_id,
        team_id: event.team_id.as_deref().unwrap_or_default(),
        source_module: &event.source_module,
        event_name: &event.event_name,
        schema_version: event.schema_version,
        idempotency_key: &event.idempotency_key,
        qontak_customer_id: event.qontak_customer_id.as_deref().unwrap_or_default(),
        occurred_at_ms: event.occurred_at_ms,
        payload: &event.payload,
        facts: &kept.facts,
        lasting_facts: &kept.lasting_facts,
    }
}

fn events() -> Vec<Value> {
    let event = |source: &str, name: &str, further: Value| {
        let mut event = json!({"event_name": name, "schema_version": 1, "source_module": source,
            "idempotency_key": "k-1", "account_id": "a", "occurred_at": T - 5, "team_id": "t"});
        event.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        event
    };
    let identifiers = json!([{"type": "email", "value": "X@y.id"}, {"type": "phone", "value": "0812 3456 7890"},
        {"type": "wa", "value": "q"}]);
    vec![
        event(
            "cdp",
            "customer.updated",
            json!({"qontak_customer_id": "1", "identifiers": identifiers, "properties": {
            "phone": "0812-3456-7890", "email": null, "name": "Budi", "n": 1e20, "m": -0.0, "big": 18446744073709551615u64,
            "note": "call 0812-3456-7891", "deep": {"a": [1, {"b": true}]}, "é": "é"}}),
        ),
        event("cdp", "customer.created", json!({"qontak_customer_id": "1", "team_id": null})),
        event(
            "cdp",
            "customer.merged",
            json!({"qontak_customer_id": "1", "properties": {"into": "22"}}),
        ),
        event(
            "cdp",
            "segment.entered",
            json!({"qontak_customer_id": "1", "properties": {"segment_id": "s"}}),
        ),
        event("cdp", "customer.erased", json!({"qontak_customer_id": "1"})),
        event(
            "broadcast",
            "broadcast.sent",
            json!({"qontak_customer_id": "1", "identifiers": identifiers, "properties": {"broadcast_id": "b"}}),
        ),
        event(
            "ads",
            "ad.clicked",
            json!({"identifiers": identifiers, "properties": {"campaign_id": "c", "size": 3}}),
        ),
    ]
}

#[test]
fn an_event_is_read_as_it_was_accepted() {
    let keys = Keys::development();
    for (json, hashed) in events().iter().flat_map(|event| [(event, false), (event, true)]) {
        let event = judged(json, hashed);
        let derived = vec![(EventType(7), None), (EventType(u64::MAX), Some("g".into()))];
        let kept = Kept::of(&event, derived, &keys);
        let retold = stored(&event, &kept).read(&keys).unwrap();
        let event = ValidEvent { properties: String::new(), ..event };
        assert_eq!(retold, Retold { event, is_erased: false, derived: Vec::new() }, "{json}");
    }
}

#[test]
fn what_is_kept_is_not_personal() {
    let keys = Keys::development();
    for json in &events() {
        let Kept { facts, lasting_facts } = Kept::of(&judged(json, false), Vec::new(), &keys);
        let all = format!("{facts}{lasting_facts}").to_lowercase();
        assert!(["3456", "y.id", "budi"].iter().all(|raw| !all.contains(raw)), "{all}");
    }
}

#[test]
fn an_erased_event_keeps_its_key_its_names_and_its_link() {
    let keys = Keys::development();
    for json in &events() {
        let event = judged(json, true);
        let derived = vec![(EventType(7), Some("g".into()))];
        let kept = Kept::of(&event, derived.clone(), &keys);
        let emptied = StoredEvent { payload: "", facts: "", ..stored(&event, &kept) };
        let Retold { event: left, is_erased, derived: found } = emptied.read(&keys).unwrap();
        assert!(is_erased);
        assert_eq!(
            (left.event_key, &left.other_customer),
            (event.event_key, &event.other_customer)
        );
        assert_eq!((&left.attributes[..], &left.segment_id), (&[][..], &None));
        let tokens = |event: &ValidEvent| {
            let attributes = event.attributes.iter().filter_map(|one| one.identifier);
            let all = event.identifiers.iter().copied().chain(attributes).map(|one| one.token);
            all.collect::<std::collections::BTreeSet<Token>>()
        };
        assert_eq!(tokens(&left), tokens(&event));
        if event.qontak_customer_id.is_none() {
            assert_eq!((left.identifiers, left.group), (event.identifiers, event.group));
            assert_eq!(found, derived);
        } else {
            assert_eq!((left.group, found), (None, Vec::new()));
        }
    }
}

#[test]
fn what_was_not_kept_or_made_otherwise_is_an_error() {
    let keys = Keys::development();
    let event = judged(&events()[5], false);
    let kept = Kept::of(&event, Vec::new(), &keys);
    let whole = stored(&event, &kept);
    let read = |event: StoredEvent<'_>| event.read(&keys).unwrap_err();
    assert_eq!(read(StoredEvent { lasting_facts: "", ..whole }), StoredError::NotKept);
    assert_eq!(read(StoredEvent { facts: "", ..whole }), StoredError::Unreadable("facts"));
    let wrong = r#"{"i":[[9,1]]}"#;
    assert_eq!(read(StoredEvent { facts: wrong, ..whole }), StoredError::Unreadable("facts"));
    let other = Keys::new("k1", &[7; 32]).unwrap();
    assert_eq!(whole.read(&other).unwrap_err(), StoredError::OtherKeys);
}
