//! Whether a change of a schema can be made without a new version (product §2): a version only
//! adds optional fields, so that what was valid stays valid and what was masked stays masked.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::shape::{ANNOTATIONS, GROUP, MAX_BYTES, PII, compare, escape};

/// Something that a change must not do under the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// JSON pointer into the schema.
    pub pointer: String,
    /// What is done there.
    pub message: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

/// What in `new` breaks those who publish or read events by `old`; empty: `new` is additive.
///
/// Keywords whose meaning is not compared (such as `pattern` and `$ref`) must be equal in both.
pub fn check(old: &Value, new: &Value) -> Vec<Breach> {
    let mut breaches = Vec::new();
    Comparison { breaches: &mut breaches }.schema(old, new, "");
    breaches
}

struct Comparison<'b> {
    breaches: &'b mut Vec<Breach>,
}

impl Comparison<'_> {
    fn breach(&mut self, pointer: String, message: impl Into<String>) {
        self.breaches.push(Breach { pointer, message: message.into() });
    }

    fn schema(&mut self, old: &Value, new: &Value, pointer: &str) {
        if old == new {
            return;
        }
        let (Some(old), Some(new)) = (keywords(old), keywords(new)) else {
            return self
                .breach(pointer.to_owned(), "allows or forbids everything, and did not before");
        };
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for keyword in names {
            let (before, after) = (old.get(keyword), new.get(keyword));
            if before != after {
                self.keyword(keyword, before, after, &format!("{pointer}/{}", escape(keyword)));
            }
        }
    }

    fn keyword(&mut self, keyword: &str, old: Option<&Value>, new: Option<&Value>, pointer: &str) {
        let anything = Value::Bool(true);
        let breach = match keyword {
            _ if ANNOTATIONS.contains(&keyword) => None,
            "properties" => return self.properties(old, new, pointer),
            "items" => {
                return self.schema(old.unwrap_or(&anything), new.unwrap_or(&anything), pointer);
            }
            PII => is_true(old).then_some("the field is no longer masked"),
            GROUP => (is_true(old) != is_true(new)).then_some("the group is another field"),
            "type" => narrows_types(old, new).then_some("the type is narrower"),
            "enum" => lacks_any(old, new).then_some("fewer values are allowed"),
            "required" => lacks_any(new, Some(old.unwrap_or(&Value::Array(Vec::new()))))
                .then_some("more fields are required"),
            "additionalProperties" => (!matches!(new, None | Some(Value::Bool(true))))
                .then_some("the schema is less open"),
            "minLength" | "minItems" | "minProperties" | "minimum" | "exclusiveMinimum" => {
                narrows(old, new, Ordering::Greater).then_some("the limit is narrower")
            }
            "maxLength" | "maxItems" | "maxProperties" | "maximum" | "exclusiveMaximum"
            | MAX_BYTES => narrows(old, new, Ordering::Less).then_some("the limit is narrower"),
            _ => Some("changes of this keyword are not compared"),
        };
        if let Some(message) = breach {
            self.breach(pointer.to_owned(), format!("{message}: publish a new version"));
        }
    }

    fn properties(&mut self, old: Option<&Value>, new: Option<&Value>, pointer: &str) {
        for (name, before) in old.and_then(Value::as_object).into_iter().flatten() {
            let pointer = format!("{pointer}/{}", escape(name));
            match new.and_then(|new| new.get(name)) {
                Some(after) => self.schema(before, after, &pointer),
                None => self.breach(pointer, "the field is gone: publish a new version"),
            }
        }
    }
}

/// The keywords of a schema; `true` has none.
fn keywords(schema: &Value) -> Option<Map<String, Value>> {
    match schema {
        Value::Object(keywords) => Some(keywords.clone()),
        Value::Bool(true) => Some(Map::new()),
        _ => None,
    }
}

fn is_true(value: Option<&Value>) -> bool {
    value == Some(&Value::Bool(true))
}

