//! Every rule of product §9.1, by example.

use std::sync::Arc;

use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::id::EventType;
use cebe_schemas::identifier::BlockList;
use cebe_schemas::time::{Millis, parse_rfc3339};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::{Judge, Reason, Rejection, ValidEvent, Verdict};
use serde_json::{Value, json};

const ARRIVAL: &str = "2026-11-23T04:31:00.000Z";

fn at(text: &str) -> Millis {
    parse_rfc3339(text).unwrap()
}

fn judge_with(control: &ControlState, source: &str, payload: &[u8]) -> Verdict {
    let catalogue = Arc::new(Catalogue::shipped().unwrap());
    let judge = Judge { catalogue, keys: Arc::new(Keys::development()) };
    let verdict = judge.judge(source, payload, control, at(ARRIVAL));
    assert_eq!(verdict, judge.judge(source, payload, control, at(ARRIVAL)));
    verdict
}

fn all_on() -> ControlState {
    ControlState::with_unlisted(Ingestion::On)
}

/// A valid `broadcast.sent`, with the fields of `changes` put over it; [`GONE`] removes.
fn sent(changes: Value) -> Value {
    event("broadcast", "broadcast.sent", json!({"broadcast_id": "b-204"}), changes)
}

const GONE: &str = "(gone)";

fn event(source: &str, name: &str, properties: Value, changes: Value) -> Value {
    let mut event = json!({
        "event_name": name, "schema_version": 1, "source_module": source,
        "idempotency_key": "key", "account_id": "acc-17", "qontak_customer_id": "1048576",
        "occurred_at": ARRIVAL, "properties": properties,
    });
    for (field, value) in changes.as_object().unwrap() {
        match value == GONE {
            true => drop(event.as_object_mut().unwrap().remove(field)),
            false => event[field] = value.clone(),
        }
    }
    event
}

fn judge(event: &Value) -> Verdict {
    let source = event["source_module"].as_str().unwrap_or("broadcast");
    judge_with(&all_on(), source, event.to_string().as_bytes())
}

fn valid(event: Value) -> ValidEvent {
    match judge(&event) {
        Verdict::Valid(event) => *event,
        other => panic!("{event}: {other:?}"),
    }
}

fn rejected(verdict: Verdict) -> Rejection {
    match verdict {
        Verdict::Rejected(rejection) => *rejection,
        other => panic!("{other:?}"),
    }
}

/// `expect`: reason and pointer.
fn check(event: Value, expect: &str) {
    check_text("broadcast", &event.to_string(), expect);
}

fn check_text(source: &str, payload: &str, expect: &str) {
    let found = match judge_with(&all_on(), source, payload.as_bytes()) {
        Verdict::Rejected(why) => {
            assert!(!why.message.is_empty());
            format!("{} {}", why.reason.as_str(), why.pointer).trim_end().to_owned()
        }
        Verdict::Valid(_) => "valid".to_owned(),
        Verdict::Skipped => "skipped".to_owned(),
    };
    assert_eq!(found, expect, "{:.300}", payload);
}

