//! Mixpanel's event as an envelope. The mapping is in docs/guides/push-http.md; what it cannot map stays as it is,
//! so that the verdict names it.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::time::Millis;
use serde_json::{Map, Value};

use super::examine::Failure;
use crate::principal::Principal;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Epoch times below this are seconds: as milliseconds they would be in 1973.
const SECONDS_BELOW: f64 = 1e11;
/// Ids that stand for nobody, as Mixpanel has them.
const PLACEHOLDERS: [&str; 12] = [
    "anon",
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "00000000-0000-0000-0000-000000000000",
    "<nil>",
    "",
];

/// The properties of an event that are about the envelope.
const ABOUT: [&str; 9] = [
    "source_module",
    "schema_version",
    "time",
    "$insert_id",
    "token",
    "account_id",
    "team_id",
    "distinct_id",
    "$user_id",
];

/// Which of its fields some of them are.
const SPECIAL: [(&str, &str); 5] = [
    ("account_id", "/account_id"),
    ("distinct_id", "/qontak_customer_id"),
    ("time", "/occurred_at"),
    ("$insert_id", "/idempotency_key"),
    ("schema_version", "/schema_version"),
];

/// The text of a `data` parameter: JSON, or JSON in base64.
pub(crate) fn data(text: &str) -> Vec<u8> {
    if text.trim_start().starts_with(['[', '{']) {
        return text.as_bytes().to_vec();
    }
    // Clients that do not encode `+` for a form had spaces made of it.
    let packed = text.trim().replace(' ', "+");
    BASE64.decode(packed).unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something that happened: `/track`, `/import`.
    Event,
    /// What is known of somebody: `/engage`.
    Profile,
}

/// The event that says what is known of a customer.
const UPDATED: &str = "customer.updated";
/// What Mixpanel calls some attributes, which are personal here.
const ATTRIBUTES: [(&str, &str); 3] = [("$name", "name"), ("$email", "email"), ("$phone", "phone")];
/// Operations on a profile that depend on what it was before, or delete it.
const OTHERS: [&str; 6] = ["$set_once", "$add", "$append", "$union", "$remove", "$delete"];

impl Kind {
    /// Where the token stands by which an event says whose it is.
    pub(crate) fn token(self, event: &[u8]) -> Option<String> {
        let event: Value = serde_json::from_slice(event).ok()?;
        let token = match self {
            Kind::Event => &event["properties"]["token"],
            Kind::Profile => &event["$token"],
        };
        token.as_str().map(str::to_owned)
    }

    /// What was sent as an envelope of `who`. Whatever is none of its kind stays as it is.
    pub(crate) fn envelope(
        self,
        event: Vec<u8>,
        who: &Principal,
        catalogue: &Catalogue,
        now_ms: Millis,
    ) -> Vec<u8> {
        let Ok(Value::Object(outer)) = serde_json::from_slice(&event) else { return event };
        let sent = match self {
            Kind::Event => Sent::event(outer),
            Kind::Profile => Sent::profile(outer),
        };
        sent.envelope(&event, who, catalogue, now_ms).to_string().into_bytes()
    }

    /// What is wrong, in the words of what was sent.
    pub(crate) fn translated(self, failure: Failure) -> Failure {
        match self {
            Kind::Event => translated(failure),
            Kind::Profile => translated_of_profile(failure),
        }
    }
}

/// What was sent: what it says of the envelope, and the properties of the event.
struct Sent {
    name: Value,
    about: Map<String, Value>,
    properties: Map<String, Value>,
}

impl Sent {
    /// An event has both in its properties.
    fn event(mut outer: Map<String, Value>) -> Sent {
        let mut properties = match outer.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        let mut about = Map::new();
        for name in ABOUT {
            about.extend(properties.remove(name).map(|value| (name.to_owned(), value)));
        }
        about.extend(properties.get("$device_id").map(|id| ("$device_id".to_owned(), id.clone())));
        Sent { name: outer.remove("event").unwrap_or_default(), about, properties }
    }

