use serde_json::{Value, json};

use super::*;
use crate::definition::Clause;
use crate::id::EventType;

fn apply(state: &mut ControlState, record: Value) -> Result<Applied, ControlError> {
    state.apply(record.to_string().as_bytes())
}

/// The pointer of the field that is refused; nothing is changed.
fn check_refused(record: Value, pointer: &str) -> String {
    let mut state = ControlState::new();
    apply(&mut state, json!({"sources": {"cdp": "on"}, "segments": [did()]})).unwrap();
    let before = state.clone();
    match apply(&mut state, record.clone()) {
        Err(ControlError::Invalid { pointer: found, message }) => {
            assert_eq!(found, pointer, "{record}: {message}");
            assert_eq!(state, before, "{record}");
            message
        }
        other => panic!("{record}: {other:?}"),
    }
}

fn did() -> Value {
    json!({"segment_id": "s", "account_id": "a", "when": {"did": "broadcast.replied", "at_least": 2, "within": "30d"}})
}

#[test]
fn everything_is_off_by_default() {
    let state = ControlState::new();
    assert_eq!(*state.ingestion("cdp"), Ingestion::Off);
    assert_eq!(*state.settings(), Settings::default());
    let definitions = state.definitions();
    assert!(definitions.segments.is_empty());
    assert_eq!(definitions.metrics, [Arc::new(Metric::reply_rate())]);
}

#[test]
fn flags() {
    let mut state = ControlState::new();
    let record = json!({"sources": {"cdp": "on", "ads": {"accounts": ["b", "a"]}, "x": "off"}, "changed_by": "me"});
    let applied = apply(&mut state, record.clone()).unwrap();
    assert_eq!(applied, Applied { sources_changed: true, ..Applied::default() });
    assert_eq!(*state.ingestion("cdp"), Ingestion::On);
    assert_eq!(
        *state.ingestion("ads"),
        Ingestion::Accounts(["a".to_owned(), "b".to_owned()].into())
    );
    assert_eq!(apply(&mut state, record).unwrap(), Applied::default());
    // A source that is not named stays as it is.
    apply(&mut state, json!({"sources": {"cdp": "off"}})).unwrap();
    assert_eq!(*state.ingestion("cdp"), Ingestion::Off);
    assert!(matches!(state.ingestion("ads"), Ingestion::Accounts(_)));
}

#[test]
fn segments_are_put_replaced_and_removed() {
    let mut state = ControlState::new();
    let applied = apply(&mut state, json!({"segments": [did()]})).unwrap();
    assert!(applied.definitions_changed);
    let segment = Segment {
        account_id: "a".into(),
        segment_id: "s".into(),
        version: 1,
        when: Clause::Did {
            event: EventType::named("broadcast.replied"),
            at_least: 2,
            within_ms: Some(30 * 86_400_000),
        },
    };
    assert_eq!(state.definitions().segments, [Arc::new(segment.clone())]);
    let held = state.definitions();
    assert!(!apply(&mut state, json!({"segments": [did()]})).unwrap().definitions_changed);
    assert!(Arc::ptr_eq(&held, &state.definitions()));

    let shorter = json!({"segment_id": "s", "account_id": "a", "version": 2, "title": "T", "when": {"did": "x"}});
    let other = json!({"segment_id": "a", "account_id": "a", "when": {"did": "x"}});
    apply(&mut state, json!({"segments": [shorter, other]})).unwrap();
    let ids = |state: &ControlState| -> Vec<(String, u32)> {
        state.definitions().segments.iter().map(|s| (s.segment_id.to_string(), s.version)).collect()
    };
    assert_eq!(ids(&state), [("a".to_owned(), 1), ("s".to_owned(), 2)]);
    assert_eq!(
        state.definitions().segments[1].when,
        Clause::Did { event: EventType::named("x"), at_least: 1, within_ms: None }
    );
    let remove = json!({"remove_segments": [{"account_id": "a", "segment_id": "s"}]});
    assert!(apply(&mut state, remove.clone()).unwrap().definitions_changed);
    assert_eq!(ids(&state), [("a".to_owned(), 1)]);
    assert!(!apply(&mut state, remove).unwrap().definitions_changed);
}

#[test]
fn metrics() {
    let mut state = ControlState::new();
    let metric = json!({"metric": "read_rate", "account_id": "a", "denominator": "broadcast.delivered",
        "numerator": "broadcast.read", "group_by": "broadcast_id", "within": "24h"});
    assert!(apply(&mut state, json!({"metrics": [metric]})).unwrap().definitions_changed);
    let metrics = state.definitions().metrics.clone();
    assert_eq!(metrics[0], Arc::new(Metric::reply_rate()));
    assert_eq!((&*metrics[1].metric, metrics[1].within_ms), ("read_rate", 86_400_000));
    let mut wrong = metric.clone();
    wrong["group_by"] = json!("city");
    check_refused(json!({"metrics": [metric, wrong]}), "/metrics/1/group_by");
    let mut wrong = metric.clone();
    wrong["where"] = json!([]);
    check_refused(json!({"metrics": [wrong]}), "/metrics/0/where");
}

