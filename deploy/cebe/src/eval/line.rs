//! One line of a file of events: what it is, when it arrived, and the record that is judged.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use cebe_schemas::time::{Millis, parse_rfc3339};
use cebe_schemas::verdict::is_readable;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The member that says when a line arrived. It is no part of the event.
const RECEIVED_AT: &str = "received_at";

/// A line that is not blank.
#[derive(Debug, PartialEq)]
pub enum Line<'l> {
    /// Not a JSON object.
    Unreadable(&'l [u8]),
    /// A JSON object.
    Readable {
        /// Its `received_at`, if it has one.
        received_at: Option<Millis>,
        /// What it says.
        content: Content<'l>,
    },
}

/// What a readable line says.
#[derive(Debug, PartialEq)]
pub enum Content<'l> {
    /// A record of the control topic.
    Control(&'l [u8]),
    /// An event.
    Event {
        /// Its `source_module`; "" if that is no non-empty string.
        source: Cow<'l, str>,
        /// The line without its `received_at`, otherwise byte for byte.
        payload: Cow<'l, [u8]>,
    },
}

/// Reads one line.
///
/// # Errors
/// Its `received_at` is no time.
pub fn read(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let Some(members) = members(line).filter(|_| is_readable(line)) else {
        return Ok(Line::Unreadable(line));
    };
    // Of duplicate keys the last wins.
    let value = |name: &str| members.iter().rev().find(|m| m.name == name).map(|m| m.value);
    let received_at = value(RECEIVED_AT).filter(|value| *value != "null").map(time).transpose()?;
    let content = match value("control") {
        Some(record) if value("event_name").is_none() => Content::Control(record.as_bytes()),
        _ => Content::Event {
            source: value("source_module").and_then(text).unwrap_or_default(),
            payload: without(line, &members, RECEIVED_AT),
        },
    };
    Ok(Line::Readable { received_at, content })
}

/// The control record of a line, if it is one.
pub fn control(line: &[u8]) -> Option<&[u8]> {
    // Most lines are not, and to parse them twice would cost as much as all the rest.
    if !std::str::from_utf8(line).is_ok_and(|line| line.contains("\"control\"")) {
        return None;
    }
    match read(line) {
        Ok(Line::Readable { content: Content::Control(record), .. }) => Some(record),
        _ => None,
    }
}

fn time(value: &str) -> Result<Millis, &'static str> {
    let ms = match text(value) {
        Some(text) => parse_rfc3339(&text),
        None => value.parse().ok(),
    };
    ms.filter(|ms| *ms >= 0).ok_or(
        "/received_at must be an RFC 3339 date-time with offset, or integer epoch milliseconds, \
         from 1970 on",
    )
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text>(value).ok().map(|text| text.0)
}

/// The bytes of the object without the members called `name`, and without one comma for each.
fn without<'l>(line: &'l [u8], members: &[Member], name: &str) -> Cow<'l, [u8]> {
    if members.iter().all(|member| member.name != name) {
        return Cow::Borrowed(line);
    }
    let (Some(first), Some(last)) = (members.first(), members.last()) else {
        return Cow::Borrowed(line);
    };
    let mut kept = line[..first.place.start].to_vec();
    let mut is_first = true;
    for (at, member) in members.iter().enumerate().filter(|(_, member)| member.name != name) {
        // The comma before it, and the white space around that.
        if let Some(before) = at.checked_sub(1).filter(|_| !is_first) {
            kept.extend_from_slice(&line[members[before].place.end..member.place.start]);
        }
        kept.extend_from_slice(&line[member.place.clone()]);
        is_first = false;
    }
    kept.extend_from_slice(&line[last.place.end..]);
    Cow::Owned(kept)
}

/// A member of the object, and its bytes from the key's first to the value's last.
struct Member<'l> {
    name: Cow<'l, str>,
    value: &'l str,
    place: Range<usize>,
}