    /// `$set` and `$unset` of a profile are attributes of a customer. With any other operation it is an event that is not
    /// known.
    fn profile(mut outer: Map<String, Value>) -> Sent {
        let mut properties = Map::new();
        if let Some(Value::Object(set)) = outer.remove("$set") {
            properties.extend(set.into_iter().map(|(name, value)| (attribute(name), value)));
        }
        if let Some(Value::Array(unset)) = outer.remove("$unset") {
            let names = unset.iter().filter_map(Value::as_str);
            properties.extend(names.map(|name| (attribute(name.to_owned()), Value::Null)));
        }
        let mut about = Map::new();
        for (of_profile, name) in [
            ("$token", "token"),
            ("$distinct_id", "distinct_id"),
            ("$time", "time"),
            ("$insert_id", "$insert_id"),
            ("$user_id", "$user_id"),
            ("$device_id", "$device_id"),
        ] {
            about.extend(outer.remove(of_profile).map(|value| (name.to_owned(), value)));
        }
        let is_kept = !properties.is_empty() && !outer.keys().any(|name| OTHERS.contains(&&**name));
        let name = if is_kept { UPDATED } else { "$engage" };
        Sent { name: name.into(), about, properties }
    }

    fn envelope(
        self,
        event: &[u8],
        who: &Principal,
        catalogue: &Catalogue,
        now_ms: Millis,
    ) -> Value {
        let Sent { name, mut about, properties } = self;
        let mut envelope = Map::new();
        let own = about.remove("source_module");
        let source = own.or_else(|| source_of(name.as_str()?, who, catalogue).map(Value::from));
        let source = source.unwrap_or_default();
        let version = about.remove("schema_version").or_else(|| {
            let newest = catalogue.versions(source.as_str()?, name.as_str()?)?.keys().next_back();
            newest.map(|version| Value::from(*version))
        });
        let time = about.remove("time");
        envelope.insert("idempotency_key".into(), key(&mut about, event, time.is_some()));
        envelope.insert("occurred_at".into(), time.map_or(Value::from(now_ms), occurred_at));
        envelope.insert("event_name".into(), name);
        envelope.insert("source_module".into(), source);
        envelope.insert("schema_version".into(), version.unwrap_or(Value::from(1)));
        let token = about.remove("token");
        let account = about.remove("account_id");
        let account = account.or_else(|| who.account_id.as_deref().map(Value::from));
        // Where there are keys, a token is a secret, and stays here.
        let account = account.or(token.filter(|_| who.is_anybody()));
        envelope.insert("account_id".into(), account.unwrap_or_default());
        let team = about.remove("team_id");
        let team = team.or_else(|| who.team_id.as_deref().map(Value::from));
        envelope.insert("team_id".into(), team.unwrap_or_default());
        identify(&mut about, &mut envelope);
        envelope.insert("properties".into(), Value::Object(properties));
        Value::Object(envelope)
    }
}

/// The name of an attribute.
fn attribute(name: String) -> String {
    let known = ATTRIBUTES.iter().find(|(theirs, _)| *theirs == name);
    known.map_or(name, |(_, ours)| (*ours).to_owned())
}

/// What is wrong, in the words of the event as it was sent.
fn translated(failure: Failure) -> Failure {
    let special = SPECIAL.iter().find(|(_, field)| failure.pointer == *field);
    let pointer = match special {
        Some((property, _)) => format!("/properties/{property}"),
        None if failure.pointer == "/event_name" => "/event".into(),
        None if failure.reason == "missing_identity" => "/properties/distinct_id".into(),
        None => failure.pointer,
    };
    let message = match failure.reason {
        // The source was only guessed.
        "unknown_event" => "is no event of the catalogue".into(),
        _ => failure.message,
    };
    Failure { pointer, message, ..failure }
}

/// The same of a profile.
fn translated_of_profile(failure: Failure) -> Failure {
    let of_attribute = failure.pointer.strip_prefix("/properties/").map(|name| {
        let known = ATTRIBUTES.iter().find(|(_, ours)| *ours == name);
        format!("/$set/{}", known.map_or(name, |(theirs, _)| theirs))
    });
    let pointer = match (of_attribute, failure.reason, &*failure.pointer) {
        (Some(pointer), ..) => pointer,
        (None, "missing_identity", _) | (None, _, "/qontak_customer_id") => "/$distinct_id".into(),
        (None, _, "/occurred_at") => "/$time".into(),
        (None, "unknown_event", _) => String::new(),
        (None, ..) => failure.pointer,
    };
    let message = match failure.reason {
        "unknown_event" => "is not taken: give $set or $unset, and no other operation".into(),
        _ => failure.message,
    };
    Failure { pointer, message, ..failure }
}

