//! Nothing personal leaves the judge, wherever publishers put it (product §2).

use std::sync::Arc;

use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::{Judge, Verdict};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const ARRIVAL_MS: i64 = 1_795_408_260_000;

fn judge() -> Judge {
    Judge {
        catalogue: Arc::new(Catalogue::shipped().unwrap()),
        keys: Arc::new(Keys::development()),
    }
}

fn control(settings: Value) -> ControlState {
    let mut control = ControlState::with_unlisted(Ingestion::On);
    control.apply(json!({"settings": settings}).to_string().as_bytes()).unwrap();
    control
}

fn event(source: &str, name: &str, properties: Value) -> Value {
    json!({
        "event_name": name, "schema_version": 1, "source_module": source, "idempotency_key": "key",
        "account_id": "acc", "qontak_customer_id": "1", "occurred_at": ARRIVAL_MS,
        "properties": properties,
    })
}

fn stored(event: &Value, settings: Value) -> Value {
    let source = event["source_module"].as_str().unwrap();
    match judge().judge(source, event.to_string().as_bytes(), &control(settings), ARRIVAL_MS) {
        Verdict::Valid(event) => serde_json::from_str(&event.payload).unwrap(),
        Verdict::Rejected(why) => serde_json::from_str(&why.payload).unwrap(),
        Verdict::Skipped => panic!("{event}"),
    }
}

/// The masked form of an identifier.
fn identifier(kind: &str, normalised: &str) -> String {
    let keys = Keys::development();
    format!("~{}", keys.render(keys.token("acc", kind, normalised)))
}

/// The masked form of any other text.
fn text(text: &str) -> String {
    let keys = Keys::development();
    format!("~{}", keys.render(keys.text_token("acc", text)))
}

#[test]
fn marked_fields_are_tokens() {
    let (phone, email) = (identifier("phone", "+6281234567890"), identifier("email", "a@b.id"));
    let found = stored(
        &event(
            "cdp",
            "customer.created",
            json!({
                "phone": "0812-3456-7890", "email": " A@b.id", "name": "Budi Santoso", "city": "Depok",
            }),
        ),
        json!({}),
    );
    let expect =
        json!({"phone": phone, "email": email, "name": text("Budi Santoso"), "city": "Depok"});
    assert_eq!(found["properties"], expect);
    let found = stored(
        &event(
            "cdp",
            "customer.created",
            json!({
                "phone": 81_234_567_890u64, "email": null, "name": {"first": "Budi", "ages": [1, ""], "x": true},
            }),
        ),
        json!({}),
    );
    let name = json!({"first": text("Budi"), "ages": [text("1"), ""], "x": true});
    assert_eq!(found["properties"], json!({"phone": phone, "email": null, "name": name}));
}

#[test]
fn unknown_strings_are_scanned() {
    let (phone, email) = (identifier("phone", "+6281234567890"), identifier("email", "a@b.id"));
    let mut sent = event(
        "broadcast",
        "broadcast.sent",
        json!({
            "broadcast_id": "b-204",
            "note": "call 0812-3456-7890 or mail A@b.id!",
            "when": "2026-11-23", "title": "Promo 50%", "order": {"by": ["+62 812 3456 7890", 81_234_567_890u64]},
            "0812 3456 7890": {"a@b.id": 1},
        }),
    );
    sent["sender"] = json!("a@b.id");
    let found = stored(&sent, json!({}));
    assert_eq!(found["sender"], email);
    let expect = json!({
        "broadcast_id": "b-204",
        "note": format!("call {phone} or mail {email}!"),
        "when": "2026-11-23", "title": "Promo 50%", "order": {"by": [phone, 81_234_567_890u64]},
        phone: {email: 1},
    });
    assert_eq!(found["properties"], expect);
}

#[test]
fn strict_sources_store_unknown_strings_as_tokens() {
    let mut sent =
        event("broadcast", "broadcast.sent", json!({"broadcast_id": "b", "x": ["Budi", 1, ""]}));
    sent["sender"] = json!("Siti");
    let found = stored(&sent, json!({"strict_sources": ["broadcast"]}));
    assert_eq!(found["properties"], json!({"broadcast_id": "b", "x": [text("Budi"), 1, ""]}));
    assert_eq!(found["sender"], text("Siti"));
    assert_eq!(stored(&sent, json!({"strict_sources": ["ads"]})), sent);
}

