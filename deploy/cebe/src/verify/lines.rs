//! Two sorted lists of rows, compared by key. Pure.

use std::cmp::Ordering;

use anyhow::Context;
use serde_json::Value;

use super::Comparison;

/// Compares `expected` with `found`, both JSON objects sorted by the columns `key`.
///
/// # Errors
/// A side cannot be read.
pub fn compare(
    comparison: &mut Comparison,
    key: &[&str],
    expected: &mut dyn FnMut() -> anyhow::Result<Option<Value>>,
    found: &mut dyn FnMut() -> anyhow::Result<Option<Value>>,
) -> anyhow::Result<()> {
    let (mut left, mut right) = (expected()?, found()?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => by_key(key, left, right)?,
        };
        comparison.rows += 1;
        let text = |side: &Option<Value>| side.as_ref().map(Value::to_string);
        match order {
            Ordering::Less => comparison.differs(text(&left), None),
            Ordering::Greater => comparison.differs(None, text(&right)),
            Ordering::Equal => {
                let same = left.as_ref().zip(right.as_ref()).is_some_and(|(a, b)| equal(a, b));
                if !same {
                    comparison.differs(text(&left), text(&right));
                }
            }
        }
        if order != Ordering::Greater {
            left = expected()?;
        }
        if order != Ordering::Less {
            right = found()?;
        }
    }
}

fn by_key(key: &[&str], left: &Value, right: &Value) -> anyhow::Result<Ordering> {
    for column in key {
        let order = in_order(&left[column], &right[column])
            .with_context(|| format!("column {column}: {left} and {right} have no order"))?;
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

fn in_order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Number(a), Value::Number(b)) => Some(a.as_i64()?.cmp(&b.as_i64()?)),
        (Value::Array(a), Value::Array(b)) => {
            let text = |list: &[Value]| -> Option<Vec<String>> {
                list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
            };
            Some(text(a)?.cmp(&text(b)?))
        }
        _ => None,
    }
}

/// Equal, where `1` and `1.0` are the same number.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Difference;
    use super::*;
    use serde_json::json;

    fn check(expected: Value, found: Value) -> Comparison {
        let mut comparison = Comparison::of("x");
        let side = |list: Value| list.as_array().unwrap().clone().into_iter();
        let (mut left, mut right) = (side(expected), side(found));
        let (left, right) = (&mut || Ok(left.next()), &mut || Ok(right.next()));
        compare(&mut comparison, &["k"], left, right).unwrap();
        comparison
    }

    #[test]
    fn equal_rows_are_equal_however_numbers_are_written() {
        let rows = json!([{"k": "a", "v": 1.0}, {"k": "b", "v": {"w": [null, 0.1]}}]);
        let same = json!([{"k": "a", "v": 1}, {"k": "b", "v": {"w": [null, 0.1]}}]);
        let comparison = check(rows, same);
        assert_eq!((comparison.rows, comparison.differences), (2, 0));
    }

    #[test]
    fn what_is_missing_too_much_or_other_is_a_difference() {
        let rows = || json!([{"k": "a", "v": 1}, {"k": "c", "v": 1}]);
        for (found, expected_row, found_row) in [
            (json!([{"k": "c", "v": 1}]), Some(r#"{"k":"a","v":1}"#), None),
            (json!([{"k": "a", "v": 1}]), Some(r#"{"k":"c","v":1}"#), None),
            (
                json!([{"k": "a", "v": 1}, {"k": "b"}, {"k": "c", "v": 1}]),
                None,
                Some(r#"{"k":"b"}"#),
            ),
            (
                json!([{"k": "a", "v": 1}, {"k": "a", "v": 1}, {"k": "c", "v": 1}]),
                None,
                Some(r#"{"k":"a","v":1}"#),
            ),
            (
                json!([{"k": "a", "v": "1"}, {"k": "c", "v": 1}]),
                Some(r#"{"k":"a","v":1}"#),
                Some(r#"{"k":"a","v":"1"}"#),
            ),
        ] {
            let comparison = check(rows(), found);
            let text = |row: Option<&str>| row.map(str::to_owned);
            let first = Difference { expected: text(expected_row), found: text(found_row) };
            assert_eq!((comparison.differences, comparison.first), (1, Some(first)));
        }
    }
}