fn members(line: &[u8]) -> Option<Vec<Member<'_>>> {
    let text = std::str::from_utf8(line).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let raw = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok()?;
    let start = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    let member = |(key, value): (&'_ str, &'_ str)| start(key)..start(value) + value.len();
    raw.into_iter()
        .map(|(key, value)| {
            let name = serde_json::from_str::<Text>(key).ok()?.0;
            Some(Member { name, value, place: member((key, value)) })
        })
        .collect()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de str, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            members.push((key.get(), value.get()));
        }
        Ok(members)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(line: &str) -> String {
        match read(line.as_bytes()) {
            Ok(Line::Readable { content: Content::Event { payload, .. }, .. }) => {
                String::from_utf8(payload.into_owned()).unwrap()
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn received_at_is_cut_out_with_one_comma() {
        for (line, kept) in [
            (r#"{"received_at":1,"a": 2 , "b":3}"#, r#"{"a": 2 , "b":3}"#),
            (
                r#"{ "a":2, "received_at" : "1970-01-01T00:00:00Z" , "b":3 }"#,
                r#"{ "a":2 , "b":3 }"#,
            ),
            (r#"{"a":2,"received_at":1}"#, r#"{"a":2}"#),
            (r#"{"received_at":1}"#, "{}"),
            (r#"{"received_at":1,"a":2,"received_at":3}"#, r#"{"a":2}"#),
            (r#"{"received_\u0061t":1,"a":"é\n"}"#, r#"{"a":"é\n"}"#),
            (r#"{"a":{"received_at":1}}"#, r#"{"a":{"received_at":1}}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
        ] {
            assert_eq!(payload(line), kept);
        }
    }

    fn arrival(value: &str) -> Result<Option<Millis>, &'static str> {
        let line = format!(r#"{{"received_at":{value}}}"#);
        read(line.as_bytes()).map(|line| match line {
            Line::Readable { received_at, .. } => received_at,
            Line::Unreadable(_) => panic!("{line:?}"),
        })
    }

    #[test]
    fn an_arrival_is_written_as_occurred_at_is() {
        assert_eq!(arrival("1795408260123"), Ok(Some(1_795_408_260_123)));
        assert_eq!(arrival(r#""2026-11-23T11:31:00.123+07:00""#), Ok(Some(1_795_408_260_123)));
        assert_eq!(arrival("null"), Ok(None));
        for wrong in ["1.5", "true", "[]", r#""now""#, "-1", r#""1969-12-31T23:59:59Z""#] {
            assert!(arrival(wrong).unwrap_err().contains("/received_at"), "{wrong}");
        }
    }

    #[test]
    fn what_is_malformed_is_unreadable() {
        for line in ["{", "[1]", "7", r#"{"a":NaN}"#, r#"{"a":1e999}"#, r#"{"a":1} x"#, "{'a':1}"] {
            assert_eq!(read(line.as_bytes()), Ok(Line::Unreadable(line.as_bytes())), "{line}");
        }
        assert_eq!(read(b"{\"a\":\"\xff\"}"), Ok(Line::Unreadable(b"{\"a\":\"\xff\"}")));
    }

    #[test]
    fn the_source_is_a_non_empty_string_or_none() {
        for (line, expect) in [
            (r#"{"source_module":"c\u0064p"}"#, "cdp"),
            (r#"{"source_module":7}"#, ""),
            (r#"{"source_module":""}"#, ""),
            (r#"{"x":1}"#, ""),
        ] {
            let Ok(Line::Readable { content: Content::Event { source, .. }, .. }) =
                read(line.as_bytes())
            else {
                panic!("{line}")
            };
            assert_eq!(source, expect, "{line}");
        }
    }

    #[test]
    fn a_control_line_is_no_event() {
        let line = br#"{"control": {"sources": {}}, "received_at": 5}"#;
        let control = Content::Control(br#"{"sources": {}}"#);
        assert_eq!(read(line), Ok(Line::Readable { received_at: Some(5), content: control }));
        let event = payload(r#"{"event_name":"x","control":1}"#);
        assert_eq!(event, r#"{"event_name":"x","control":1}"#);
    }
}
