//! A JSON Schema as checks over the borrowed parse: the keywords that event schemas use.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

use crate::json::{Member, Node, find};

/// Marks a property whose value is personal.
pub(crate) const PII: &str = "x-cebe-pii";
/// Marks the property that is the event's group.
pub(crate) const GROUP: &str = "x-cebe-group";
/// The limit of a string in bytes, where `maxLength` counts characters.
pub(crate) const MAX_BYTES: &str = "x-cebe-max-bytes";
/// Keywords that no value can break.
pub(crate) const ANNOTATIONS: [&str; 11] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
];

/// One schema: what its values must be, and what is to be done with them.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    checks: Vec<Check>,
    /// Sorted by name.
    properties: Vec<Property>,
    items: Option<Box<Shape>>,
    pub(crate) pii: bool,
    pub(crate) group: bool,
}

#[derive(Debug)]
struct Property {
    name: String,
    required: bool,
    /// None: required, but not described.
    shape: Option<Shape>,
}

/// One keyword; it says nothing about values of other types.
#[derive(Debug)]
enum Check {
    Type(Vec<Type>),
    Enum(Vec<Value>),
    MinLength(u64),
    MaxLength(u64),
    MaxBytes(u64),
    MinItems(u64),
    MaxItems(u64),
    Minimum(Number),
    Maximum(Number),
    ExclusiveMinimum(Number),
    ExclusiveMaximum(Number),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// A schema, and whether its checks are all that it demands.
pub(crate) struct Compiled {
    pub(crate) shape: Shape,
    /// False: it has keywords beyond ours, so that only a full validator can judge by it.
    pub(crate) complete: bool,
    /// How many properties are marked as personal.
    pub(crate) pii_marks: usize,
}

/// Compiles a schema; what is not understood makes it incomplete.
pub(crate) fn compile(schema: &Value) -> Compiled {
    let mut compiled = Compiled { shape: Shape::default(), complete: true, pii_marks: 0 };
    compiled.shape = compiled.compile(schema);
    compiled
}

impl Compiled {
    fn compile(&mut self, schema: &Value) -> Shape {
        let mut shape = Shape::default();
        match schema {
            Value::Bool(true) => {}
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    let understood = self.keyword(&mut shape, keyword, value, keywords);
                    self.complete &= understood;
                }
            }
            _ => self.complete = false,
        }
        shape
    }

    fn keyword(
        &mut self,
        shape: &mut Shape,
        keyword: &str,
        value: &Value,
        all: &Map<String, Value>,
    ) -> bool {
        match (keyword, value) {
            (PII, Value::Bool(pii)) => {
                shape.pii = *pii;
                self.pii_marks += usize::from(*pii);
            }
            (GROUP, Value::Bool(group)) => shape.group = *group,
            ("additionalProperties", Value::Bool(true)) => {}
            ("items", items) => shape.items = Some(Box::new(self.compile(items))),
            ("properties", Value::Object(_)) | ("required", Value::Array(_)) => {
                // Either keyword gathers both; the second finds the work done.
                if shape.properties.is_empty() {
                    shape.properties = self.properties(all);
                }
            }
            _ if ANNOTATIONS.contains(&keyword) => {}
            _ => match check(keyword, value) {
                Some(check) => shape.checks.push(check),
                None => return false,
            },
        }
        true
    }

    fn properties(&mut self, schema: &Map<String, Value>) -> Vec<Property> {
        let described = schema.get("properties").and_then(Value::as_object);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut properties: Vec<Property> = described
            .into_iter()
            .flatten()
            .map(|(name, schema)| Property {
                name: name.clone(),
                required: required.contains(&name.as_str()),
                shape: Some(self.compile(schema)),
            })
            .collect();
        for name in required {
            if !properties.iter().any(|held| held.name == name) {
                properties.push(Property { name: name.to_owned(), required: true, shape: None });
            }
        }
        properties.sort_by(|a, b| a.name.cmp(&b.name));
        properties
    }
}

fn check(keyword: &str, value: &Value) -> Option<Check> {
    // A count may be written 1.0; a full validator then takes over.
    let count = || value.as_u64();
    let number = || value.as_number().cloned();
    Some(match keyword {
        "type" => Check::Type(types(value)?),
        "enum" => {
            let allowed = value.as_array()?;
            let scalar = |value: &Value| !value.is_array() && !value.is_object();
            allowed.iter().all(scalar).then(|| Check::Enum(allowed.clone()))?
        }
        "minLength" => Check::MinLength(count()?),
        "maxLength" => Check::MaxLength(count()?),
        MAX_BYTES => Check::MaxBytes(count()?),
        "minItems" => Check::MinItems(count()?),
        "maxItems" => Check::MaxItems(count()?),
        "minimum" => Check::Minimum(number()?),
        "maximum" => Check::Maximum(number()?),
        "exclusiveMinimum" => Check::ExclusiveMinimum(number()?),
        "exclusiveMaximum" => Check::ExclusiveMaximum(number()?),
        _ => return None,
    })
}

