//! What a source says that it has emitted in an hour (`cebe.counts`, product §3).

use std::sync::Arc;

use crate::json::{Member, Node, parse};
use crate::time::{Millis, parse_rfc3339};
use crate::verdict::Reason;

/// An hour.
pub const HOUR_MS: Millis = 3_600_000;
/// For so long after its beginning an hour is counted; then its numbers stay as they are.
pub const OPEN_MS: Millis = 31 * 24 * HOUR_MS;

/// As long as the name of a source can be in that of a topic.
const MAX_SOURCE_BYTES: usize = 200;

/// The beginning of the hour of `ms`, in UTC.
pub fn hour_of(ms: Millis) -> Millis {
    ms.saturating_sub(ms.rem_euclid(HOUR_MS))
}

/// The first and the last hour that are counted at `t_ms`. The next one is among them: clocks differ.
pub fn open_hours(t_ms: Millis) -> (Millis, Millis) {
    let now = hour_of(t_ms);
    (now - OPEN_MS + HOUR_MS, now + HOUR_MS)
}

/// A record of `cebe.counts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCount {
    /// The publisher: the suffix of its topic.
    pub source_module: Arc<str>,
    /// The beginning of the hour.
    pub hour_ms: Millis,
    /// How many records it sent whose create time lies in that hour.
    pub emitted: u64,
}

/// A record of `cebe.counts` without effect, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct CountError {
    /// The stable code.
    pub reason: Reason,
    /// JSON pointer of the field; "" for the whole record.
    pub pointer: &'static str,
    /// What is wrong, without any value of the record.
    pub message: &'static str,
}

impl SourceCount {
    /// Reads a record that arrives at `t_ms`. Fields beyond the three are ignored.
    ///
    /// # Errors
    /// Names the first field that is missing or wrong, or says that the hour is not open.
    pub fn read(record: &[u8], t_ms: Millis) -> Result<SourceCount, CountError> {
        let Ok(Node::Object(members)) = parse(record) else {
            return Err(CountError {
                reason: Reason::MalformedJson,
                pointer: "",
                message: "must be one JSON object in UTF-8",
            });
        };
        let source_module = field(&members, "source_module").and_then(source).ok_or_else(|| {
            violation(
                "/source_module",
                "must be the name of a source, as in its topic cebe.events.<source>",
            )
        })?;
        let hour_ms = field(&members, "hour")
            .and_then(time)
            .filter(|ms| hour_of(*ms) == *ms)
            .ok_or_else(|| {
                violation(
                    "/hour",
                    "must be the beginning of an hour in UTC: an RFC 3339 date-time, or integer \
                     epoch milliseconds",
                )
            })?;
        let emitted = field(&members, "emitted").and_then(count).ok_or_else(|| {
            violation("/emitted", "must be an integer, 0 or more: how many records were sent")
        })?;
        let (first, last) = open_hours(t_ms);
        let closed = |reason, message| CountError { reason, pointer: "/hour", message };
        match hour_ms {
            hour if hour > last => Err(closed(Reason::FutureEvent, "has not begun")),
            hour if hour < first => {
                Err(closed(Reason::TooOld, "is closed: counts are taken for 31 days"))
            }
            _ => Ok(SourceCount { source_module, hour_ms, emitted }),
        }
    }
}

fn violation(pointer: &'static str, message: &'static str) -> CountError {
    CountError { reason: Reason::SchemaViolation, pointer, message }
}

fn field<'n, 'a>(members: &'n [Member<'a>], name: &str) -> Option<&'n Node<'a>> {
    members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// What may be the suffix of a topic.
fn source(node: &Node) -> Option<Arc<str>> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    node.as_text()
        .filter(|text| !text.is_empty() && text.len() <= MAX_SOURCE_BYTES)
        .filter(|text| text.bytes().all(is_legal))
        .map(Arc::from)
}

fn time(node: &Node) -> Option<Millis> {
    match node {
        Node::Text(text) => parse_rfc3339(text),
        Node::Number(number) => number.as_i64(),
        _ => None,
    }
}

/// Not more than a difference can tell.
fn count(node: &Node) -> Option<u64> {
    match node {
        Node::Number(number) => number.as_u64().filter(|n| i64::try_from(*n).is_ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T04:31:00Z.
    const T: Millis = 1_795_408_260_000;

    fn read(record: &str) -> Result<(String, Millis, u64), (&'static str, &'static str)> {
        SourceCount::read(record.as_bytes(), T)
            .map(|count| (count.source_module.to_string(), count.hour_ms, count.emitted))
            .map_err(|error| (error.reason.as_str(), error.pointer))
    }

    fn of(hour: &str) -> String {
        format!(r#"{{"source_module": "ads", "hour": {hour}, "emitted": 7, "more": [1]}}"#)
    }

    #[test]
    fn an_hour_is_told_in_either_way() {
        let ads = |hour_ms| Ok(("ads".to_owned(), hour_ms, 7));
        let hour_ms = hour_of(T);
        assert_eq!(read(&of(r#""2026-11-23T04:00:00Z""#)), ads(hour_ms));
        assert_eq!(read(&of(r#""2026-11-23T11:00:00.000+07:00""#)), ads(hour_ms));
        assert_eq!(read(&of(&hour_ms.to_string())), ads(hour_ms));
    }

    #[test]
    fn an_hour_is_open_from_the_one_before_it_for_31_days() {
        let read = |hour_ms: Millis| read(&of(&hour_ms.to_string())).map(|read| read.1);
        let now = hour_of(T);
        assert_eq!(read(now + HOUR_MS), Ok(now + HOUR_MS));
        assert_eq!(read(now + 2 * HOUR_MS), Err(("future_event", "/hour")));
        assert_eq!(read(now - OPEN_MS + HOUR_MS), Ok(now - OPEN_MS + HOUR_MS));
        assert_eq!(read(now - OPEN_MS), Err(("too_old", "/hour")));
        assert_eq!((hour_of(-1), hour_of(i64::MIN)), (-HOUR_MS, i64::MIN));
    }

    #[test]
    fn the_first_wrong_field_is_named() {
        let hour = r#""hour": "2026-11-23T04:00:00Z""#;
        for (record, reason, pointer) in [
            ("7".to_owned(), "malformed_json", ""),
            ("{".to_owned(), "malformed_json", ""),
            ("{}".to_owned(), "schema_violation", "/source_module"),
            (format!(r#"{{"source_module": "", {hour}}}"#), "schema_violation", "/source_module"),
            (
                format!(r#"{{"source_module": "a b", {hour}}}"#),
                "schema_violation",
                "/source_module",
            ),
            (r#"{"source_module": "a"}"#.to_owned(), "schema_violation", "/hour"),
            (of("1795408260000"), "schema_violation", "/hour"),
            (of(r#""2026-11-23T04:00:00""#), "schema_violation", "/hour"),
            (of("1795406400000.0"), "schema_violation", "/hour"),
            (format!(r#"{{"source_module": "a", {hour}}}"#), "schema_violation", "/emitted"),
        ] {
            assert_eq!(read(&record), Err((reason, pointer)), "{record}");
        }
        for emitted in ["-1", "1.5", "\"7\"", "null", "9223372036854775808"] {
            let record = format!(r#"{{"source_module": "a", {hour}, "emitted": {emitted}}}"#);
            assert_eq!(read(&record), Err(("schema_violation", "/emitted")), "{record}");
        }
    }
}
