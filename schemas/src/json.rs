//! The borrowed parse of one record: strings point into the record where they can.
//!
//! Stricter than `serde_json::Value` where product §9.1 is: of duplicate keys the last wins,
//! whatever their depth, and a number beyond a double is malformed wherever it stands.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

pub(crate) mod write;

/// Containers nested deeper than this are kept as one opaque text, so that nothing that walks a
/// record can exhaust the stack. Far beyond what `properties` may have.
const MAX_DEPTH: usize = 32;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<Member<'a>>),
    /// A container below [`MAX_DEPTH`], as it was written.
    Deep(&'a str),
}

/// A key and its value. The members of an object are sorted by key, and each key is there once.
pub(crate) type Member<'a> = (Cow<'a, str>, Node<'a>);

/// Where a record stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Parses one record.
pub(crate) fn parse(record: &[u8]) -> Result<Node<'_>, Malformed> {
    let text = std::str::from_utf8(record)
        .map_err(|e| Malformed { line: 1, column: e.valid_up_to() + 1 })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    NodeSeed { depth: 1 }
        .deserialize(&mut deserializer)
        .and_then(|node| deserializer.end().map(|()| node))
        .map_err(|e| Malformed { line: e.line(), column: e.column() })
}

impl<'a> Node<'a> {
    /// What counts as absent (product §9.1).
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Node::Null) || matches!(self, Node::Array(items) if items.is_empty())
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Levels of containers, this one included; 0 for a scalar.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Node::Array(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Node::Object(members) => {
                1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
            Node::Deep(_) => 1,
            _ => 0,
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(number) => Value::Number(number.clone()),
            Node::Text(text) => Value::String(text.as_ref().to_owned()),
            Node::Array(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Node::Object(members) => Value::Object(to_map(members)),
            Node::Deep(raw) => Value::String((*raw).to_owned()),
        }
    }
}

fn to_map(members: &[Member]) -> Map<String, Value> {
    members.iter().map(|(key, value)| (key.as_ref().to_owned(), value.to_value())).collect()
}

/// The value of `key` among sorted `members`.
pub(crate) fn find<'n, 'a>(members: &'n [Member<'a>], key: &str) -> Option<&'n Node<'a>> {
    let at = members.binary_search_by(|(held, _)| held.as_ref().cmp(key)).ok()?;
    Some(&members[at].1)
}

/// Sorts members by key; of equal keys the last stays.
pub(crate) fn normalise_members(members: &mut Vec<Member>) {
    if members.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return;
    }
    // The sort is stable, so among equal keys the last written is last.
    members.sort_by(|a, b| a.0.cmp(&b.0));
    members.dedup_by(|later, kept| {
        let equal = later.0 == kept.0;
        if equal {
            std::mem::swap(later, kept);
        }
        equal
    });
}

struct NodeSeed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for NodeSeed {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        if self.depth <= MAX_DEPTH {
            return deserializer.deserialize_any(NodeVisitor { depth: self.depth });
        }
        let raw = <&'de RawValue as de::Deserialize>::deserialize(deserializer)?.get();
        if !raw.starts_with(['{', '[']) {
            return serde_json::from_str::<Scalar>(raw)
                .map(|scalar| scalar.0)
                .map_err(de::Error::custom);
        }
        match numbers_are_doubles(raw) {
            true => Ok(Node::Deep(raw)),
            false => Err(de::Error::custom("number out of range")),
        }
    }
}

/// A value that is no container.
struct Scalar<'a>(Node<'a>);

impl<'de: 'a, 'a> de::Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar<'a>, D::Error> {
        deserializer.deserialize_any(NodeVisitor { depth: MAX_DEPTH }).map(Scalar)
    }
}

/// Whether every number in well-formed JSON text fits a double.
fn numbers_are_doubles(raw: &str) -> bool {
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'"' => after_string(tail),
            b'-' | b'0'..=b'9' => {
                let in_number =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let len = rest.iter().take_while(|byte| in_number(byte)).count();
                let (number, tail) = rest.split_at(len);
                let number = std::str::from_utf8(number).ok().and_then(|n| n.parse::<f64>().ok());
                if !number.is_some_and(f64::is_finite) {
                    return false;
                }
                tail
            }
            _ => tail,
        };
    }
    true
}

/// What follows the closing quote.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'"' => return tail,
            b'\\' => tail.get(1..).unwrap_or_default(),
            _ => tail,
        };
    }
    rest
}

struct NodeVisitor {
    depth: usize,
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node<'de>, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Node::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(NodeSeed { depth: self.depth + 1 })? {
            items.push(item);
        }
        Ok(Node::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        // An envelope has ten fields, properties are few.
        let mut members = Vec::with_capacity(if self.depth == 1 { 12 } else { 4 });
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let value = map.next_value_seed(NodeSeed { depth: self.depth + 1 })?;
            members.push((key, value));
        }
        normalise_members(&mut members);
        Ok(Node::Object(members))
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(record: &str, expect: Option<&str>) {
        let found = parse(record.as_bytes()).ok().map(|node| {
            let mut out = Vec::new();
            node.write(&mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(found.as_deref(), expect, "{record}");
    }

    #[test]
    fn the_last_of_duplicate_keys_wins() {
        check(r#"{"b":1,"a":2,"b":3,"a":null}"#, Some(r#"{"a":null,"b":3}"#));
        check(r#"{"x":{"a":1,"\u0061":2}}"#, Some(r#"{"x":{"a":2}}"#));
        let many: Vec<String> = (0..10_000).map(|n| format!("\"k{}\":{n}", n % 3)).collect();
        check(&format!("{{{}}}", many.join(",")), Some(r#"{"k0":9999,"k1":9997,"k2":9998}"#));
    }

    #[test]
    fn numbers_are_64_bit_integers_or_doubles() {
        check(
            "[18446744073709551615,-9223372036854775808]",
            Some("[18446744073709551615,-9223372036854775808]"),
        );
        check("12345678901234567890123", Some("1.2345678901234568e+22"));
        check("[1e308]", Some("[1e+308]"));
        for number in ["1e309", "-1e400", "NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5"] {
            check(number, None);
            check(&format!("{{\"a\":[{number}]}}"), None);
        }
        check(&"9".repeat(400), None);
    }

    #[test]
    fn deep_values_are_opaque_but_well_formed() {
        let nested =
            |depth: usize, leaf: &str| format!("{}{leaf}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(30_000, "1").as_bytes()).is_ok());
        check(&nested(32, "\"a\""), Some(&nested(32, "\"a\"")));
        check(&nested(33, "1"), Some(&nested(32, "\"[1]\"")));
        check(&nested(200, "1e400"), None);
        check(
            &nested(200, "\"1e400 \\\" 1e400\""),
            Some(&nested(
                32,
                &serde_json::to_string(&nested(168, "\"1e400 \\\" 1e400\"")).unwrap(),
            )),
        );
        check(&nested(200, "x"), None);
        assert_eq!(parse(nested(200, "1").as_bytes()).unwrap().depth(), 33);
    }

    #[test]
    fn not_json() {
        for record in
            ["", " ", "{", "{}x", "{\"a\":}", "{'a':1}", "\u{feff}{}", "\"\\ud800\"", "// {}"]
        {
            check(record, None);
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(b"{\"a\":\"\xc3\"}").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}:,\"a0-9.eE \\-]{0,30}") {
            let expect = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(parse(text.as_bytes()).ok().map(|node| node.to_value()), expect);
        }
    }
}
