//! What the loader has to know of a row: the rest it passes on as bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cebe_schemas::time::Millis;
use cebe_schemas::view::{EVENTS_PREFIX, View};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The partition of a view's topic that a row came from.
pub(crate) type Lane = (View, u32);

/// The place of a row in its lane: (logical time, `seq`). A row that comes twice has it twice.
pub(crate) type Place = (Millis, u32);

/// A landing row: one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its offset in the lane.
    pub(crate) offset: i64,
    /// As it stands on the topic.
    pub(crate) json: Box<[u8]>,
    /// For live events.
    pub(crate) publication: Option<Publication>,
}

/// Where the propagation of a live event is measured from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) source_module: Box<str>,
    pub(crate) published_ms: Millis,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(with = "cebe_schemas::time::rfc3339")]
    logical_time: Millis,
    seq: u32,
    #[serde(default, with = "cebe_schemas::time::rfc3339_option")]
    received_at: Option<Millis>,
    #[serde(borrow)]
    published_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source_module: Option<Cow<'a, str>>,
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
}

/// Reads the place of a row and, of a live event, its publication.
pub(crate) fn read(offset: i64, json: &[u8]) -> Result<(Place, Row), serde_json::Error> {
    let head: Head<'_> = serde_json::from_slice(json)?;
    let publication = head.publication()?;
    Ok(((head.logical_time, head.seq), Row { offset, json: json.into(), publication }))
}

impl Head<'_> {
    fn publication(&self) -> Result<Option<Publication>, serde_json::Error> {
        let (Some(published_at), Some(source_module), Some(topic)) =
            (&self.published_at, &self.source_module, &self.topic)
        else {
            return Ok(None);
        };
        // One that undoing a backfill has brought up was read long ago.
        let is_late = self.received_at.is_some_and(|at| at != self.logical_time);
        if is_late || !topic.contains(EVENTS_PREFIX) {
            return Ok(None);
        }
        let published_at = serde::de::value::CowStrDeserializer::new(published_at.clone());
        Ok(Some(Publication {
            source_module: source_module.as_ref().into(),
            published_ms: cebe_schemas::time::rfc3339::deserialize(published_at)?,
        }))
    }
}

/// The row with its `properties` emptied, everything else byte for byte; none if it has none.
pub(crate) fn without_properties(json: &[u8]) -> Option<Box<[u8]>> {
    let mut row: BTreeMap<Cow<'_, str>, Box<RawValue>> = serde_json::from_slice(json).ok()?;
    let properties = row.get_mut("properties")?;
    *properties = RawValue::from_string("{}".into()).ok()?;
    serde_json::to_vec(&row).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_read() {
        let json = br#"{"x":{"seq":9},"logical_time":"1970-01-01T00:00:01.002Z","seq":7}"#;
        let (place, row) = read(3, json).unwrap();
        assert_eq!(place, (1002, 7));
        assert_eq!(row, Row { offset: 3, json: (*json).into(), publication: None });
    }

    #[test]
    fn only_live_events_have_a_publication() {
        let event = |topic: &str| {
            let json = format!(
                r#"{{"logical_time":"1970-01-01T00:00:01.002Z","seq":7,"source_module":"cdp",
                "published_at":"1970-01-01T00:00:00.500Z","topic":"{topic}"}}"#
            );
            read(0, json.as_bytes()).unwrap().1.publication
        };
        let publication = Publication { source_module: "cdp".into(), published_ms: 500 };
        assert_eq!(event("cebe.events.cdp"), Some(publication));
        assert_eq!(event("cebe.backfill.cdp"), None);
        let late = br#"{"logical_time":"1970-01-01T00:00:01.002Z","seq":7,"source_module":"cdp",
            "received_at":"1970-01-01T00:00:01.001Z","published_at":"1970-01-01T00:00:00.500Z",
            "topic":"cebe.events.cdp"}"#;
        assert_eq!(read(0, late).unwrap().1.publication, None);
    }

    #[test]
    fn row_without_a_place_is_an_error() {
        for json in ["", "{}", "[]", r#"{"seq":1}"#, r#"{"seq":-1,"logical_time":"x"}"#] {
            assert!(read(0, json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn emptying_properties_keeps_the_rest() {
        let json = br#"{"ordinal":18446744073709551615,"payload":"{\"a\":1e999}","properties":{"a":[1]},"n":12345678901234567890123}"#;
        let stripped = without_properties(json).unwrap();
        let text = std::str::from_utf8(&stripped).unwrap();
        assert_eq!(
            text,
            r#"{"n":12345678901234567890123,"ordinal":18446744073709551615,"payload":"{\"a\":1e999}","properties":{}}"#
        );
        assert_eq!(without_properties(br#"{"n":1}"#), None);
        assert_eq!(without_properties(b"{"), None);
    }
}