/// The source that has an event of this name; where several have, one that the key publishes for.
fn source_of<'c>(name: &str, who: &Principal, catalogue: &'c Catalogue) -> Option<&'c str> {
    let having = |known: &&(&str, &str, u32)| known.1 == name && who.speaks_for(known.0);
    let all: Vec<_> = catalogue.list().collect();
    let found = all.iter().find(having);
    // So that an unknown name is what is found wrong, and not its source.
    let any = || all.iter().find(|known| who.speaks_for(known.0));
    found.or_else(any).map(|(source, ..)| *source)
}

/// `$insert_id`. Without it the same event at the same time counts once; one without a time always counts.
fn key(about: &mut Map<String, Value>, event: &[u8], has_time: bool) -> Value {
    match about.remove("$insert_id") {
        Some(Value::Number(number)) => number.to_string().into(),
        Some(key) if !key.is_null() => key,
        _ if has_time => blake3::hash(event).to_hex().as_str().into(),
        _ => format!("{:032x}", fastrand::u128(..)).into(),
    }
}

/// Seconds or milliseconds, whole or not; a text stays one.
fn occurred_at(time: Value) -> Value {
    match time.as_f64() {
        Some(seconds) if seconds.abs() < SECONDS_BELOW => {
            Value::from((seconds * 1e3).round() as i64)
        }
        Some(millis) => Value::from(millis as i64),
        None => time,
    }
}

/// `$user_id`, else `distinct_id`, is the customer; a device alone is an identifier.
fn identify(about: &mut Map<String, Value>, envelope: &mut Map<String, Value>) {
    let distinct = text(about.remove("distinct_id"));
    let user = text(about.remove("$user_id"));
    let device = text(about.remove("$device_id"));
    let of_device = distinct.as_ref().and_then(|id| id.as_str()?.strip_prefix("$device:"));
    let device = of_device.map(Value::from).or(device);
    let customer = match (user, of_device) {
        (Some(user), _) => Some(user),
        (None, None) => distinct.clone(),
        (None, Some(_)) => None,
    };
    let is_somebody = |id: &Value| id.as_str().is_none_or(|id| !is_placeholder(id));
    match (customer.filter(is_somebody), device) {
        (Some(customer), _) => envelope.insert("qontak_customer_id".into(), customer),
        (None, Some(device)) => {
            let identifier = serde_json::json!([{"type": "device", "value": device}]);
            envelope.insert("identifiers".into(), identifier)
        }
        (None, None) => None,
    };
}

/// Numbers are the text that they are written as; `null` is absent.
fn text(id: Option<Value>) -> Option<Value> {
    match id? {
        Value::Null => None,
        Value::Number(number) => Some(number.to_string().into()),
        id => Some(id),
    }
}

fn is_placeholder(id: &str) -> bool {
    PLACEHOLDERS.contains(&id.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;
    use crate::principal::KeyRing;

    const NOW_MS: Millis = 1_790_000_000_000;

    fn mapped(event: &Value, more: &str) -> Value {
        let hash = blake3::hash(b"s").to_hex();
        let text = format!(
            "[[keys]]\nid = \"k\"\nsecret_blake3 = \"{hash}\"\nscopes = [\"push\"]\n{more}"
        );
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
        let both =
            json!({"$token": "k.s", "$distinct_id": "7", "$set": {"n": 1}, "$add": {"n": 1}});
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
        assert_eq!(
            who(json!({"distinct_id": "anon", "$device_id": "x"})),
            (null.clone(), json!("x"))
        );
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
        for text in
            [packed.clone(), packed.replace('+', " "), packed.trim_end_matches('=').to_owned()]
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
        assert_eq!(
            told("/properties/broadcast_id", "schema_violation"),
            "/properties/broadcast_id"
        );
        let odd = Kind::Event.envelope(
            b"7".to_vec(),
            &KeyRing::default().find(None).unwrap(),
            &Catalogue::shipped().unwrap(),
            0,
        );
        assert_eq!(odd, b"7", "what is no event stays as it is");
    }
}
