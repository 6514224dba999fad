use serde_json::{Value, json};

use super::*;
use crate::definition::{About, Clause, Did, GroupBy, Selector};
use crate::zone::Zone;

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
    let names: Vec<_> = definitions.metrics.iter().map(|m| &*m.metric).collect();
    let ads = ["ads_conversion", "ads_conversion_daily"];
    let replies = ["reply_rate", "reply_rate_daily", "reply_rate_delivered", "reply_rate_read"];
    assert_eq!(names, [&ads[..], &replies].concat());
    assert!(names.is_sorted());
}

#[test]
fn a_backfill_is_undone_in_two_steps() {
    let mut state = ControlState::new();
    let changed = Applied { backfills_changed: true, ..Applied::default() };
    let undo = json!({"backfills": {"j": "undo"}, "changed_by": "me"});
    assert!(!state.undoing().has_ended("j"));
    assert_eq!(apply(&mut state, undo.clone()).unwrap(), changed);
    assert!(state.undoing().has_ended("j") && !state.undoing().has_ended("k"));
    assert_eq!(apply(&mut state, undo.clone()).unwrap(), Applied::default());
    let undone = json!({"backfills": {"j": "undone"}});
    assert_eq!(apply(&mut state, undone.clone()).unwrap(), changed);
    assert!(state.undoing().undone().contains("j") && state.undoing().asked().is_empty());
    for again in [undo, undone] {
        assert_eq!(apply(&mut state, again).unwrap(), Applied::default());
    }
    assert_eq!(ControlState::restore(state.save()).unwrap(), state);
}

#[test]
fn what_is_wrong_with_undoing_is_named() {
    check_refused(json!({"backfills": {"j": "undone"}}), "/backfills/j");
    check_refused(json!({"backfills": {"j": true}}), "/backfills/j");
    check_refused(json!({"backfills": {"": "undo"}}), "/backfills/");
    let message =
        check_refused(json!({"backfills": {"j": "undo"}, "sources": {"cdp": "on"}}), "/backfills");
    assert!(message.contains("of its own"), "{message}");
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
        when: Clause::did(Selector::named("broadcast.replied"), 2, Some(30 * 86_400_000)),
        about: About { definition: did().to_string().into(), ..About::default() },
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
    assert_eq!(state.definitions().segments[1].when, Clause::did(Selector::named("x"), 1, None));
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
    let found = |state: &ControlState| {
        let definitions = state.definitions();
        let found = definitions.metrics.iter().find(|m| &*m.metric == "read_rate").cloned();
        found.unwrap()
    };
    assert_eq!(found(&state).within_ms, 86_400_000);
    assert_eq!(found(&state).by, GroupBy::Property("broadcast_id".into()));
    assert_eq!(found(&state).numerator.name(), "broadcast.read");
    let mut whole = metric.clone();
    whole["group_by"] = json!(null);
    whole["where"] = json!([{"property": "channel", "eq": "wa"}]);
    whole["version"] = json!(2);
    apply(&mut state, json!({"metrics": [whole]})).unwrap();
    assert_eq!((found(&state).by.clone(), found(&state).version), (GroupBy::Account, 2));
    assert_eq!(found(&state).denominator.filters().len(), 1);
    assert!(found(&state).numerator.filters().is_empty());
    for (name, value, pointer) in [
        ("group_by", json!(5), "/metrics/1/group_by"),
        ("where", json!({}), "/metrics/1/where"),
        ("numerator_where", json!([{"property": "p", "is": 1}]), "/metrics/1/numerator_where/0/is"),
        ("account_id", json!(null), "/metrics/1/account_id"),
        ("within", json!(null), "/metrics/1/within"),
    ] {
        let mut wrong = metric.clone();
        wrong[name] = value;
        check_refused(json!({"metrics": [metric, wrong]}), pointer);
    }
}

