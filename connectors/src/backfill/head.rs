//! What is read of an event before it is published; the engine reads the rest. Pure.

use std::borrow::Cow;

use cebe_schemas::time::{Millis, parse_rfc3339};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The fields that say whose it is and when it happened.
#[derive(Deserialize)]
pub(super) struct Head<'p> {
    #[serde(borrow, default)]
    account_id: Option<Text<'p>>,
    #[serde(borrow, default)]
    qontak_customer_id: Option<Text<'p>>,
    #[serde(borrow, default)]
    occurred_at: Option<&'p RawValue>,
}

/// Text, or anything else, which is nothing.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'p> {
    Text(#[serde(borrow)] Cow<'p, str>),
    Other(serde::de::IgnoredAny),
}

impl<'p> Head<'p> {
    /// None if the payload is no object.
    pub(super) fn of(payload: &'p [u8]) -> Option<Head<'p>> {
        serde_json::from_slice(payload).ok()
    }

    /// The key of the record, so that the events of one customer stay in order; "" if it names nobody.
    pub(super) fn key(&self) -> String {
        let text = |text: &Option<Text>| match text {
            Some(Text::Text(text)) => text.to_string(),
            _ => String::new(),
        };
        text(&self.account_id) + &text(&self.qontak_customer_id)
    }

    /// None if it does not say so as it should.
    pub(super) fn occurred_at_ms(&self) -> Option<Millis> {
        let raw = self.occurred_at?.get();
        match raw.strip_prefix('"') {
            Some(_) => parse_rfc3339(&serde_json::from_str::<Cow<str>>(raw).ok()?),
            None => raw.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customer_and_time_are_read() {
        for (payload, expected) in [
            (
                r#"{"account_id":"a","qontak_customer_id":"7","occurred_at":5,"x":{"occurred_at":6}}"#,
                ("a7", Some(5)),
            ),
            (r#"{"account_id":"a","occurred_at":"1970-01-01T07:00:00.001+07:00"}"#, ("a", Some(1))),
            (r#"{"account_id":7,"qontak_customer_id":null,"occurred_at":true}"#, ("", None)),
            (r#"{"account_id":"\u0061","occurred_at":1.5}"#, ("a", None)),
            (r#"{"occurred_at":"yesterday"}"#, ("", None)),
            ("{}", ("", None)),
        ] {
            let head = Head::of(payload.as_bytes()).unwrap();
            assert_eq!((&*head.key(), head.occurred_at_ms()), expected, "{payload}");
        }
        for no_object in ["a,b,c", "", "{\"occurred_at\":1"] {
            assert!(Head::of(no_object.as_bytes()).is_none(), "{no_object}");
        }
    }
}