#[test]
fn identifiers_are_masked_always() {
    let mut sent = event("broadcast", "broadcast.sent", json!({"broadcast_id": "b"}));
    sent["identifiers"] = json!([
        {"type": "phone", "value": "0812-3456-7890"},
        {"type": "wa_id", "value": "x", "of": "a@b.id"},
        {"type": "phone", "value": "none"},
    ]);
    let expect = json!([
        {"type": "phone", "value": identifier("phone", "+6281234567890")},
        {"type": "wa_id", "value": identifier("wa_id", "x"), "of": identifier("email", "a@b.id")},
        {"type": "phone", "value": text("none")},
    ]);
    assert_eq!(stored(&sent, json!({}))["identifiers"], expect);
    sent["schema_version"] = json!(9);
    assert_eq!(stored(&sent, json!({}))["identifiers"], expect);
}

#[test]
fn keys_are_hashed_where_they_carry_personal_data() {
    let sent = event("broadcast", "broadcast.sent", json!({"broadcast_id": "b"}));
    let verdict = |settings| match judge().judge(
        "broadcast",
        sent.to_string().as_bytes(),
        &control(settings),
        ARRIVAL_MS,
    ) {
        Verdict::Valid(event) => *event,
        other => panic!("{other:?}"),
    };
    let (plain, hashed) =
        (verdict(json!({})), verdict(json!({"hashed_key_sources": ["broadcast"]})));
    assert_eq!((&*plain.idempotency_key, &*hashed.idempotency_key), ("key", &*text("key")));
    assert!(hashed.payload.contains(&text("key")) && !hashed.payload.contains("\"key\""));
    // The same duplicate before and after.
    assert_eq!(plain.event_key, hashed.event_key);
}

#[test]
fn rejected_records_are_masked_by_name_and_by_scanning() {
    let unknown = event(
        "cdp",
        "customer.nope",
        json!({
            "name": "Budi", "deep": {"email": "not an address", "name": ["Siti"]}, "x": "wa 081234567890", "y": "plain",
        }),
    );
    let found = stored(&unknown, json!({}));
    let expect = json!({
        "name": text("Budi"), "deep": {"email": text("not an address"), "name": [text("Siti")]},
        "x": format!("wa {}", identifier("phone", "+6281234567890")), "y": "plain",
    });
    assert_eq!(found["properties"], expect);
    assert_eq!(found["account_id"], "acc");
}