#[test]
fn a_valid_event_is_read_whole() {
    let event = valid(sent(json!({"team_id": "team-3", "extra": 1})));
    assert_eq!(&*event.account_id, "acc-17");
    assert_eq!(event.team_id.as_deref(), Some("team-3"));
    assert_eq!((&*event.source_module, &*event.event_name), ("broadcast", "broadcast.sent"));
    assert_eq!((event.schema_version, &*event.idempotency_key), (1, "key"));
    assert_eq!(event.qontak_customer_id.as_deref(), Some("1048576"));
    assert_eq!(event.occurred_at_ms, at(ARRIVAL));
    assert_eq!(event.event, EventType::named("broadcast.sent"));
    assert_eq!(event.group.as_deref(), Some("b-204"));
    assert_eq!(event.properties, r#"{"broadcast_id":"b-204"}"#);
    assert_eq!(
        event.payload,
        r#"{"account_id":"acc-17","event_name":"broadcast.sent","extra":1,"idempotency_key":"key","occurred_at":"2026-11-23T04:31:00.000Z","properties":{"broadcast_id":"b-204"},"qontak_customer_id":"1048576","schema_version":1,"source_module":"broadcast","team_id":"team-3"}"#
    );
}

#[test]
fn oversized() {
    let filler = |len: usize| {
        let base = sent(json!({"f": ""})).to_string().len();
        sent(json!({"f": "x".repeat(len - base)})).to_string()
    };
    check_text("broadcast", &filler(65_536), "valid");
    check_text("broadcast", &filler(65_537), "oversized");
    // Before everything else, the flag too.
    let verdict = judge_with(&ControlState::new(), "broadcast", &[b'x'; 70_000]);
    let why = rejected(verdict);
    assert_eq!(why.reason, Reason::Oversized);
    let payload: Value = serde_json::from_str(&why.payload).unwrap();
    assert_eq!(payload["bytes"], 70_000);
    assert_eq!(payload["keyed_hash"].as_str().map(str::len), Some(32));
}

#[test]
fn malformed() {
    for payload in ["", "{", "[]", "null", "1", "\"{}\"", "{\"a\":NaN}", "{\"a\":1e999}", "{} {}"] {
        check_text("broadcast", payload, "malformed_json");
        let off = judge_with(&ControlState::new(), "broadcast", payload.as_bytes());
        assert_eq!(rejected(off).reason, Reason::MalformedJson, "{payload}");
    }
    let mut payload = sent(json!({})).to_string();
    payload.pop();
    payload.push_str(r#","f":-Infinity}"#);
    check_text("broadcast", &payload, "malformed_json");
    let why = rejected(judge_with(&all_on(), "broadcast", b"{\"phone\":\"081234567890\""));
    assert!(!format!("{why:?}").contains("0812"));
}

#[test]
fn sources_are_off_until_they_are_on() {
    let payload = sent(json!({"event_name": 5})).to_string();
    let mut control = ControlState::new();
    assert_eq!(judge_with(&control, "broadcast", payload.as_bytes()), Verdict::Skipped);
    assert_eq!(judge_with(&control, "unlisted", b"{}"), Verdict::Skipped);
    control.apply(br#"{"sources":{"broadcast":"on"}}"#).unwrap();
    rejected(judge_with(&control, "broadcast", payload.as_bytes()));
    assert_eq!(judge_with(&control, "ads", payload.as_bytes()), Verdict::Skipped);
}

#[test]
fn a_canary_takes_its_accounts_only() {
    let mut control = ControlState::new();
    control.apply(br#"{"sources":{"broadcast":{"accounts":["acc-17"]}}}"#).unwrap();
    let verdict = |changes| judge_with(&control, "broadcast", sent(changes).to_string().as_bytes());
    assert!(matches!(verdict(json!({})), Verdict::Valid(_)));
    assert_eq!(verdict(json!({"account_id": "b"})), Verdict::Skipped);
    assert_eq!(verdict(json!({"account_id": "b".repeat(65)})), Verdict::Skipped);
    // Before schema violations.
    assert_eq!(verdict(json!({"account_id": "b", "event_name": 5})), Verdict::Skipped);
    // Where no account can be read, the record is judged.
    for unreadable in [json!(GONE), json!(5), json!(null), json!([]), json!("")] {
        let why = rejected(verdict(json!({"account_id": unreadable})));
        assert_eq!((why.reason, why.pointer.as_str()), (Reason::SchemaViolation, "/account_id"));
    }
}

#[test]
fn the_head_is_judged_first() {
    for wrong in
        [json!(GONE), json!(null), json!([]), json!(""), json!(5), json!(["broadcast.sent"])]
    {
        check(sent(json!({"event_name": wrong, "account_id": 5})), "schema_violation /event_name");
        check(
            sent(json!({"source_module": wrong, "account_id": 5})),
            "schema_violation /source_module",
        );
    }
    check(sent(json!({"source_module": "ads"})), "schema_violation /source_module");
    for wrong in
        [json!(GONE), json!(null), json!("1"), json!(1.5), json!(1.0), json!(true), json!(1e30)]
    {
        check(
            sent(json!({"schema_version": wrong, "account_id": 5})),
            "schema_violation /schema_version",
        );
    }
    // In this order.
    check(sent(json!({"event_name": 5, "source_module": 5})), "schema_violation /event_name");
    check(
        sent(json!({"source_module": 5, "schema_version": "1"})),
        "schema_violation /source_module",
    );
    check(
        sent(json!({"event_name": "nope", "schema_version": "1"})),
        "schema_violation /schema_version",
    );
}

#[test]
fn types_and_versions() {
    check(sent(json!({"event_name": "nope", "account_id": 5})), "unknown_event /event_name");
    check(sent(json!({"event_name": "customer.created"})), "unknown_event /event_name");
    check(sent(json!({"event_name": "Broadcast.sent"})), "unknown_event /event_name");
    check_text(
        "crm",
        &sent(json!({"source_module": "crm"})).to_string(),
        "unknown_event /event_name",
    );
    for version in [json!(2), json!(0), json!(-1), json!(99_999_999_999u64)] {
        check(
            sent(json!({"schema_version": version, "account_id": 5})),
            "unsupported_version /schema_version",
        );
    }
}

#[test]
fn keys_and_ids() {
    let ids =
        [("account_id", 64), ("team_id", 64), ("qontak_customer_id", 64), ("idempotency_key", 128)];
    for (field, max) in ids {
        let expect = format!("schema_violation /{field}");
        for wrong in
            [json!(""), json!(5), json!(true), json!({}), json!(["a"]), json!("x".repeat(max + 1))]
        {
            check(sent(json!({field: wrong})), &expect);
        }
        check(sent(json!({field: "x".repeat(max)})), "valid");
        // Bytes, not characters.
        check(sent(json!({field: "é".repeat(max / 2)})), "valid");
        check(sent(json!({field: "é".repeat(max / 2 + 1)})), &expect);
    }
    for absent in [json!(GONE), json!(null), json!([])] {
        check(sent(json!({"account_id": absent})), "schema_violation /account_id");
        check(sent(json!({"idempotency_key": absent})), "schema_violation /idempotency_key");
        check(sent(json!({"team_id": absent})), "valid");
        check(sent(json!({"properties": absent})), "schema_violation /properties/broadcast_id");
    }
}

#[test]
fn the_body_is_judged_in_order() {
    let fields = [
        "idempotency_key",
        "account_id",
        "team_id",
        "qontak_customer_id",
        "identifiers",
        "occurred_at",
        "properties",
    ];
    for (at, field) in fields.iter().enumerate() {
        let wrong: serde_json::Map<String, Value> =
            fields[at..].iter().map(|field| ((*field).to_owned(), json!(true))).collect();
        check(sent(Value::Object(wrong)), &format!("schema_violation /{field}"));
    }
    // Before identity and time.
    check(
        sent(json!({"qontak_customer_id": null, "occurred_at": 1, "properties": 1})),
        "schema_violation /properties",
    );
    check(sent(json!({"qontak_customer_id": null, "occurred_at": 1})), "missing_identity");
}

#[test]
fn duplicate_keys_the_last_wins() {
    let payload = sent(json!({})).to_string();
    let twice = |more: &str| format!("{},{more}}}", &payload[..payload.len() - 1]);
    check_text("broadcast", &twice(r#""account_id":5"#), "schema_violation /account_id");
    let twice = format!(r#"{{"account_id":5,{}"#, &payload[1..]);
    check_text("broadcast", &twice, "valid");
}

#[test]
fn identifiers() {
    let id = json!({"type": "phone", "value": "0812-3456-7890"});
    let with = |identifiers: Value| sent(json!({"identifiers": identifiers}));
    check(with(json!([id])), "valid");
    check(with(json!([id, {"type": "phone", "value": ""}])), "valid");
    check(with(json!({"type": "phone"})), "schema_violation /identifiers");
    check(with(json!("0812")), "schema_violation /identifiers");
    check(with(json!([id, "0812"])), "schema_violation /identifiers/1");
    check(with(json!([{"value": "x"}])), "schema_violation /identifiers/0/type");
    check(with(json!([{"type": "", "value": "x"}])), "schema_violation /identifiers/0/type");
    check(with(json!([{"type": "phone"}])), "schema_violation /identifiers/0/value");
    check(with(json!([{"type": "phone", "value": 812}])), "schema_violation /identifiers/0/value");
}

#[test]
fn identity_is_required() {
    let id = json!([{"type": "phone", "value": "-"}]);
    for absent in [json!(GONE), json!(null), json!([])] {
        check(sent(json!({"qontak_customer_id": absent})), "missing_identity");
        check(sent(json!({"qontak_customer_id": absent, "identifiers": []})), "missing_identity");
        // What is no identifier is no fault either.
        check(sent(json!({"qontak_customer_id": absent, "identifiers": id})), "valid");
    }
    let created = |changes| event("cdp", "customer.created", json!({}), changes).to_string();
    check_text("cdp", &created(json!({})), "valid");
    check_text(
        "cdp",
        &created(json!({"qontak_customer_id": GONE, "identifiers": id})),
        "missing_identity",
    );
    let entered = event(
        "cdp",
        "segment.entered",
        json!({"segment_id": "vip"}),
        json!({"qontak_customer_id": GONE, "identifiers": id}),
    )
    .to_string();
    check_text("cdp", &entered, "valid");
}

#[test]
fn times() {
    let with = |time: Value| sent(json!({"occurred_at": time}));
    let arrival = at(ARRIVAL);
    for time in
        [json!(arrival), json!("2026-11-23T11:31:00+07:00"), json!("2026-11-23t04:30:59.9999z")]
    {
        check(with(time), "valid");
    }
    for time in [
        json!(GONE),
        json!(null),
        json!("yesterday"),
        json!("2026-11-23"),
        json!("2026-11-23T04:31:00"),
        json!("2026-11-23 04:31:00Z"),
        json!(1.5),
        json!(1.0),
        json!(true),
        json!("1795408260000"),
        json!({}),
        json!(1e30),
    ] {
        check(with(time), "schema_violation /occurred_at");
    }
    check(with(json!(arrival + 300_000)), "valid");
    check(with(json!(arrival + 300_001)), "future_event /occurred_at");
    check(with(json!(u64::MAX)), "future_event /occurred_at");
    check(with(json!("2024-11-23T04:31:00.000Z")), "valid");
    check(with(json!("2024-11-23T04:30:59.999Z")), "too_old /occurred_at");
    check(with(json!(0)), "too_old /occurred_at");
    check(with(json!(i64::MIN)), "too_old /occurred_at");
    assert_eq!(valid(with(json!("2026-11-23T04:30:59.9999Z"))).occurred_at_ms, arrival - 1);
}

#[test]
fn retention_is_a_setting() {
    let mut control = all_on();
    control.apply(br#"{"settings":{"retention_months":1}}"#).unwrap();
    let judge = |time: &str| {
        judge_with(&control, "broadcast", sent(json!({"occurred_at": time})).to_string().as_bytes())
    };
    assert!(matches!(judge("2026-10-23T04:31:00.000Z"), Verdict::Valid(_)));
    assert_eq!(rejected(judge("2026-10-23T04:30:59.999Z")).reason, Reason::TooOld);
}

#[test]
fn properties() {
    let with = |properties: Value| sent(json!({"properties": properties}));
    for wrong in [json!(1), json!("x"), json!([1]), json!(true)] {
        check(with(wrong), "schema_violation /properties");
    }
    for wrong in [
        json!(""),
        json!(5),
        json!({}),
        json!(["b"]),
        json!("x".repeat(65)),
        json!("é".repeat(33)),
        json!(null),
        json!([]),
    ] {
        check(with(json!({"broadcast_id": wrong})), "schema_violation /properties/broadcast_id");
    }
    let many = |count: usize| {
        let mut properties = json!({"broadcast_id": "b"});
        (1..count).for_each(|n| properties[format!("p{n}")] = json!(n));
        properties
    };
    check(with(many(255)), "valid");
    check(with(many(256)), "schema_violation /properties");
    let nested = |depth: usize| {
        let inner = (2..depth).fold(json!([]), |inner, level| {
            if level % 2 == 0 { json!({"n": inner}) } else { json!([inner]) }
        });
        json!({"broadcast_id": "b", "n": inner})
    };
    check(with(nested(5)), "valid");
    check(with(nested(6)), "schema_violation /properties");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let payload = sent(json!({})).to_string();
    let inside = payload.replace("\"b-204\"", &format!("\"b\",\"deep\":{deep}"));
    check_text("broadcast", &inside, "schema_violation /properties");
    // Unknown fields are kept, however deep.
    let outside = payload.replace("{\"account_id\"", &format!("{{\"deep\":{deep},\"account_id\""));
    check_text("broadcast", &outside, "valid");
    // The count and the depth come before any property.
    let mut wrong = many(256);
    wrong["broadcast_id"] = json!(5);
    check(with(wrong), "schema_violation /properties");
}

#[test]
fn every_event_type_of_the_catalogue() {
    let cases = [
        ("cdp", "customer.created", json!({"phone": null, "city": "Depok"}), "valid"),
        ("cdp", "customer.updated", json!({"phone": 812, "email": [], "name": {}}), "valid"),
        ("cdp", "customer.merged", json!({"into": "2"}), "valid"),
        ("cdp", "customer.merged", json!({}), "schema_violation /properties/into"),
        ("cdp", "customer.unmerged", json!({"from": "2"}), "valid"),
        ("cdp", "customer.unmerged", json!({"from": 2}), "schema_violation /properties/from"),
        ("cdp", "customer.erased", json!({}), "valid"),
        ("cdp", "segment.entered", json!({}), "schema_violation /properties/segment_id"),
        ("cdp", "segment.exited", json!({"segment_id": "vip"}), "valid"),
        ("cdp", "customer.deleted", json!({}), "unknown_event /event_name"),
        (
            "broadcast",
            "broadcast.delivered",
            json!({}),
            "schema_violation /properties/broadcast_id",
        ),
        ("broadcast", "broadcast.read", json!({"broadcast_id": "b"}), "valid"),
        ("broadcast", "broadcast.replied", json!({}), "valid"),
        ("broadcast", "broadcast.replied", json!({"broadcast_id": null}), "valid"),
        (
            "broadcast",
            "broadcast.replied",
            json!({"broadcast_id": 1}),
            "schema_violation /properties/broadcast_id",
        ),
        (
            "ads",
            "ad.clicked",
            json!({"campaign_id": ""}),
            "schema_violation /properties/campaign_id",
        ),
        ("ads", "ad.lead", json!({"campaign_id": "c"}), "valid"),
        ("ads", "ad.converted", json!({"value": 1.5}), "valid"),
        ("ads", "ad.converted", json!({"value": "1"}), "schema_violation /properties/value"),
    ];
    for (source, name, properties, expect) in cases {
        check_text(source, &event(source, name, properties, json!({})).to_string(), expect);
    }
}

#[test]
fn messages_name_the_rule_and_no_value() {
    for (properties, expect) in [
        (json!({"broadcast_id": 81_234_567_890u64}), r#"value is not of type "string""#),
        (json!({}), "is required"),
        (json!({"broadcast_id": "0812-3456-7890".repeat(5)}), "value has more than 64 bytes"),
    ] {
        let why = rejected(judge(&sent(json!({"properties": properties}))));
        assert_eq!(why.message, expect);
    }
}

#[test]
fn rejections_say_whose_they_are() {
    let why = rejected(judge(&sent(json!({"event_name": "nope"}))));
    assert_eq!((why.account_id.as_str(), why.event_name.as_str()), ("acc-17", "nope"));
    let why = rejected(judge(&sent(json!({"event_name": 5, "account_id": ""}))));
    assert_eq!((why.account_id.as_str(), why.event_name.as_str()), ("", ""));
    let why = rejected(judge(&sent(json!({"event_name": "x".repeat(500)}))));
    assert_eq!(why.event_name.len(), 128);
}

#[test]
fn properties_of_a_customer_are_attributes() {
    let keys = Keys::development();
    let attribute = |name: &str, value: Value| {
        let properties = json!({name: value});
        let event = valid(event("cdp", "customer.updated", properties, json!({})));
        assert_eq!(event.attributes.len(), 1);
        event.attributes.into_iter().next().unwrap()
    };
    let token = |kind: &str, text: &str| keys.token("acc-17", kind, text);
    let phone = attribute("phone", json!("0812-3456-7890"));
    assert_eq!(phone.identifier.map(|i| i.token), Some(token("phone", "+6281234567890")));
    assert!(!phone.value.unwrap().value().to_string().contains("0812"));
    assert_eq!(attribute("phone", json!(null)).value, None);
    for none in [json!("n/a"), json!(""), json!(81_234_567_890u64), json!({}), json!("12")] {
        assert_eq!(attribute("phone", none).identifier, None);
    }
    let email = attribute("email", json!(" A@b.id ")).identifier;
    assert_eq!(email.map(|i| i.token), Some(token("email", "a@b.id")));
    let tags = attribute("tags", json!(["a", 1, {"b": null}]));
    assert_eq!(*tags.value.unwrap().value(), json!(["a", 1, {"b": null}]));
    // On other events they are unknown properties.
    let other = valid(sent(json!({"properties": {"broadcast_id": "b", "phone": "081234567890"}})));
    assert!(other.attributes.is_empty());
    assert!(!other.payload.contains("0812"));
}

#[test]
fn identifiers_become_tokens() {
    let keys = Keys::development();
    let identifiers = json!([
        {"type": "phone", "value": "0812 3456 7890"}, {"type": "phone", "value": "+6281234567890"},
        {"type": "email", "value": "none"}, {"type": "wa_id", "value": " X "},
    ]);
    let event = valid(sent(json!({"identifiers": identifiers})));
    let mut expect =
        vec![keys.token("acc-17", "phone", "+6281234567890"), keys.token("acc-17", "wa_id", "X")];
    expect.sort();
    let found: Vec<_> = event.identifiers.iter().map(|identifier| identifier.token).collect();
    assert_eq!(found, expect);
    // What is blocked is a setting, which changes what links and no verdict.
    let blocked = BlockList::new(vec!["081234567890".into()]).values(&keys);
    let links = event.identifiers.iter().filter(|i| !blocked.contains(&i.value));
    let links: Vec<_> = links.map(|identifier| identifier.token).collect();
    assert_eq!(links, [keys.token("acc-17", "wa_id", "X")]);
}

#[test]
fn links_name_the_other_customer() {
    let other = |name, properties| valid(event("cdp", name, properties, json!({}))).other_customer;
    assert_eq!(other("customer.merged", json!({"into": "2"})).as_deref(), Some("2"));
    assert_eq!(other("customer.unmerged", json!({"from": "3"})).as_deref(), Some("3"));
    assert_eq!(other("customer.updated", json!({"into": "2"})), None);
}

/// The schema of the envelope is for readers and tools; it must not contradict the judge.
#[test]
fn the_envelope_has_its_schema() {
    let (_, text) =
        Catalogue::shipped_files().find(|(path, _)| *path == "envelope/1.json").unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap();
    let id = json!([{"type": "phone", "value": "-"}]);
    let many: Value =
        (0..255).map(|n| (format!("p{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    for changes in [
        json!({}),
        json!({"team_id": "t", "identifiers": id}),
        json!({"occurred_at": 5}),
        json!({"properties": many}),
        json!({"extra": {"a": [1]}}),
    ] {
        assert!(schema.is_valid(&sent(changes.clone())), "{changes}");
    }
    for wrong in [
        json!({"event_name": GONE}),
        json!({"event_name": ""}),
        json!({"schema_version": "1"}),
        json!({"account_id": 5}),
        json!({"account_id": GONE}),
        json!({"idempotency_key": ""}),
        json!({"identifiers": [{"type": "phone"}]}),
        json!({"identifiers": [{"type": "", "value": "x"}]}),
        json!({"occurred_at": true}),
        json!({"properties": [1]}),
        json!({"team_id": {}}),
        json!({"schema_version": 1.5}),
        json!({"source_module": GONE}),
    ] {
        assert!(!schema.is_valid(&sent(wrong.clone())), "{wrong}");
        let judged = rejected(judge(&sent(wrong.clone())));
        assert_eq!(judged.reason, Reason::SchemaViolation, "{wrong}");
    }
}
