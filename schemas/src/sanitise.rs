//! The copy of an event's properties that a ClickHouse `JSON` column takes without fail.
//!
//! The column rejects or loses some valid JSON, and one such row fails its whole insert. What is
//! changed here is a convenience only; the truth is the payload.
//!
//! * Keys: `.`, brackets, quotes, back-ticks, back-slashes and control characters become `_`, the
//!   empty key becomes `_`. So no two paths conflict. A key that is then taken gets a hash as suffix.
//! * `null`, `[]` and `{}` are left out, as are objects and arrays in which nothing else is.
//! * An array has one type of scalar. Integers and fractions together are all fractions; any other
//!   mixture, and arrays of objects or arrays, are arrays of strings: strings as they are, the
//!   rest as JSON text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::id::IdKey;
use crate::json::write::{into_text, write_text, write_value};
use crate::json::{Member, Node};

/// The sanitised copy of (masked) properties: the text of a JSON object, keys sorted.
pub(crate) fn properties(members: &[Member]) -> String {
    let mut out = Vec::with_capacity(40 * members.len() + 2);
    object(members, &mut out);
    into_text(out)
}

/// Whether anything is in it.
fn object(members: &[Member], out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    if members.iter().all(|(key, _)| is_plain(key)) {
        for (key, value) in members {
            member(key, out, begin, |out| write(value, out));
        }
    } else {
        for (key, value) in renamed(members) {
            member(&key, out, begin, |out| {
                out.extend_from_slice(&value);
                true
            });
        }
    }
    let is_empty = out.len() == begin;
    if is_empty {
        out.push(b'{');
    }
    out.push(b'}');
    !is_empty
}

/// Appends a member to the object that began at `begin`, unless `write` says that nothing is in it.
fn member(key: &str, out: &mut Vec<u8>, begin: usize, write: impl FnOnce(&mut Vec<u8>) -> bool) {
    let before = out.len();
    out.push(if before == begin { b'{' } else { b',' });
    write_text(key, out);
    out.push(b':');
    if !write(out) {
        out.truncate(before);
    }
}

/// What is left of members of which some have odd keys: their names and values.
fn renamed<'m>(members: &'m [Member]) -> BTreeMap<Cow<'m, str>, Vec<u8>> {
    let mut named = BTreeMap::new();
    let (plain, odd): (Vec<_>, Vec<_>) = members.iter().partition(|(key, _)| is_plain(key));
    // Plain keys first: a changed one never takes the place of one that is meant.
    for (key, value) in plain.into_iter().chain(odd) {
        let mut text = Vec::new();
        if !write(value, &mut text) {
            continue;
        }
        let mut name = clean(key);
        if named.contains_key(&name) {
            let hash = IdKey::new([0; 16]).hash(b'p', &[key.as_bytes()]) as u32;
            name = format!("{name}_{hash:08x}").into();
        }
        named.insert(name, text);
    }
    named
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.contains(is_odd)
}

fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '.' | '[' | ']' | '"' | '\'' | '`' | '\\')
}

fn clean(key: &str) -> Cow<'_, str> {
    match key {
        "" => "_".into(),
        key if is_plain(key) => key.into(),
        key => key.replace(is_odd, "_").into(),
    }
}

/// False: nothing is left of it, and what was appended is to be taken back.
fn write(value: &Node, out: &mut Vec<u8>) -> bool {
    match value {
        Node::Null => return false,
        Node::Object(members) => return object(members, out),
        Node::Array(items) => return array(items, out),
        scalar => scalar.write(out),
    }
    true
}

