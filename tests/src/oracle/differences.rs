//! The files of `cebe eval` against the oracle's rows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::views::{TOKEN, Views};

/// The first differences between `found` (view → JSON lines) and what should be there, in words.
pub fn differences(found: &BTreeMap<String, String>, expected: &Views) -> Vec<String> {
    let mut tokens = Tokens::default();
    let mut wrong = Vec::new();
    for (view, expected) in &expected.rows {
        let Some(text) = found.get(*view) else {
            wrong.push(format!("{view}: no such file"));
            continue;
        };
        let found: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        wrong.extend(view_differences(view, &found, expected, &mut tokens));
    }
    wrong
}

fn view_differences(
    view: &str,
    found: &[Value],
    expected: &[Value],
    tokens: &mut Tokens,
) -> Option<String> {
    let key = |row: &Value| {
        let column = |name: &str| row.get(name).map(Value::to_string).unwrap_or_default();
        KEY.map(column)
    };
    let sorted = |rows: &[Value]| {
        let mut rows = rows.to_vec();
        rows.sort_by_cached_key(key);
        rows
    };
    let (found, expected) = (sorted(found), sorted(expected));
    let mut pairs = found.iter().zip(&expected);
    let unequal = pairs.find(|(found, expected)| !tokens.equal(found, expected));
    match unequal {
        Some((found, expected)) => {
            Some(format!("{view}:\n  found    {found}\n  expected {expected}"))
        }
        None if found.len() > expected.len() => {
            Some(format!("{view}: is too much: {}", found[expected.len()]))
        }
        None if found.len() < expected.len() => {
            Some(format!("{view}: is missing: {}", expected[found.len()]))
        }
        None => None,
    }
}

/// The columns that tell rows of one view apart.
const KEY: [&str; 12] = [
    "logical_time",
    "topic",
    "offset",
    "account_id",
    "reason",
    "customer_ids",
    "segment_id",
    "metric",
    "group_key",
    "qontak_customer_id",
    "customer_id",
    "change",
];

/// Which token stands for which text.
#[derive(Default)]
struct Tokens {
    texts: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
}

impl Tokens {
    /// Whether `found` has the columns of `expected`, and equal tokens for equal texts.
    fn equal(&mut self, found: &Value, expected: &Value) -> bool {
        match (found, expected) {
            (Value::String(token), Value::Object(fields)) if fields.contains_key(TOKEN) => {
                self.stands_for(token, fields[TOKEN].as_str().expect("a text"))
            }
            (Value::Object(found), Value::Object(expected)) => expected
                .iter()
                .all(|(name, value)| found.get(name).is_some_and(|found| self.equal(found, value))),
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            _ => found == expected,
        }
    }

    fn stands_for(&mut self, token: &str, text: &str) -> bool {
        let is = |map: &mut BTreeMap<String, String>, from: &str, to: &str| {
            map.entry(from.to_owned()).or_insert_with(|| to.to_owned()) == to
        };
        is(&mut self.texts, token, text) & is(&mut self.tokens, text, token)
    }
}