#[test]
fn settings_are_changed_one_by_one() {
    let mut state = ControlState::new();
    let all = json!({"max_customers_per_identifier": 3, "max_customers_per_person": 50, "block_list": ["x"],
        "dedup_horizon": "10d", "retention_months": 12, "time_zones": {"a": "Asia/Makassar"},
        "strict_sources": ["cdp"], "hashed_key_sources": ["ads"]});
    let applied = apply(&mut state, json!({"settings": all})).unwrap();
    assert_eq!(applied, Applied { settings_changed: true, ..Applied::default() });
    let expect = Settings {
        max_customers_per_identifier: 3,
        max_customers_per_person: 50,
        block_list: BlockList::new(vec!["x".into()]),
        dedup_horizon_ms: 864_000_000,
        retention_months: 12,
        time_zones: [("a".to_owned(), "Asia/Makassar".to_owned())].into(),
        strict_sources: ["cdp".to_owned()].into(),
        hashed_key_sources: ["ads".to_owned()].into(),
    };
    assert_eq!(*state.settings(), expect);
    apply(&mut state, json!({"settings": {"retention_months": 24}})).unwrap();
    assert_eq!(*state.settings(), Settings { retention_months: 24, ..expect });
}

#[test]
fn what_is_wrong_is_named_and_nothing_changes() {
    let segment = |changes: Value| {
        let mut segment = did();
        for (name, value) in changes.as_object().unwrap() {
            segment[name] = value.clone();
        }
        json!({"sources": {"cdp": "off"}, "segments": [did(), segment]})
    };
    for (record, pointer) in [
        (json!([]), ""),
        (json!({"source": {}}), "/source"),
        (json!({"sources": "on"}), "/sources"),
        (json!({"sources": {"a/b": "On"}}), "/sources/a~1b"),
        (json!({"sources": {"cdp": {"account": []}}}), "/sources/cdp/account"),
        (json!({"sources": {"cdp": {}}}), "/sources/cdp/accounts"),
        (json!({"sources": {"cdp": {"accounts": ["a", 5]}}}), "/sources/cdp/accounts/1"),
        (json!({"segments": {}}), "/segments"),
        (segment(json!({"segment_id": ""})), "/segments/1/segment_id"),
        (segment(json!({"account_id": null})), "/segments/1/account_id"),
        (segment(json!({"version": 0})), "/segments/1/version"),
        (segment(json!({"then": 0})), "/segments/1/then"),
        (segment(json!({"when": null})), "/segments/1/when"),
        (segment(json!({"when": {"at_least": 1}})), "/segments/1/when/did"),
        (segment(json!({"when": {"did": "x", "at_least": 0}})), "/segments/1/when/at_least"),
        (segment(json!({"when": {"did": "x", "at_least": 1.5}})), "/segments/1/when/at_least"),
        (segment(json!({"when": {"did": "x", "within": "30 days"}})), "/segments/1/when/within"),
        (segment(json!({"when": {"did": "x", "within": 30}})), "/segments/1/when/within"),
        (json!({"remove_segments": [{"segment_id": "s"}]}), "/remove_segments/0/account_id"),
        (json!({"settings": {"horizon": 1}}), "/settings/horizon"),
        (json!({"settings": {"retention_months": 0}}), "/settings/retention_months"),
        (json!({"settings": {"retention_months": "24"}}), "/settings/retention_months"),
        (json!({"settings": {"block_list": ["a", ""]}}), "/settings/block_list/1"),
        (json!({"changed_by": 5}), "/changed_by"),
    ] {
        check_refused(record, pointer);
    }
    let mut state = ControlState::new();
    assert_eq!(state.apply(b"{\n x"), Err(ControlError::NotJson { line: 2, column: 2 }));
}

#[test]
fn operators_to_come_are_named() {
    let with =
        |when: Value| json!({"segments": [{"segment_id": "s", "account_id": "a", "when": when}]});
    for (when, pointer) in [
        (json!({"all": []}), "all"),
        (json!({"attribute": "city", "eq": "Depok"}), "attribute"),
        (json!({"did": "x", "then": "y"}), "then"),
        (json!({"did": "x", "at_most": 1}), "at_most"),
        (json!({"did": "x", "where": []}), "where"),
        (json!({"in_segment": "vip"}), "in_segment"),
    ] {
        let message = check_refused(with(when), &format!("/segments/0/when/{pointer}"));
        assert_eq!(message, format!("`{pointer}` is not supported yet"));
    }
    let message =
        check_refused(with(json!({"did": "x", "atleast": 1})), "/segments/0/when/atleast");
    assert!(!message.contains("yet"), "{message}");
}
