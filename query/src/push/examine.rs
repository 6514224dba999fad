//! The verdict on an event before it is published, so that its sender is told at once what the engine
//! would reject. Nothing is decided for good here: the engine judges again, and alone knows duplicates.

use std::borrow::Cow;
use std::sync::Arc;

use cebe_schemas::control::ControlState;
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::{Judge, ValidEvent, Verdict};
use serde::Deserialize;
use serde_json::Value;

use super::{Outgoing, hint};
use crate::principal::Principal;

/// An event that may be published.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) account_id: Arc<str>,
    pub(crate) outgoing: Outgoing,
}

/// An event that may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its place in the request.
    pub(crate) index: usize,
    /// Its idempotency key, where it can be read.
    pub(crate) key: Option<String>,
    /// The code of the contract, or `forbidden`.
    pub(crate) reason: &'static str,
    /// JSON pointer of the field; "" for the whole event.
    pub(crate) pointer: String,
    pub(crate) message: String,
    /// What may have been meant.
    pub(crate) hint: Option<String>,
}

/// Examines one event of `who`, under the settings of `control`.
pub(crate) fn examine(
    judge: &Judge,
    payload: Vec<u8>,
    who: &Principal,
    control: &ControlState,
    now_ms: Millis,
) -> Result<Good, Box<Failure>> {
    let source = source_of(&payload);
    match judge.judge(&source, &payload, control, now_ms) {
        Verdict::Valid(event) => {
            allowed(&event, who).map_err(|failure| {
                Box::new(Failure { key: Some(event.idempotency_key.to_string()), ..failure })
            })?;
            let key = partition_key(&event, &judge.keys);
            let source_module = event.source_module.clone();
            let outgoing = Outgoing { source_module, key, payload, created_ms: now_ms };
            Ok(Good { account_id: event.account_id.clone(), outgoing })
        }
        Verdict::Rejected(rejection) => {
            let event: Value = serde_json::from_slice(&payload).unwrap_or_default();
            let key = event["idempotency_key"].as_str().map(str::to_owned);
            let hint = hint::hint(&judge.catalogue, &event, &rejection);
            Err(Box::new(Failure {
                index: 0,
                key,
                reason: rejection.reason.as_str(),
                pointer: rejection.pointer,
                message: rejection.message,
                hint,
            }))
        }
        // Every source is on in `control`.
        Verdict::Skipped => Err(Box::new(Failure { reason: "skipped", ..Failure::default() })),
    }
}

/// Its `source_module`; "" if that is no string.
fn source_of(payload: &[u8]) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, default)]
        source_module: Option<Cow<'a, str>>,
    }
    let borrowed = serde_json::from_slice::<Head>(payload).ok().and_then(|head| head.source_module);
    // Of a field that stands there twice the last counts, and only the slow way knows it.
    borrowed.unwrap_or_else(|| {
        let event: Value = serde_json::from_slice(payload).unwrap_or_default();
        event["source_module"].as_str().unwrap_or_default().to_owned().into()
    })
}

fn allowed(event: &ValidEvent, who: &Principal) -> Result<(), Failure> {
    let forbidden = |pointer: &str, message: String| Failure {
        reason: "forbidden",
        pointer: pointer.to_owned(),
        message,
        ..Failure::default()
    };
    if !who.sees(&event.account_id) {
        let message = format!("key {} does not publish for this account", who.id);
        return Err(forbidden("/account_id", message));
    }
    if !who.speaks_for(&event.source_module) {
        let message = format!("key {} does not publish for this source", who.id);
        return Err(forbidden("/source_module", message));
    }
    Ok(())
}