#[test]
fn settings_are_changed_one_by_one() {
    let mut state = ControlState::new();
    let all = json!({"max_customers_per_identifier": 3, "max_customers_per_person": 50, "block_list": ["x"],
        "dedup_horizon": "10d", "retention_months": 12, "time_zones": {"a": "Asia/Makassar"},
        "strict_sources": ["cdp"], "hashed_key_sources": ["ads"]});
    let applied = apply(&mut state, json!({"settings": all})).unwrap();
    // Zones are part of what metrics by day are.
    let changed =
        Applied { settings_changed: true, definitions_changed: true, ..Applied::default() };
    assert_eq!(applied, changed);
    assert_eq!(state.definitions().zones.get("a"), Zone::named("Asia/Makassar").as_ref());
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
        (segment(json!({"when": {"eq": 1}})), "/segments/1/when/attribute"),
        (segment(json!({"when": {}})), "/segments/1/when"),
        (segment(json!({"when": {"xor": []}})), "/segments/1/when/xor"),
        (segment(json!({"when": {"did": "x", "all": []}})), "/segments/1/when/did"),
        (segment(json!({"when": {"did": "x", "eq": 1}})), "/segments/1/when/eq"),
        (segment(json!({"when": {"all": {}}})), "/segments/1/when/all"),
        (
            segment(json!({"when": {"all": [{"did": "x"}, {"any": [{"not": {"did": ""}}]}]}})),
            "/segments/1/when/all/1/any/0/not/did",
        ),
        (segment(json!({"when": {"attribute": "a"}})), "/segments/1/when"),
        (segment(json!({"when": {"attribute": "a", "eq": null}})), "/segments/1/when/eq"),
        (segment(json!({"when": {"attribute": "a", "in": [1, []]}})), "/segments/1/when/in/1"),
        (segment(json!({"when": {"attribute": "a", "exists": 1}})), "/segments/1/when/exists"),
        (segment(json!({"when": {"attribute": "a", "prefix": 1}})), "/segments/1/when/prefix"),
        (segment(json!({"when": {"attribute": "phone", "ne": "1"}})), "/segments/1/when/ne"),
        (segment(json!({"when": {"in_segment": ""}})), "/segments/1/when/in_segment"),
        (
            segment(json!({"when": {"did": "x", "where": [{"property": "p"}]}})),
            "/segments/1/when/where/0",
        ),
        (
            segment(json!({"when": {"did": "x", "where": [{"eq": 1}]}})),
            "/segments/1/when/where/0/property",
        ),
        (
            segment(json!({"when": {"did": "x", "exactly": 1, "at_most": 1}})),
            "/segments/1/when/exactly",
        ),
        (
            segment(json!({"when": {"did": "x", "at_least": 2, "at_most": 1}})),
            "/segments/1/when/at_most",
        ),
        (
            segment(json!({"when": {"did": "x", "then": "y", "then_not": "z"}})),
            "/segments/1/when/then_not",
        ),
        (segment(json!({"when": {"did": "x", "then_not": "z"}})), "/segments/1/when/within"),
        (segment(json!({"when": {"did": "x", "same": "p"}})), "/segments/1/when/same"),
        (segment(json!({"when": {"did": "x", "recent": "1d"}})), "/segments/1/when/recent"),
        (segment(json!({"when": {"did": "x", "at_least": -1}})), "/segments/1/when/at_least"),
        (segment(json!({"when": {"did": "x", "at_least": 1.5}})), "/segments/1/when/at_least"),
        (segment(json!({"when": {"did": "x", "within": "30 days"}})), "/segments/1/when/within"),
        (segment(json!({"when": {"did": "x", "within": 30}})), "/segments/1/when/within"),
        (json!({"remove_segments": [{"segment_id": "s"}]}), "/remove_segments/0/account_id"),
        (json!({"settings": {"horizon": 1}}), "/settings/horizon"),
        (json!({"settings": {"time_zones": {"a": "Asia/Atlantis"}}}), "/settings/time_zones/a"),
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

fn when(id: &str, when: Value) -> Value {
    json!({"segment_id": id, "account_id": "a", "when": when})
}

fn parsed(given: Value) -> Clause {
    let mut state = ControlState::new();
    apply(&mut state, json!({"segments": [when("s", given)]})).unwrap();
    state.definitions().segments[0].when.clone()
}

#[test]
fn counts_and_sequences() {
    let did = |given: Value| match parsed(given) {
        Clause::Did(did) => did,
        other => panic!("{other:?}"),
    };
    let counts = |given: Value| {
        let Did { at_least, at_most, .. } = did(given);
        (at_least, at_most)
    };
    assert_eq!(counts(json!({"did": "x"})), (1, u32::MAX));
    assert_eq!(counts(json!({"did": "x", "at_most": 2})), (0, 2));
    assert_eq!(counts(json!({"did": "x", "at_least": 1, "at_most": 2})), (1, 2));
    assert_eq!(counts(json!({"did": "x", "exactly": 0})), (0, 0));
    let sequence = did(json!({"did": "x", "then_not": "y", "within": "2ms", "recent": "1s",
        "same": "p", "then_where": [{"property": "q", "gt": 1}]}));
    assert_eq!(sequence.within_ms, Some(1000));
    let then = sequence.then.unwrap();
    assert_eq!((then.within_ms, then.same_group, then.is_missing), (Some(2), true, true));
    assert_eq!((sequence.event.filters().len(), then.event.filters().len()), (0, 1));
    assert_eq!(sequence.event.grouping().unwrap().property(), "p");
}

#[test]
fn segments_are_expanded_and_again_when_others_change() {
    let mut state = ControlState::new();
    let in_segment = |id: &str| json!({"in_segment": id});
    let expanded = |state: &ControlState| match &state.definitions().segments[0].when {
        Clause::InSegment { defined, .. } => defined.as_deref().cloned(),
        other => panic!("{other:?}"),
    };
    apply(&mut state, json!({"segments": [when("a", in_segment("b"))]})).unwrap();
    assert_eq!(expanded(&state), None);
    let b = json!({"all": [{"did": "x"}]});
    apply(&mut state, json!({"segments": [when("b", b.clone())]})).unwrap();
    assert_eq!(expanded(&state), Some(parsed(b)));
    // Another account's segment of that name is another segment.
    let other = json!({"segment_id": "b", "account_id": "z", "when": {"did": "y"}});
    apply(&mut state, json!({"segments": [other]})).unwrap();
    assert_ne!(expanded(&state), Some(parsed(json!({"did": "y"}))));
    apply(&mut state, json!({"remove_segments": [{"account_id": "a", "segment_id": "b"}]}))
        .unwrap();
    assert_eq!(expanded(&state), None);
}

#[test]
fn an_own_metric_covers_the_shipped_one_until_it_is_removed() {
    let mut state = ControlState::new();
    let shipped = state.definitions();
    let own = json!({"metric": "reply_rate", "account_id": "a", "denominator": "x",
        "numerator": "y", "within": "1d"});
    let key = json!({"metric": "reply_rate", "account_id": "a"});
    apply(&mut state, json!({"metrics": [own.clone()]})).unwrap();
    assert_eq!(state.definitions().metrics.len(), shipped.metrics.len() + 1);
    // What one record removes and puts is there.
    apply(&mut state, json!({"metrics": [own], "remove_metrics": [key.clone()]})).unwrap();
    assert_eq!(state.definitions().metrics.len(), shipped.metrics.len() + 1);
    apply(&mut state, json!({"remove_metrics": [key.clone()]})).unwrap();
    assert_eq!(state.definitions(), shipped);
    apply(&mut state, json!({"remove_metrics": [key]})).unwrap();
    assert_eq!(state.definitions(), shipped, "the shipped one stays");
    check_refused(
        json!({"remove_metrics": [{"metric": "reply_rate"}]}),
        "/remove_metrics/0/account_id",
    );
}

#[test]
fn records_name_what_they_put_and_remove() {
    let record = json!({
        "segments": [{"segment_id": "s", "account_id": "a"}, {"segment_id": 7, "account_id": "a"}],
        "remove_segments": [{"segment_id": "r", "account_id": "a"}],
        "metrics": [{"metric": "s", "account_id": "b"}, 5],
        "remove_metrics": {"metric": "m"}, "settings": {},
    });
    let found: Vec<String> =
        names(record.to_string().as_bytes()).iter().map(DefinitionName::to_string).collect();
    assert_eq!(found, ["segment r of a", "segment s of a", "metric s of b"]);
    assert!(names(b"{").is_empty());
}

#[test]
fn cycles_and_endless_segments_are_refused() {
    let refer =
        |id: &str, to: &str| when(id, json!({"any": [{"did": "x"}, {"not": {"in_segment": to}}]}));
    let pointer = |at: usize| format!("/segments/{at}/when/any/1/not/in_segment");
    let message = check_refused(json!({"segments": [refer("a", "a")]}), &pointer(0));
    assert_eq!(message, "is a cycle: a → a");
    let ring = json!({"segments": [refer("c", "a"), refer("a", "b"), refer("b", "c")]});
    let message = check_refused(ring, &pointer(1));
    assert_eq!(message, "is a cycle: a → b → c → a");
    let mut state = ControlState::new();
    apply(&mut state, json!({"segments": [refer("a", "b")]})).unwrap();
    let Err(ControlError::Invalid { pointer: found, message }) =
        apply(&mut state, json!({"segments": [refer("y", "z"), refer("b", "a")]}))
    else {
        panic!("a cycle is accepted");
    };
    assert_eq!((found, &*message), (pointer(1), "is a cycle: b → a → b"));
    // Whatever the order in which they are looked at.
    for last in [0, 39] {
        let name = |n: i32| format!("s{:02}", if last == 0 { n } else { 40 - n });
        let chain: Vec<_> = (0..40).map(|n| refer(&name(n), &name(n + 1))).collect();
        let refused = apply(&mut ControlState::new(), json!({"segments": chain}));
        assert!(refused.unwrap_err().to_string().contains("a chain of more than"));
    }
    let double = |n: i32| {
        let next = format!("s{:02}", n + 1);
        when(&format!("s{n:02}"), json!({"all": [{"in_segment": next}, {"in_segment": next}]}))
    };
    let many: Vec<_> = (0..30).map(double).collect();
    let refused = apply(&mut ControlState::new(), json!({"segments": many}));
    assert!(refused.unwrap_err().to_string().contains("clauses once it is expanded"));
    let deep = (0..20).fold(json!({"did": "x"}), |inner, _| json!({"not": inner}));
    check_refused(
        json!({"segments": [when("s", deep)]}),
        &format!("/segments/0/when{}", "/not".repeat(16)),
    );
}

#[test]
fn what_is_saved_is_restored() {
    let mut state = ControlState::with_unlisted(Ingestion::On);
    let when =
        |other: &str| json!({"any": [{"in_segment": other}, {"attribute": "n", "gte": 1.5}]});
    let segment = |id: &str, when: Value| json!({"segment_id": id, "account_id": "a", "version": 3, "when": when});
    let records = [
        json!({"segments": [segment("s", when("t")), segment("u", when("s"))], "changed_by": "me"}),
        json!({"segments": [segment("t", json!({"did": "ad.clicked", "where": [{"property": "p", "in": ["x", 1]}]}))],
               "changed_by": "you", "sources": {"ads": {"accounts": ["a"]}, "cdp": "off"}}),
        json!({"metrics": [{"metric": "m", "account_id": "a", "denominator": "broadcast.sent", "numerator":
               "broadcast.read", "group_by": "x", "within": "1d", "where": [{"property": "q", "prefix": "z"}]}]}),
        json!({"settings": {"time_zones": {"a": "Asia/Makassar"}, "block_list": ["x@y"], "retention_months": 7,
               "strict_sources": ["ads"], "hashed_key_sources": ["cdp"]}}),
        json!({"remove_segments": [{"account_id": "a", "segment_id": "u"}]}),
    ];
    for record in records {
        apply(&mut state, record).unwrap();
        let saved = serde_json::to_string(&state.save()).unwrap();
        let restored = ControlState::restore(serde_json::from_str(&saved).unwrap()).unwrap();
        assert_eq!(restored, state);
    }
}
