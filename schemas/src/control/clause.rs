//! Clauses, as given.

use std::sync::Arc;

use serde_json::Value;

use super::ControlError;
use super::field::{Field, Object};
use crate::definition::{Check, Clause, Did, Filter, Grouping, Selector, Test, Then};

/// Deeper nesting is refused: nothing that walks a clause may exhaust the stack.
const MAX_DEPTH: usize = 16;
/// More clauses in one definition are refused: a bound on what every customer is judged by.
const MAX_CLAUSES: usize = 500;
const MAX_FILTERS: usize = 20;
const MAX_OPERANDS: usize = 1000;
const MAX_OPERAND_BYTES: usize = 1024;

const KINDS: [&str; 6] = ["all", "any", "not", "attribute", "did", "in_segment"];
const OPERATORS: [&str; 10] =
    ["eq", "ne", "in", "gt", "gte", "lt", "lte", "exists", "contains", "prefix"];
const DID: [&str; 10] = [
    "at_least",
    "at_most",
    "exactly",
    "within",
    "where",
    "then",
    "then_not",
    "then_where",
    "same",
    "recent",
];
/// Stored as tokens, which are good for equality and nothing else.
const PERSONAL: [&str; 3] = ["phone", "email", "name"];
const PERSONAL_OPERATORS: [&str; 3] = ["eq", "in", "exists"];

/// The clause at `field`.
pub(super) fn clause(field: &Field) -> Result<Clause, ControlError> {
    let mut left = MAX_CLAUSES;
    nested(field, MAX_DEPTH, &mut left)
}

fn nested(field: &Field, depth: usize, left: &mut usize) -> Result<Clause, ControlError> {
    if depth == 0 {
        return Err(field.wrong(format!("is nested deeper than {MAX_DEPTH}: use fewer levels")));
    }
    *left = left.checked_sub(1).ok_or_else(|| {
        field.wrong(format!("is one clause too many: a definition has at most {MAX_CLAUSES}"))
    })?;
    let all = |field: &Field, left: &mut usize| -> Result<Vec<Clause>, ControlError> {
        field.items()?.map(|item| nested(&item, depth - 1, left)).collect()
    };
    Ok(match kind(field)? {
        "all" => Clause::All(all(&field.object(&["all"])?.required("all")?, left)?),
        "any" => Clause::Any(all(&field.object(&["any"])?.required("any")?, left)?),
        "not" => {
            let inner = field.object(&["not"])?.required("not")?;
            Clause::Not(Box::new(nested(&inner, depth - 1, left)?))
        }
        "in_segment" => {
            let segment_id = field.object(&["in_segment"])?.required("in_segment")?.id()?.into();
            Clause::InSegment { segment_id, defined: None }
        }
        "attribute" => {
            let (name, test) = tested(field, "attribute")?;
            Clause::Attribute { name, test }
        }
        _ => Clause::Did(did(&field.object(&[&["did"][..], &DID].concat())?)?),
    })
}

/// Which kind of clause it is, by the field that only this kind has.
fn kind(field: &Field) -> Result<&'static str, ControlError> {
    let known = field.object(&[&KINDS[..], &OPERATORS, &DID].concat())?;
    let given = |names: &[&str]| known.fields.keys().any(|key| names.contains(&key.as_str()));
    let mut kinds = KINDS.into_iter().filter(|kind| given(&[kind]));
    let Some(kind) = kinds.next() else {
        return Err(match (given(&DID), given(&OPERATORS)) {
            (true, _) => known.missing("did"),
            (_, true) => known.missing("attribute"),
            _ => field.wrong(format!("must have one of {}", KINDS.join(", "))),
        });
    };
    match kinds.next().and_then(|other| known.fields.get(other).map(|_| other)) {
        Some(other) => Err(known.wrong(other, format!("cannot stand beside `{kind}`: use `all`"))),
        None => Ok(kind),
    }
}

/// The name at `what`, and what is asked of its value.
fn tested(field: &Field, what: &str) -> Result<(Arc<str>, Test), ControlError> {
    let object = field.object(&[&[what][..], &OPERATORS].concat())?;
    let name = object.required(what)?.property()?;
    let personal = what == "attribute" && PERSONAL.contains(&&*name);
    let mut checks = Vec::new();
    for (operator, operand) in field.fields()?.filter(|(key, _)| *key != what) {
        if personal && !PERSONAL_OPERATORS.contains(&operator) {
            let allowed = PERSONAL_OPERATORS.join(", ");
            return Err(operand.wrong(format!("`{name}` is stored as a token: use {allowed}")));
        }
        checks.push(check(operator, &operand)?);
    }
    match checks.is_empty() {
        true => Err(field.wrong(format!("must have one of {}", OPERATORS.join(", ")))),
        false => Ok((name, Test { checks })),
    }
}