/// One customer's events stay in order; those of nobody yet are ordered by an identifier.
fn partition_key(event: &ValidEvent, keys: &Keys) -> String {
    let account = &event.account_id;
    match (&event.qontak_customer_id, event.identifiers.first()) {
        (Some(customer), _) => format!("{account}{customer}"),
        (None, Some(identifier)) => format!("{account}{}", keys.render(identifier.token)),
        (None, None) => account.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use cebe_schemas::catalogue::Catalogue;
    use cebe_schemas::control::Ingestion;
    use serde_json::json;

    use super::*;
    use crate::principal::KeyRing;

    const NOW_MS: Millis = 1_790_000_000_000;

    fn judge() -> Judge {
        let catalogue = Catalogue::shipped().unwrap();
        Judge { catalogue: catalogue.into(), keys: Keys::development().into() }
    }

    fn take(event: &str) -> Result<Good, Box<Failure>> {
        let control = ControlState::with_unlisted(Ingestion::On);
        let anybody = KeyRing::default().find(None).unwrap();
        examine(&judge(), event.into(), &anybody, &control, NOW_MS)
    }

    fn sent() -> Value {
        json!({"event_name": "broadcast.sent", "schema_version": 1, "source_module": "broadcast",
            "idempotency_key": "k1", "account_id": "a", "qontak_customer_id": "7",
            "occurred_at": NOW_MS, "properties": {"broadcast_id": "b"}})
    }

    #[test]
    fn a_good_event_goes_out_as_it_came() {
        let text = sent().to_string();
        let good = take(&text).unwrap();
        assert_eq!(good.outgoing.payload, text.as_bytes());
        assert_eq!((&*good.outgoing.source_module, &*good.outgoing.key), ("broadcast", "a7"));
        let mut nobody = sent();
        nobody["qontak_customer_id"] = Value::Null;
        nobody["identifiers"] = json!([{"type": "phone", "value": "0812-3456-7890"}]);
        let key = take(&nobody.to_string()).unwrap().outgoing.key;
        assert!(key.starts_with('a') && key.len() > 30 && !key.contains("81234"), "{key}");
    }

    #[test]
    fn a_bad_event_is_told_by_key_field_and_reason() {
        let mut lacking = sent();
        lacking["properties"] = json!({"broadcastId": "b"});
        let failure = take(&lacking.to_string()).unwrap_err();
        assert_eq!(failure.key.as_deref(), Some("k1"));
        assert_eq!(
            (failure.reason, &*failure.pointer),
            ("schema_violation", "/properties/broadcast_id")
        );
        assert!(failure.hint.unwrap().contains("broadcast_id"));
        for (event, reason) in
            [("7", "malformed_json"), ("{", "malformed_json"), ("{}", "schema_violation")]
        {
            assert_eq!(take(event).unwrap_err().reason, reason, "{event}");
        }
        let deep = "[".repeat(60_000);
        assert_eq!(take(&deep).unwrap_err().reason, "malformed_json");
        assert_eq!(
            take(&format!("{{\"a\":\"{}\"}}", "x".repeat(70_000))).unwrap_err().reason,
            "oversized"
        );
    }

    #[test]
    fn of_two_sources_the_last_counts() {
        let text = sent().to_string();
        let twice = text.replacen('{', r#"{"source_module":"ads","#, 1);
        assert_eq!(&*take(&twice).unwrap().outgoing.source_module, "broadcast");
    }

    #[test]
    fn a_key_publishes_for_its_own_only() {
        let hash = blake3::hash(b"s").to_hex();
        let entry = |more: &str| {
            let text = format!(
                "[[keys]]\nid = \"k\"\nsecret_blake3 = \"{hash}\"\nscopes = [\"push\"]\n{more}"
            );
            KeyRing::parse(&text).unwrap().find(Some("k.s")).unwrap()
        };
        let control = ControlState::with_unlisted(Ingestion::On);
        let text = sent().to_string();
        for (more, pointer) in [
            ("account_id = \"b\"", Some("/account_id")),
            ("sources = [\"ads\"]", Some("/source_module")),
            ("account_id = \"a\"\nsources = [\"broadcast\"]", None),
        ] {
            let found = examine(&judge(), text.clone().into(), &entry(more), &control, NOW_MS);
            assert_eq!(found.err().map(|failure| failure.pointer).as_deref(), pointer, "{more}");
        }
    }
}
