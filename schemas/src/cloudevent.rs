//! CloudEvents 1.0 in Kafka's binary mode: attributes as headers `ce_…`, the record's value as the data.
//! Read as an envelope whose `properties` are the data.
//!
//! | attribute | field |
//! |---|---|
//! | `type` | `event_name` |
//! | `id` | `idempotency_key` |
//! | `source`, after its last `/` or `:` | `source_module` |
//! | `time` | `occurred_at` |
//! | `schemaversion`, 1 by default | `schema_version` |
//! | `accountid`, `teamid`, `qontakcustomerid` | `account_id`, `team_id`, `qontak_customer_id` |
//!
//! An attribute that is missing is a field that is missing: the verdict names the field.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A record with this header is a CloudEvent.
pub const SPEC_VERSION_HEADER: &str = "ce_specversion";
/// The header of the one attribute that is no text.
const SCHEMA_VERSION: &str = "ce_schemaversion";

const FIELDS: [(&str, &str); 6] = [
    ("ce_id", "idempotency_key"),
    ("ce_accountid", "account_id"),
    ("ce_teamid", "team_id"),
    ("ce_qontakcustomerid", "qontak_customer_id"),
    ("ce_time", "occurred_at"),
    ("ce_type", "event_name"),
];

/// The envelope of a record, by its headers and its value; of one that is no CloudEvent, its value. Data that
/// is no JSON stays as it is, so that the verdict is that of any such record.
pub fn envelope<'v>(header: impl Fn(&str) -> Option<&'v [u8]>, value: &'v [u8]) -> Cow<'v, [u8]> {
    let data = match value.trim_ascii() {
        b"" => Some("null"),
        _ => serde_json::from_slice::<&RawValue>(value).ok().map(RawValue::get),
    };
    let (Some(_), Some(data)) = (header(SPEC_VERSION_HEADER), data) else {
        return value.into();
    };
    let text = |name: &str| header(name).map(String::from_utf8_lossy);
    let mut envelope = String::with_capacity(value.len() + 512);
    let mut field = |name: &str, value: &str| {
        envelope.push(if envelope.is_empty() { '{' } else { ',' });
        envelope.push_str(&format!("\"{name}\":{value}"));
    };
    for (name, of) in FIELDS {
        if let Some(text) = text(name) {
            field(of, &quoted(&text));
        }
    }
    if let Some(source) = text("ce_source") {
        field("source_module", &quoted(source.rsplit(['/', ':']).next().unwrap_or_default()));
    }
    let version = text(SCHEMA_VERSION).unwrap_or(Cow::Borrowed("1"));
    match version.parse::<u64>() {
        Ok(version) => field("schema_version", &version.to_string()),
        Err(_) => field("schema_version", &quoted(&version)),
    }
    field("properties", data);
    envelope.push('}');
    envelope.into_bytes().into()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(headers: &[(&str, &'static str)], value: &'static str) -> Value {
        let header = |name: &str| {
            let found = headers.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.as_bytes())
        };
        let bytes = envelope(header, value.as_bytes()).into_owned();
        serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8(bytes).unwrap().into())
    }

    const HEADERS: [(&str, &str); 9] = [
        ("ce_specversion", "1.0"),
        ("ce_id", "k\"1"),
        ("ce_source", "/squads/broadcast"),
        ("ce_type", "broadcast.sent"),
        ("ce_time", "2026-11-23T04:31:00.123Z"),
        ("ce_accountid", "a"),
        ("ce_teamid", "t"),
        ("ce_qontakcustomerid", "7"),
        ("content-type", "application/json"),
    ];

    #[test]
    fn attributes_are_fields_and_data_is_properties() {
        let expected = json!({"event_name": "broadcast.sent", "schema_version": 1,
            "source_module": "broadcast", "idempotency_key": "k\"1", "account_id": "a", "team_id": "t",
            "qontak_customer_id": "7", "occurred_at": "2026-11-23T04:31:00.123Z",
            "properties": {"broadcast_id": "b"}});
        assert_eq!(read(&HEADERS, r#"{"broadcast_id":"b"}"#), expected);
        let source = |source: &'static str| {
            read(&[("ce_specversion", "1.0"), ("ce_source", source)], "")["source_module"].clone()
        };
        assert_eq!([source("cdp"), source("urn:squads:cdp"), source("https://x/cdp")], ["cdp"; 3]);
    }

    #[test]
    fn what_is_missing_or_wrong_stays_so() {
        let bare = read(&[("ce_specversion", "1.0")], "");
        assert_eq!(bare, json!({"schema_version": 1, "properties": null}));
        let odd = read(&[("ce_specversion", "1.0"), ("ce_schemaversion", "two")], "[7]");
        assert_eq!(odd, json!({"schema_version": "two", "properties": [7]}));
        assert_eq!(
            read(&HEADERS, "{} ,\"account_id\":\"b\""),
            "{} ,\"account_id\":\"b\"",
            "no JSON"
        );
        assert_eq!(read(&HEADERS[1..], r#"{"x":1}"#), json!({"x": 1}), "no CloudEvent");
    }
}
