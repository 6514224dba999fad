//! Which values pass: the tests that clauses put attributes and event properties to.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// What a value has to be: all checks hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// In the order given.
    pub checks: Vec<Check>,
}

/// One operator with its operand. Operands are strings, numbers and booleans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// Equal.
    Eq(Value),
    /// Not equal; true of what is absent or of another type.
    Ne(Value),
    /// Equal to one of them.
    In(Vec<Value>),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// There is a value, or there is none.
    Exists(bool),
    /// A string with this part, or an array with this element.
    Contains(Value),
    /// A string that begins with this.
    Prefix(Arc<str>),
}

impl Test {
    /// Whether `value` passes. JSON `null` is no value.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        let value = value.filter(|value| !value.is_null());
        self.checks.iter().all(|check| check.holds(value))
    }
}

impl Check {
    fn holds(&self, value: Option<&Value>) -> bool {
        let is = |operand: &Value, wanted: fn(Ordering) -> bool| {
            value.and_then(|value| compare(value, operand)).is_some_and(wanted)
        };
        match self {
            Check::Eq(operand) => is(operand, Ordering::is_eq),
            Check::Ne(operand) => !is(operand, Ordering::is_eq),
            Check::In(operands) => operands.iter().any(|operand| is(operand, Ordering::is_eq)),
            Check::Gt(operand) => is(operand, Ordering::is_gt),
            Check::Gte(operand) => is(operand, Ordering::is_ge),
            Check::Lt(operand) => is(operand, Ordering::is_lt),
            Check::Lte(operand) => is(operand, Ordering::is_le),
            Check::Exists(wanted) => value.is_some() == *wanted,
            Check::Contains(operand) => value.is_some_and(|value| contains(value, operand)),
            Check::Prefix(prefix) => {
                value.and_then(Value::as_str).is_some_and(|text| text.starts_with(&**prefix))
            }
        }
    }

    /// Its operator and operand, as in a definition.
    pub fn parts(&self) -> (&'static str, Value) {
        match self {
            Check::Eq(operand) => ("eq", operand.clone()),
            Check::Ne(operand) => ("ne", operand.clone()),
            Check::In(operands) => ("in", Value::Array(operands.clone())),
            Check::Gt(operand) => ("gt", operand.clone()),
            Check::Gte(operand) => ("gte", operand.clone()),
            Check::Lt(operand) => ("lt", operand.clone()),
            Check::Lte(operand) => ("lte", operand.clone()),
            Check::Exists(wanted) => ("exists", Value::Bool(*wanted)),
            Check::Contains(operand) => ("contains", operand.clone()),
            Check::Prefix(prefix) => ("prefix", Value::String(prefix.as_ref().to_owned())),
        }
    }

    /// The same check with each text in its operand replaced.
    pub(super) fn with_texts(&self, replace: &mut impl FnMut(&str) -> String) -> Check {
        let mut new = |operand: &Value| match operand {
            Value::String(text) => Value::String(replace(text)),
            other => other.clone(),
        };
        match self {
            Check::Eq(operand) => Check::Eq(new(operand)),
            Check::Ne(operand) => Check::Ne(new(operand)),
            Check::In(operands) => Check::In(operands.iter().map(new).collect()),
            Check::Gt(operand) => Check::Gt(new(operand)),
            Check::Gte(operand) => Check::Gte(new(operand)),
            Check::Lt(operand) => Check::Lt(new(operand)),
            Check::Lte(operand) => Check::Lte(new(operand)),
            Check::Exists(wanted) => Check::Exists(*wanted),
            Check::Contains(operand) => Check::Contains(new(operand)),
            Check::Prefix(prefix) => Check::Prefix(replace(prefix).into()),
        }
    }
}

fn contains(value: &Value, operand: &Value) -> bool {
    match (value, operand) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(items), _) => {
            items.iter().any(|item| compare(item, operand) == Some(Ordering::Equal))
        }
        _ => false,
    }
}

/// The order of two values of one type; none across types, and of arrays and objects.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Number(a), Value::Number(b)) => numbers(a, b),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Exact, also where a double could not hold the integer.
fn numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => integer_and_double(a, b.as_f64()?),
        (None, Some(b)) => integer_and_double(b, a.as_f64()?).map(Ordering::reverse),
        (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn integer_and_double(integer: i128, double: f64) -> Option<Ordering> {
    // The cast saturates far beyond every 64-bit integer.
    let whole = integer.cmp(&(double.trunc() as i128));
    Some(whole.then(0.0.partial_cmp(&double.fract())?))
}

/// One text for equal scalars: `3` and `3.0` are `3`.
pub(super) fn number_text(number: &Number) -> String {
    match (number.as_i128(), number.as_f64()) {
        (None, Some(double)) if double.fract() == 0.0 && double.abs() < 1e20 => {
            (double as i128).to_string()
        }
        _ => number.to_string(),
    }
}