fn array(items: &[Node], out: &mut Vec<u8>) -> bool {
    let items: Vec<&Node> = items.iter().filter(|item| !matches!(item, Node::Null)).collect();
    let all = |is: fn(&Node) -> bool| items.iter().all(|item| is(item));
    let one_type = all(|item| matches!(item, Node::Bool(_)))
        || all(|item| matches!(item, Node::Text(_)))
        || all(|item| matches!(item, Node::Number(number) if number.is_i64()))
        || all(|item| matches!(item, Node::Number(number) if number.is_u64()))
        || all(|item| matches!(item, Node::Number(number) if number.is_f64()));
    let numbers = all(|item| matches!(item, Node::Number(_)));
    for (at, item) in items.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        match item {
            item if one_type => item.write(out),
            Node::Number(number) if numbers => write_value(&number.as_f64(), out),
            Node::Text(text) => write_text(text, out),
            other => {
                let mut text = Vec::new();
                other.write(&mut text);
                write_text(&into_text(text), out);
            }
        }
    }
    out.push(b']');
    !items.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn check(input: &str, expect: &str) {
        let Node::Object(members) = parse(input.as_bytes()).unwrap() else { panic!("{input}") };
        assert_eq!(properties(&members), expect, "{input}");
    }

    #[test]
    fn paths_never_conflict() {
        check(r#"{"a.b":1,"a":{"b":2}}"#, r#"{"a":{"b":2},"a_b":1}"#);
        check(r#"{"a":1,"a.b":2}"#, r#"{"a":1,"a_b":2}"#);
        check(r#"{"a.b":1,"a_b":2,"a[b":3}"#, r#"{"a_b":2,"a_b_38853f57":3,"a_b_85b3b0ea":1}"#);
        check(r#"{"":1,"x":{"":{"":"deep"}}}"#, r#"{"_":1,"x":{"_":{"_":"deep"}}}"#);
        check("{\"a\\u0000b\\n\":1}", r#"{"a_b_":1}"#);
    }

    #[test]
    fn nothing_is_left_out() {
        check(r#"{"a":null,"b":[],"c":{},"d":{"e":[null]},"f":0}"#, r#"{"f":0}"#);
    }

    #[test]
    fn arrays_have_one_type() {
        check(r#"{"a":[1,2],"b":["x","y"],"c":[true]}"#, r#"{"a":[1,2],"b":["x","y"],"c":[true]}"#);
        check(r#"{"a":[1,2.5]}"#, r#"{"a":[1.0,2.5]}"#);
        check(r#"{"a":[-1,18446744073709551615]}"#, r#"{"a":[-1.0,1.8446744073709552e+19]}"#);
        check(r#"{"a":["x",1,null,true]}"#, r#"{"a":["x","1","true"]}"#);
        check(r#"{"a":[{"b":1},[2]]}"#, r#"{"a":["{\"b\":1}","[2]"]}"#);
    }

    #[test]
    fn long_integers_are_doubles() {
        check(r#"{"a":12345678901234567890123}"#, r#"{"a":1.2345678901234568e+22}"#);
    }

    /// The rules of the column, read off the result: (path, type) of every leaf.
    fn check_paths(map: &Map<String, Value>, depth: usize) {
        assert!(depth <= 5);
        for (key, value) in map {
            assert!(is_plain(key), "{key:?}");
            match value {
                Value::Null => panic!("null at {key}"),
                Value::Object(map) => {
                    assert!(!map.is_empty(), "nothing at {key}");
                    check_paths(map, depth + 1);
                }
                Value::Array(items) => {
                    let kind = |value: &Value| match value {
                        Value::Bool(_) => "bool",
                        Value::String(_) => "text",
                        Value::Number(number) if number.is_f64() => "fraction",
                        // Integers of an array are all signed or all unsigned.
                        Value::Number(_) => "integer",
                        _ => panic!("{value} in an array"),
                    };
                    assert!(!items.is_empty());
                    assert!(items.iter().all(|item| kind(item) == kind(&items[0])), "{items:?}");
                    let signed = items.iter().any(|item| item.as_i64().is_some_and(|n| n < 0));
                    let large = items.iter().any(|item| item.is_u64() && !item.is_i64());
                    assert!(!(signed && large), "{items:?}");
                }
                _ => {}
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,5}".prop_map(Value::String),
        ];
        scalar.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map("[a.\\[\\]_`\u{0}é]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// How many values of the first level the column would keep.
    fn kept(members: &[Member]) -> usize {
        members.iter().filter(|(_, value)| write(value, &mut Vec::new())).count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_properties_fit(
            members in prop::collection::btree_map("[a.\\[\\]_`\u{0}é]{0,3}", values(), 0..8),
        ) {
            let text = Value::Object(members.into_iter().collect()).to_string();
            let Node::Object(members) = parse(text.as_bytes()).unwrap() else { unreachable!() };
            let map: Map<String, Value> = serde_json::from_str(&properties(&members)).unwrap();
            check_paths(&map, 1);
            prop_assert_eq!(map.len(), kept(&members));
            prop_assert_eq!(properties(&members), properties(&members));
        }
    }
}
