//! JSON, written as it comes.

use cebe_schemas::time::{Millis, format_rfc3339, parse_rfc3339};

/// Appends a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Appends a time: RFC 3339, or epoch milliseconds where RFC 3339 has no year for it.
pub(super) fn time(out: &mut Vec<u8>, ms: Millis) {
    let text = format_rfc3339(ms);
    if parse_rfc3339(&text) == Some(ms) {
        string(out, &text);
    } else {
        out.extend_from_slice(ms.to_string().as_bytes());
    }
}

/// Whether `text` is a JSON value.
pub(super) fn is_value(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// Whether `text` is a JSON number that a double can hold.
pub(super) fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// An array or an object in the making.
pub(super) struct Container {
    end: u8,
    is_empty: bool,
}

impl Container {
    /// Begins an object.
    pub(super) fn object(out: &mut Vec<u8>) -> Container {
        out.push(b'{');
        Container { end: b'}', is_empty: true }
    }

    /// Begins an array.
    pub(super) fn array(out: &mut Vec<u8>) -> Container {
        out.push(b'[');
        Container { end: b']', is_empty: true }
    }

    /// Makes room for an item, which the caller appends.
    pub(super) fn item(&mut self, out: &mut Vec<u8>) {
        if !self.is_empty {
            out.push(b',');
        }
        self.is_empty = false;
    }

    /// Appends a key; the caller appends its value.
    pub(super) fn key(&mut self, out: &mut Vec<u8>, key: &str) {
        self.item(out);
        string(out, key);
        out.push(b':');
    }

    /// Ends it.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        out.push(self.end);
    }
}