fn types(value: &Value) -> Option<Vec<Type>> {
    let one = |name: &Value| {
        Some(match name.as_str()? {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "string" => Type::String,
            "array" => Type::Array,
            "object" => Type::Object,
            _ => return None,
        })
    };
    match value {
        Value::Array(names) => names.iter().map(one).collect(),
        name => Some(vec![one(name)?]),
    }
}

impl Shape {
    /// The shape of a property that the schema describes.
    pub(crate) fn property(&self, name: &str) -> Option<&Shape> {
        let at = self.properties.binary_search_by(|held| held.name.as_str().cmp(name)).ok()?;
        self.properties[at].shape.as_ref()
    }

    /// The shape of an array's items, if the schema describes them.
    pub(crate) fn items(&self) -> Option<&Shape> {
        self.items.as_deref()
    }

    /// The name of the property that is the group.
    pub(crate) fn group_property(&self) -> Option<&str> {
        let is_group = |held: &&Property| held.shape.as_ref().is_some_and(|shape| shape.group);
        self.properties.iter().find(is_group).map(|held| held.name.as_str())
    }

    /// The names of all properties marked as personal, at any depth.
    pub(crate) fn pii_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        let described = self.properties.iter().filter_map(|p| Some((p, p.shape.as_ref()?)));
        let below = described.flat_map(|(property, shape)| {
            shape
                .is_personal()
                .then_some(property.name.as_str())
                .into_iter()
                .chain(shape.pii_names())
        });
        Box::new(below.chain(self.items.iter().flat_map(|items| items.pii_names())))
    }

    fn is_personal(&self) -> bool {
        self.pii || self.items.as_ref().is_some_and(|items| items.is_personal())
    }

    /// The JSON pointer of the first value in `members` that breaks the schema of an event's
    /// properties, where `null` and `[]` count as absent.
    pub(crate) fn violation(&self, members: &[Member]) -> Option<String> {
        self.members_violation(members, true)
    }

    fn value_violation(&self, value: &Node) -> Option<String> {
        if !self.checks.iter().all(|check| check.holds(value)) {
            return Some(String::new());
        }
        match (value, &self.items) {
            (Node::Object(members), _) => self.members_violation(members, false),
            (Node::Array(items), Some(shape)) => {
                let violations = items.iter().map(|item| shape.value_violation(item));
                let (at, below) = violations.enumerate().find(|(_, found)| found.is_some())?;
                Some(format!("/{at}{}", below?))
            }
            _ => None,
        }
    }

    fn members_violation(&self, members: &[Member], null_is_absent: bool) -> Option<String> {
        self.properties.iter().find_map(|property| {
            let value =
                find(members, &property.name).filter(|v| !(null_is_absent && v.is_absent()));
            let below = match (value, &property.shape) {
                (Some(value), Some(shape)) => shape.value_violation(value)?,
                (None, _) if property.required => String::new(),
                _ => return None,
            };
            Some(format!("/{}{below}", escape(&property.name)))
        })
    }
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl Check {
    fn holds(&self, value: &Node) -> bool {
        match (self, value) {
            (Check::Type(types), _) => types.iter().any(|each| each.matches(value)),
            (Check::Enum(allowed), _) => allowed.iter().any(|each| equal(each, value)),
            (Check::MinLength(least), Node::Text(text)) => chars(text) >= *least,
            (Check::MaxLength(most), Node::Text(text)) => chars(text) <= *most,
            (Check::MaxBytes(most), Node::Text(text)) => text.len() as u64 <= *most,
            (Check::MinItems(least), Node::Array(items)) => items.len() as u64 >= *least,
            (Check::MaxItems(most), Node::Array(items)) => items.len() as u64 <= *most,
            (Check::Minimum(limit), Node::Number(number)) => compare(number, limit).is_ge(),
            (Check::Maximum(limit), Node::Number(number)) => compare(number, limit).is_le(),
            (Check::ExclusiveMinimum(limit), Node::Number(number)) => {
                compare(number, limit).is_gt()
            }
            (Check::ExclusiveMaximum(limit), Node::Number(number)) => {
                compare(number, limit).is_lt()
            }
            _ => true,
        }
    }
}

impl Type {
    fn matches(self, value: &Node) -> bool {
        match value {
            Node::Null => self == Type::Null,
            Node::Bool(_) => self == Type::Boolean,
            Node::Number(number) => {
                self == Type::Number || (self == Type::Integer && is_integer(number))
            }
            Node::Text(_) => self == Type::String,
            Node::Array(_) => self == Type::Array,
            Node::Object(_) => self == Type::Object,
            Node::Deep(raw) => {
                self == if raw.starts_with('[') { Type::Array } else { Type::Object }
            }
        }
    }
}

fn chars(text: &str) -> u64 {
    text.chars().count() as u64
}

/// JSON Schema counts `1.0` among the integers.
fn is_integer(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|value| value.fract() == 0.0)
}

fn equal(allowed: &Value, value: &Node) -> bool {
    match (allowed, value) {
        (Value::Null, Node::Null) => true,
        (Value::Bool(a), Node::Bool(b)) => a == b,
        (Value::String(a), Node::Text(b)) => a == b,
        (Value::Number(a), Node::Number(b)) => compare(a, b).is_eq(),
        _ => false,
    }
}

/// Exact among integers; otherwise as doubles, which a parsed number always has.
pub(crate) fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}
