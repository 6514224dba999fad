use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::principal::KeyRing;

const NOW_MS: Millis = 1_790_000_000_000;

fn mapped(event: &Value, more: &str) -> Value {
    let hash = blake3::hash(b"s").to_hex();
    let text =
        format!("[[keys]]\nid = \"k\"\nsecret_blake3 = \"{hash}\"\nscopes = [\"push\"]\n{more}");
    let who = KeyRing::parse(&text).unwrap().find(Some("k.s")).unwrap();
    let catalogue = Catalogue::shipped().unwrap();
    let kind = if event.get("$token").is_some() { Kind::Profile } else { Kind::Event };
    let bytes = kind.envelope(event.to_string().into(), &who, &catalogue, NOW_MS);
    serde_json::from_slice(&bytes).unwrap()
}

fn event(properties: Value) -> Value {
    json!({"event": "broadcast.replied", "properties": properties})
}

#[test]
fn an_event_of_a_client_is_an_envelope() {
    let sent = event(json!({"token": "k.s", "distinct_id": "7", "time": 1_790_000_000,
        "$insert_id": "i1", "mp_lib": "python", "broadcast_id": "b"}));
    let expected = json!({"event_name": "broadcast.replied", "source_module": "broadcast",
        "schema_version": 1, "idempotency_key": "i1", "account_id": "a", "team_id": "t",
        "qontak_customer_id": "7", "occurred_at": 1_790_000_000_000_i64,
        "properties": {"mp_lib": "python", "broadcast_id": "b"}});
    assert_eq!(mapped(&sent, "account_id = \"a\"\nteam_id = \"t\""), expected);
    assert!(!mapped(&sent, "").to_string().contains("k.s"), "a secret stays here");
    let anybody = KeyRing::default().find(None).unwrap();
    let catalogue = Catalogue::shipped().unwrap();
    let open = Kind::Event.envelope(sent.to_string().into(), &anybody, &catalogue, NOW_MS);
    let open: Value = serde_json::from_slice(&open).unwrap();
    assert_eq!(open["account_id"], "k.s", "a token is an account where there are no keys");
}

#[test]
fn a_profile_is_what_is_known_of_a_customer() {
    let profile = json!({"$token": "k.s", "$distinct_id": 7, "$time": 1_790_000_000, "$ip": 0,
        "$set": {"$email": "a@b.id", "tier": "gold", "time": "noon"}, "$unset": ["$phone"]});
    let expected = json!({"event_name": "customer.updated", "source_module": "cdp",
        "schema_version": 1, "account_id": "a", "team_id": null, "qontak_customer_id": "7",
        "occurred_at": 1_790_000_000_000_i64,
        "properties": {"email": "a@b.id", "tier": "gold", "time": "noon", "phone": null}});
    let mut sent = mapped(&profile, "account_id = \"a\"");
    let key = sent.as_object_mut().unwrap().remove("idempotency_key").unwrap();
    assert_eq!(sent, expected);
    assert_eq!(key, mapped(&profile, "")["idempotency_key"], "sent again, it counts once");
    assert_eq!(Kind::Profile.token(profile.to_string().as_bytes()).as_deref(), Some("k.s"));
    let added = json!({"$token": "k.s", "$distinct_id": "7", "$add": {"n": 1}});
    assert_eq!(mapped(&added, "")["event_name"], "$engage");
    let both = json!({"$token": "k.s", "$distinct_id": "7", "$set": {"n": 1}, "$add": {"n": 1}});
    assert_eq!(mapped(&both, "")["event_name"], "$engage", "nothing is dropped in silence");
    let told = |pointer: &str, reason: &'static str| {
        let failure = Failure { pointer: pointer.into(), reason, ..Failure::default() };
        Kind::Profile.translated(failure).pointer
    };
    assert_eq!(told("/properties/email", "schema_violation"), "/$set/$email");
    assert_eq!(told("", "missing_identity"), "/$distinct_id");
    assert_eq!(told("/event_name", "unknown_event"), "");
}