/// Whether a value of `all` is not in `among`; nothing at all is every value.
fn lacks_any(all: Option<&Value>, among: Option<&Value>) -> bool {
    let (Some(among), all) = (among.and_then(Value::as_array), all.and_then(Value::as_array))
    else {
        return false;
    };
    all.is_none_or(|all| all.iter().any(|value| !among.contains(value)))
}

fn narrows_types(old: Option<&Value>, new: Option<&Value>) -> bool {
    let names = |value: Option<&Value>| -> Option<Vec<String>> {
        match value? {
            Value::Array(names) => {
                Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            name => Some(name.as_str().map(str::to_owned).into_iter().collect()),
        }
    };
    let Some(new) = names(new) else { return false };
    let has = |name: &str| new.iter().any(|held| held == name);
    match names(old) {
        None => true,
        Some(old) => old.iter().any(|name| !(has(name) || name == "integer" && has("number"))),
    }
}

/// Whether a limit appears, or moves in the direction that forbids more.
fn narrows(old: Option<&Value>, new: Option<&Value>, narrower: Ordering) -> bool {
    let number = |value: Option<&Value>| value.and_then(Value::as_number).cloned();
    match (number(old), number(new)) {
        (_, None) => new.is_some(),
        (None, Some(_)) => true,
        (Some(old), Some(new)) => compare(&new, &old) == narrower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check_pointers(old: Value, new: Value, expect: &[&str]) {
        let found: Vec<String> =
            check(&old, &new).into_iter().map(|breach| breach.pointer).collect();
        assert_eq!(found, expect, "{old} → {new}");
    }

    /// Both are the schema of one property.
    fn property(old: Value, new: Value, expect: &[&str]) {
        let whole = |schema| json!({"type": "object", "properties": {"p": schema}});
        let expect: Vec<String> = expect.iter().map(|at| format!("/properties/p{at}")).collect();
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        check_pointers(whole(old), whole(new), &expect);
    }

    #[test]
    fn adding_an_optional_field_is_additive() {
        check_pointers(json!({}), json!({"properties": {"p": {"type": "string"}}}), &[]);
        check_pointers(json!({"title": "a"}), json!({"description": "b", "examples": [1]}), &[]);
        check_pointers(
            json!({"properties": {"a": true}, "required": ["a"]}),
            json!({"properties": {"a": true, "b": {"x-cebe-pii": true}}, "required": ["a"]}),
            &[],
        );
    }

    #[test]
    fn requiring_or_removing_a_field_is_not() {
        check_pointers(
            json!({"properties": {"a": true}}),
            json!({"properties": {"b": true}, "required": ["b"]}),
            &["/properties/a", "/required"],
        );
        check_pointers(json!({"required": ["a", "b"]}), json!({"required": ["b"]}), &[]);
        check_pointers(json!({"required": ["a"]}), json!({"required": ["b", "a"]}), &["/required"]);
    }

    #[test]
    fn marks_stay() {
        property(json!({"x-cebe-pii": true}), json!({}), &["/x-cebe-pii"]);
        property(json!({"x-cebe-pii": true}), json!({"x-cebe-pii": false}), &["/x-cebe-pii"]);
        property(json!({}), json!({"x-cebe-pii": true}), &[]);
        property(json!({"x-cebe-group": true}), json!({}), &["/x-cebe-group"]);
        property(json!({}), json!({"x-cebe-group": true}), &["/x-cebe-group"]);
        property(json!({"items": {"x-cebe-pii": true}}), json!({}), &["/items/x-cebe-pii"]);
    }

    #[test]
    fn types_and_values_may_only_widen() {
        property(json!({"type": "integer"}), json!({"type": "number"}), &[]);
        property(json!({"type": "number"}), json!({"type": "integer"}), &["/type"]);
        property(json!({"type": "string"}), json!({"type": ["null", "string"]}), &[]);
        property(json!({"type": ["null", "string"]}), json!({"type": "string"}), &["/type"]);
        property(json!({"type": "string"}), json!({}), &[]);
        property(json!({}), json!({"type": "string"}), &["/type"]);
        property(json!({"enum": [1]}), json!({"enum": [2, 1]}), &[]);
        property(json!({"enum": [1, 2]}), json!({"enum": [1]}), &["/enum"]);
        property(json!({}), json!({"enum": [1]}), &["/enum"]);
        property(json!({"enum": [1]}), json!({}), &[]);
    }

    #[test]
    fn limits_may_only_widen() {
        for (keyword, wider, narrower) in [
            ("minLength", 1, 2),
            ("maxLength", 2, 1),
            ("x-cebe-max-bytes", 65, 64),
            ("minimum", 0, 1),
            ("exclusiveMaximum", 1, 0),
            ("maxItems", 3, 2),
        ] {
            let at = format!("/{keyword}");
            property(json!({keyword: wider}), json!({keyword: narrower}), &[&at]);
            property(json!({keyword: narrower}), json!({keyword: wider}), &[]);
            property(json!({}), json!({keyword: wider}), &[&at]);
            property(json!({keyword: wider}), json!({}), &[]);
        }
    }

    #[test]
    fn what_is_not_compared_must_not_change() {
        property(json!({"pattern": "a"}), json!({"pattern": "a", "title": "x"}), &[]);
        property(json!({"pattern": "a"}), json!({"pattern": "b"}), &["/pattern"]);
        property(json!({"$ref": "#/$defs/a"}), json!({}), &["/$ref"]);
        check_pointers(
            json!({}),
            json!({"additionalProperties": false}),
            &["/additionalProperties"],
        );
        check_pointers(json!({"additionalProperties": false}), json!({}), &[]);
        check_pointers(json!(true), json!(false), &[""]);
    }

    /// A schema of one value.
    fn schemas() -> impl Strategy<Value = Value> {
        let keyword = prop_oneof![
            Just(json!({"type": "string"})),
            Just(json!({"type": "integer"})),
            Just(json!({"type": ["number", "null"]})),
            Just(json!({"enum": ["a", 1]})),
            Just(json!({"enum": ["a", 1, null]})),
            (0..3).prop_map(|n| json!({"minLength": n})),
            (0..3).prop_map(|n| json!({"maxLength": n})),
            (0..3).prop_map(|n| json!({"minimum": n})),
            (0..3).prop_map(|n| json!({"exclusiveMaximum": n})),
            (0..3).prop_map(|n| json!({"maxItems": n})),
            Just(json!({"items": {"type": "string"}})),
            Just(json!({"items": {"type": ["string", "integer"]}})),
            Just(json!({"pattern": "^a"})),
        ];
        proptest::collection::vec(keyword, 0..3).prop_map(|keywords| {
            let merged = keywords.iter().filter_map(Value::as_object).flatten();
            Value::Object(merged.map(|(name, value)| (name.clone(), value.clone())).collect())
        })
    }

    fn instances() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            (-1..4).prop_map(|n| json!(n)),
            Just(json!(1.5)),
            "[ab]{0,3}".prop_map(|text| json!(text)),
            proptest::collection::vec(prop_oneof![Just(json!("a")), Just(json!(1))], 0..4)
                .prop_map(|items| json!(items)),
        ]
    }

    fn object(a: &Value, required: bool) -> Value {
        let required: &[&str] = if required { &["a"] } else { &[] };
        json!({"properties": {"a": a}, "required": required})
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn what_was_valid_stays_valid(
            old in schemas(),
            new in schemas(),
            required in any::<(bool, bool)>(),
            value in proptest::option::of(instances()),
        ) {
            let (old, new) = (object(&old, required.0), object(&new, required.1));
            let event = value.map_or(json!({}), |value| json!({"a": value}));
            if check(&old, &new).is_empty() && jsonschema::is_valid(&old, &event) {
                prop_assert!(jsonschema::is_valid(&new, &event), "{} → {}: {}", old, new, event);
            }
        }
    }
}