#[test]
fn keys_are_masked_in_pointers_and_messages() {
    for schema in
        [r#"{"additionalProperties":{"type":"number"}}"#, r#"{"additionalProperties":false}"#]
    {
        let catalogue = Arc::new(Catalogue::compile([("s/e/1.json", schema)]).unwrap());
        let judge = Judge { catalogue, keys: Arc::new(Keys::development()) };
        let event = event("s", "e", json!({"a@b.id": "x"})).to_string();
        match judge.judge("s", event.as_bytes(), &control(json!({})), ARRIVAL_MS) {
            Verdict::Rejected(why) => assert!(!format!("{why:?}").contains("a@b.id"), "{why:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Personal data in one of the forms that people write, and what of it must not be seen.
fn canary() -> impl Strategy<Value = (String, String)> {
    let phone = (
        prop::sample::select(vec!["+62", "62", "0", "0062", "+62 ", "(+62) ", "+62-", ""]),
        "8[1-9][0-9]{8,9}",
        prop::sample::select(vec![
            "", "-", " ", ".", " - ", "\u{a0}", "\u{2011}", ") ", "\u{200b}", "  ",
        ]),
        2usize..6,
    )
        .prop_map(|(prefix, number, separator, group)| {
            let groups: Vec<&str> = (0..number.len())
                .step_by(group)
                .map(|at| &number[at..number.len().min(at + group)])
                .collect();
            (format!("{prefix}{}", groups.join(separator)), number)
        });
    let email =
        ("[a-z]{2}[a-z0-9.+_-]{4,10}q", "(@|%40)", "[a-z]{3,8}\\.(co\\.id|com)", any::<bool>())
            .prop_map(|(local, at, domain, upper)| {
                let spelled = if upper { local.to_uppercase() } else { local.clone() };
                (format!("{spelled}{at}{domain}"), local)
            });
    prop_oneof![phone, email]
}

/// Text around personal data.
fn sentence() -> impl Strategy<Value = (String, String)> {
    let before = prop::sample::select(vec![
        "",
        "call ",
        "wa:",
        "<",
        "Budi, ",
        "x",
        "to=",
        "é ",
        "2026-11-23 ",
        "[",
    ]);
    let after =
        prop::sample::select(vec!["", " now", ">", ", thanks", ".", "\n", "]", "; ok", "&a=1"]);
    (before, canary(), after)
        .prop_map(|(before, (text, secret), after)| (format!("{before}{text}{after}"), secret))
}

/// Where a publisher may put something.
fn place() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/properties/phone",
        "/properties/email",
        "/properties/name",
        "/properties/name/first",
        "/properties/city",
        "/properties/deep/er/est",
        "/properties/list/0",
        "/properties/list/0/x",
        "/sender",
        "/meta/from",
        "/meta/list/0",
        "/identifiers/0/value",
        "/identifiers/0/type",
        "/identifiers/0/of",
        "/event_name",
        "/source_module",
        "/schema_version",
        "/occurred_at",
        "/identifiers",
        "/properties",
        "/identifiers/0",
        "/team_id/x",
        "/account_id/x",
        "KEY/properties",
        "KEY/",
        "KEY/properties/deep",
        "KEY/identifiers/0",
    ])
}

fn put(event: &mut Value, place: &str, text: &str) {
    if let Some(of) = place.strip_prefix("KEY") {
        return put(event, &format!("{of}/{}", text.replace('~', "~0").replace('/', "~1")), "x");
    }
    let mut value = event;
    for part in place.split('/').skip(1).filter(|part| !part.is_empty()) {
        let name = part.replace("~1", "/").replace("~0", "~");
        if part == "0" {
            if !value.is_array() {
                *value = json!([{"type": "phone", "value": "x"}]);
            }
            value = &mut value[0];
        } else {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            value = &mut value[name];
        }
    }
    *value = json!(text);
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_canary_survives(
        name in prop::sample::select(vec!["customer.created", "customer.updated", "customer.nope", "customer.merged"]),
        canaries in prop::collection::vec((place(), sentence()), 1..4),
        strict in any::<bool>(),
        version in 1..3,
    ) {
        let mut event = event("cdp", name, json!({"city": "Depok"}));
        event["schema_version"] = json!(version);
        for (place, (text, _)) in &canaries {
            put(&mut event, place, text);
        }
        let settings = if strict { json!({"strict_sources": ["cdp"]}) } else { json!({}) };
        let (judge, control) = (judge(), control(settings));
        let verdict = judge.judge("cdp", event.to_string().as_bytes(), &control, ARRIVAL_MS);
        prop_assert_eq!(&verdict, &judge.judge("cdp", event.to_string().as_bytes(), &control, ARRIVAL_MS));
        let seen = format!("{verdict:?}");
        if let Verdict::Valid(event) = &verdict {
            prop_assert!(serde_json::from_str::<Value>(&event.payload).is_ok());
        }
        if let Verdict::Rejected(why) = &verdict {
            prop_assert!(serde_json::from_str::<Value>(&why.payload).is_ok());
        }
        for (place, (text, secret)) in &canaries {
            let survives = match secret.as_bytes()[0].is_ascii_digit() {
                true => digits(&seen).contains(&secret[1..]),
                false => seen.to_lowercase().contains(secret.as_str()),
            };
            prop_assert!(!survives, "{} of {:?} at {} is in {}", secret, text, place, seen);
        }
    }

    #[test]
    fn any_bytes_get_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        judge().judge("cdp", &bytes, &control(json!({})), ARRIVAL_MS);
    }

    #[test]
    fn any_change_of_a_byte_gets_a_verdict(at in 0usize..200, byte in any::<u8>()) {
        let mut payload = event("cdp", "customer.created", json!({"phone": "081234567890", "é": [1.5, "\n"]}))
            .to_string().into_bytes();
        let at = at % payload.len();
        payload[at] = byte;
        judge().judge("cdp", &payload, &control(json!({})), ARRIVAL_MS);
    }
}