#[test]
fn times_are_seconds_or_milliseconds() {
    let at = |time: Value| mapped(&event(json!({"time": time})), "")["occurred_at"].clone();
    assert_eq!(at(json!(1_790_000_000.5)), 1_790_000_000_500_i64);
    assert_eq!(at(json!(1_790_000_000_500_i64)), 1_790_000_000_500_i64);
    assert_eq!(at(json!("2026-11-27T00:00:00Z")), "2026-11-27T00:00:00Z");
    assert_eq!(mapped(&event(json!({})), "")["occurred_at"], NOW_MS);
}

#[test]
fn the_same_event_has_the_same_key_if_it_has_a_time() {
    let key = |properties: Value| mapped(&event(properties), "")["idempotency_key"].clone();
    assert_eq!(key(json!({"time": 1})), key(json!({"time": 1})));
    assert_ne!(key(json!({"time": 1})), key(json!({"time": 2})));
    assert_ne!(key(json!({})), key(json!({})));
}

#[test]
fn users_devices_and_nobody() {
    let who = |properties: Value| {
        let envelope = mapped(&event(properties), "");
        (envelope["qontak_customer_id"].clone(), envelope["identifiers"][0]["value"].clone())
    };
    let null = Value::Null;
    assert_eq!(who(json!({"distinct_id": 1_048_576})), (json!("1048576"), null.clone()));
    assert_eq!(who(json!({"distinct_id": "d", "$user_id": "7"})), (json!("7"), null.clone()));
    assert_eq!(who(json!({"distinct_id": "$device:x"})), (null.clone(), json!("x")));
    assert_eq!(who(json!({"distinct_id": "anon", "$device_id": "x"})), (null.clone(), json!("x")));
    assert_eq!(who(json!({"distinct_id": "N/A"})), (null.clone(), null));
}

#[test]
fn names_lead_to_their_source() {
    let source = |name: &str, more: &str| {
        mapped(&json!({"event": name, "properties": {}}), more)["source_module"].clone()
    };
    assert_eq!(source("ad.clicked", ""), "ads");
    assert_eq!(source("ad.clicked", "sources = [\"cdp\"]"), "cdp", "and is unknown there");
    let own = event(json!({"source_module": "ads"}));
    assert_eq!(mapped(&own, "")["source_module"], "ads");
}

#[test]
fn data_comes_in_base64_or_as_it_is() {
    let json = br#"{"event":"x>>>?"}"#;
    assert_eq!(data(std::str::from_utf8(json).unwrap()), json);
    let packed = STANDARD.encode(json);
    for text in [packed.clone(), packed.replace('+', " "), packed.trim_end_matches('=').to_owned()]
    {
        assert_eq!(data(&text), json, "{text}");
    }
    assert_eq!(data("?"), b"?");
    assert_eq!(Kind::Event.token(json), None);
    assert_eq!(
        Kind::Event.token(event(json!({"token": "t"})).to_string().as_bytes()).as_deref(),
        Some("t")
    );
}

#[test]
fn what_is_wrong_is_said_of_what_was_sent() {
    let told = |pointer: &str, reason: &'static str| {
        translated(Failure { pointer: pointer.into(), reason, ..Failure::default() }).pointer
    };
    assert_eq!(told("/occurred_at", "too_old"), "/properties/time");
    assert_eq!(told("/event_name", "unknown_event"), "/event");
    assert_eq!(told("", "missing_identity"), "/properties/distinct_id");
    assert_eq!(told("/properties/broadcast_id", "schema_violation"), "/properties/broadcast_id");
    let odd = Kind::Event.envelope(
        b"7".to_vec(),
        &KeyRing::default().find(None).unwrap(),
        &Catalogue::shipped().unwrap(),
        0,
    );
    assert_eq!(odd, b"7", "what is no event stays as it is");
}
