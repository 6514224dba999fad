//! One value of a record, and what can be made of it.

use std::borrow::Cow;

use cebe_schemas::time::{Millis, format_rfc3339};
use serde::Deserialize;

use super::json;

/// A value as its file has it. What is null or empty there is no cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'r> {
    /// A text.
    Text(Cow<'r, str>),
    /// A number, a bool, an array or an object, written as JSON.
    Json(Cow<'r, str>),
    /// An instant.
    Time(Millis),
    /// A date and time of day of no zone, as if it were UTC.
    Local(Millis),
}

/// What a value is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A number, with the digits that it has.
    Number,
    /// `true` or `false`.
    Bool,
    /// Whatever JSON it is.
    Json,
}

impl Cell<'_> {
    /// As text; none of an array or an object.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Cell::Text(text) => Some(Cow::Borrowed(text)),
            Cell::Json(json) if json.starts_with(['{', '[']) => None,
            Cell::Json(json) => Some(without_fraction(json)),
            Cell::Time(ms) | Cell::Local(ms) => Some(Cow::Owned(format_rfc3339(*ms))),
        }
    }

    /// Appends it as it is.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Text(text) => json::string(out, text),
            Cell::Json(json) => out.extend_from_slice(json.as_bytes()),
            Cell::Time(ms) | Cell::Local(ms) => json::time(out, *ms),
        }
    }

    /// Appends it as `kind`; what cannot be converted stays the text that it is.
    pub(super) fn write_as(&self, kind: Kind, out: &mut Vec<u8>) {
        let found = match (self, kind) {
            (Cell::Text(text), Kind::Number) => Some(text.trim()).filter(|t| json::is_number(t)),
            (Cell::Text(text) | Cell::Json(text), Kind::Bool) => bool_of(text),
            (Cell::Text(text), Kind::Json) => Some(text.trim()).filter(|t| json::is_value(t)),
            (Cell::Json(json), Kind::Text) => {
                return json::string(out, json);
            }
            _ => None,
        };
        match found {
            Some(json) => out.extend_from_slice(json.as_bytes()),
            None => self.write(out),
        }
    }

    /// Appends it as an integer; what cannot be converted stays what it is.
    pub(super) fn write_integer(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Json(json) => out.extend_from_slice(without_fraction(json).as_bytes()),
            _ => self.write_as(Kind::Number, out),
        }
    }
}

/// As databases and languages write it.
fn bool_of(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some("true"),
        "false" | "f" | "no" | "n" | "0" => Some("false"),
        _ => None,
    }
}

/// Tables with nulls are often saved with integers as doubles: `7.0` is the number 7 of an id or a
/// version.
fn without_fraction(json: &str) -> Cow<'_, str> {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    if !json.contains(['.', 'e', 'E']) {
        return Cow::Borrowed(json);
    }
    match json.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < EXACT_BELOW => {
            Cow::Owned((number as i64).to_string())
        }
        _ => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cell: &Cell, kind: Kind) -> String {
        let mut out = Vec::new();
        cell.write_as(kind, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_become_what_they_say() {
        use Kind::{Bool, Json, Number, Text};
        for (text, kind, expect) in [
            ("a \"b\"", Text, r#""a \"b\"""#),
            ("12", Text, r#""12""#),
            ("12", Number, "12"),
            (" -1.50 ", Number, "-1.50"),
            ("123456789012345678901.5", Number, "123456789012345678901.5"),
            ("1e999", Number, r#""1e999""#),
            ("007", Number, r#""007""#),
            ("1,5", Number, r#""1,5""#),
            ("abc", Number, r#""abc""#),
            ("NaN", Number, r#""NaN""#),
            ("T", Bool, "true"),
            ("no", Bool, "false"),
            ("0", Bool, "false"),
            ("perhaps", Bool, r#""perhaps""#),
            ("[1, {}]", Json, "[1, {}]"),
            (" null", Json, "null"),
            ("{", Json, r#""{""#),
            ("1 2", Json, r#""1 2""#),
        ] {
            assert_eq!(written(&Cell::Text(text.into()), kind), expect, "{text}");
        }
    }

    #[test]
    fn values_stay_what_they_are() {
        use Kind::{Bool, Json, Number, Text};
        for (json, kind, expect) in [
            ("9223372036854775807", Number, "9223372036854775807"),
            ("9223372036854775807", Text, r#""9223372036854775807""#),
            ("[1]", Text, r#""[1]""#),
            ("[1]", Number, "[1]"),
            ("true", Bool, "true"),
            ("1", Bool, "true"),
            ("2", Bool, "2"),
            ("{}", Json, "{}"),
        ] {
            assert_eq!(written(&Cell::Json(json.into()), kind), expect, "{json}");
        }
        assert_eq!(written(&Cell::Time(1), Text), r#""1970-01-01T00:00:00.001Z""#);
        assert_eq!(written(&Cell::Local(1), Number), r#""1970-01-01T00:00:00.001Z""#);
        assert_eq!(written(&Cell::Time(Millis::MAX), Json), "9223372036854775807");
    }

    #[test]
    fn an_id_that_is_a_number_has_no_fraction() {
        for (json, expect) in [
            ("1048576.0", Some("1048576")),
            ("-3e2", Some("-300")),
            ("1.5", Some("1.5")),
            ("1e300", Some("1e300")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("true", Some("true")),
            ("{}", None),
        ] {
            assert_eq!(Cell::Json(json.into()).text().as_deref(), expect);
        }
        let mut out = Vec::new();
        Cell::Json("1.0".into()).write_integer(&mut out);
        Cell::Text(" 2".into()).write_integer(&mut out);
        Cell::Text("x".into()).write_integer(&mut out);
        assert_eq!(out, br#"12"x""#);
    }
}