fn check(operator: &str, operand: &Field) -> Result<Check, ControlError> {
    Ok(match operator {
        "eq" => Check::Eq(scalar(operand)?),
        "ne" => Check::Ne(scalar(operand)?),
        "gt" => Check::Gt(scalar(operand)?),
        "gte" => Check::Gte(scalar(operand)?),
        "lt" => Check::Lt(scalar(operand)?),
        "lte" => Check::Lte(scalar(operand)?),
        "contains" => Check::Contains(scalar(operand)?),
        "in" => {
            let operands =
                operand.items()?.map(|item| scalar(&item)).collect::<Result<Vec<_>, _>>()?;
            if operands.len() > MAX_OPERANDS {
                return Err(operand.wrong(format!("must have at most {MAX_OPERANDS} values")));
            }
            Check::In(operands)
        }
        "prefix" => match scalar(operand)? {
            Value::String(text) => Check::Prefix(text.into()),
            _ => return Err(operand.wrong("must be a string")),
        },
        "exists" => match operand.value {
            Value::Bool(wanted) => Check::Exists(*wanted),
            _ => return Err(operand.wrong("must be true or false")),
        },
        _ => return Err(operand.unknown()),
    })
}

fn scalar(field: &Field) -> Result<Value, ControlError> {
    match field.value {
        Value::String(text) if text.len() > MAX_OPERAND_BYTES => {
            Err(field.wrong(format!("must have at most {MAX_OPERAND_BYTES} bytes")))
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(field.value.clone()),
        Value::Null => Err(field.wrong("must not be null: use exists")),
        _ => Err(field.wrong("must be a string, a number, true or false")),
    }
}

/// The filters at `name`; none if it is absent.
pub(super) fn filters(object: &Object, name: &str) -> Result<Vec<Filter>, ControlError> {
    let Some(field) = object.optional(name) else { return Ok(Vec::new()) };
    let filter =
        |item: Field| tested(&item, "property").map(|(property, test)| Filter { property, test });
    let filters: Vec<_> = field.items()?.map(filter).collect::<Result<_, _>>()?;
    match filters.len() > MAX_FILTERS {
        true => Err(field.wrong(format!("must have at most {MAX_FILTERS} entries"))),
        false => Ok(filters),
    }
}

fn did(object: &Object) -> Result<Did, ControlError> {
    let (at_least, at_most) = counts(object)?;
    let within_ms = object.optional("within").map(|within| within.duration()).transpose()?;
    let recent_ms = object.optional("recent").map(|recent| recent.duration()).transpose()?;
    let same = object.optional("same").map(|same| same.property()).transpose()?;
    let selector = |event: &Field, filter: &str| -> Result<Selector, ControlError> {
        let grouping = same.clone().map(Grouping::Same);
        Ok(Selector::new(event.id()?.into(), filters(object, filter)?, grouping))
    };
    let event = selector(&object.required("did")?, "where")?;
    let (next, is_missing) = match (object.optional("then"), object.optional("then_not")) {
        (Some(_), Some(not)) => return Err(not.wrong("cannot stand beside `then`")),
        (Some(next), None) => (next, false),
        (None, Some(next)) => (next, true),
        (None, None) => {
            return match object.first(&["then_where", "same", "recent"]) {
                Some(field) => Err(field.wrong("goes with `then` or `then_not` only")),
                None => Ok(Did { event, at_least, at_most, within_ms, then: None }),
            };
        }
    };
    if is_missing {
        object.required("within")?;
    }
    let next = selector(&next, "then_where")?;
    let then = Then { event: next, within_ms, same_group: same.is_some(), is_missing };
    Ok(Did { event, at_least, at_most, within_ms: recent_ms, then: Some(then) })
}

/// The least and the greatest number.
fn counts(object: &Object) -> Result<(u32, u32), ControlError> {
    let most = object.optional("at_most").map(|most| most.count_from(0)).transpose()?;
    let least = object.optional("at_least").map(|least| least.count_from(0)).transpose()?;
    if let Some(exactly) = object.optional("exactly") {
        if least.is_some() || most.is_some() {
            return Err(exactly.wrong("cannot stand beside `at_least` or `at_most`"));
        }
        let count = exactly.count_from(0)?;
        return Ok((count, count));
    }
    match (least, most) {
        (Some(least), Some(most)) if least > most => {
            Err(object.wrong("at_most", "must not be less than `at_least`"))
        }
        (least, Some(most)) => Ok((least.unwrap_or(0), most)),
        (least, None) => Ok((least.unwrap_or(1), u32::MAX)),
    }
}
