//! Which events a clause or a metric looks at. The dataflow sees each selection as an event type
//! of its own.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::predicate::{Test, number_text};
use crate::id::{EventType, IdKey};

/// Events of one name whose properties pass, with the property that groups them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    name: Arc<str>,
    filters: Vec<Filter>,
    grouping: Option<Grouping>,
    event: EventType,
}

/// What one property of an event has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Which property.
    pub property: Arc<str>,
    /// What it has to be.
    pub test: Test,
}

/// The property whose value is the group of a selected event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grouping {
    /// Its text is the key of a rate; an event without it names no group.
    Key(Arc<str>),
    /// It is compared with that of another event; an event without it is not selected.
    Same(Arc<str>),
}

impl Grouping {
    /// The property.
    pub fn property(&self) -> &str {
        let (Grouping::Key(property) | Grouping::Same(property)) = self;
        property
    }
}

impl From<EventType> for Selector {
    /// The facts of a type that the dataflow is given as it is, with the groups that they have.
    fn from(event: EventType) -> Selector {
        Selector { name: "".into(), filters: Vec::new(), grouping: None, event }
    }
}

impl Selector {
    /// Every event called `name`, with the group that its schema gives it.
    pub fn named(name: &str) -> Selector {
        Selector::new(name.into(), Vec::new(), None)
    }

    /// Events called `name` that pass all `filters`.
    pub fn new(name: Arc<str>, filters: Vec<Filter>, grouping: Option<Grouping>) -> Selector {
        let event = match (filters.is_empty(), &grouping) {
            (true, None) => EventType::named(&name),
            _ => {
                EventType(IdKey::new([0; 16]).hash(b'q', &[&canonical(&name, &filters, &grouping)])
                    as u64)
            }
        };
        Selector { name, filters, grouping, event }
    }

    /// The type of the facts that it selects.
    pub fn event(&self) -> EventType {
        self.event
    }

    /// The name of the events.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the events leave segments and rates once their retention is over. What is said of
    /// customers and asserted of segments is kept until erased (product §9.2).
    pub fn leaves(&self) -> bool {
        !self.name.starts_with("customer.") && !self.name.starts_with("segment.")
    }

    /// What they have to be.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// What groups them.
    pub fn grouping(&self) -> Option<&Grouping> {
        self.grouping.as_ref()
    }

    /// Whether its facts are made beside those that every event leaves.
    pub fn is_derived(&self) -> bool {
        !self.filters.is_empty() || self.grouping.is_some()
    }

    /// Whether it selects an event of its name with these properties.
    pub fn selects(&self, properties: &Map<String, Value>) -> bool {
        let grouped = match &self.grouping {
            Some(Grouping::Same(property)) => same(properties.get(&**property)).is_some(),
            _ => true,
        };
        let passes = |filter: &Filter| filter.test.holds(properties.get(&*filter.property));
        grouped && self.filters.iter().all(passes)
    }

    /// The text of the group of an event with these properties, if it names one.
    pub fn group<'p>(&self, properties: &'p Map<String, Value>) -> Option<Cow<'p, str>> {
        match self.grouping.as_ref()? {
            Grouping::Key(property) => key(properties.get(&**property)),
            Grouping::Same(property) => same(properties.get(&**property)),
        }
    }

    /// With other filters and another grouping.
    pub(super) fn with(&self, filters: Vec<Filter>, grouping: Option<Grouping>) -> Selector {
        match self.is_derived() {
            true => Selector::new(self.name.clone(), filters, grouping),
            false => self.clone(),
        }
    }
}

/// The same bytes for the same selection.
fn canonical(name: &str, filters: &[Filter], grouping: &Option<Grouping>) -> Vec<u8> {
    let filter = |filter: &Filter| {
        let checks: Vec<_> = filter.test.checks.iter().map(|check| check.parts()).collect();
        json!([&*filter.property, checks]).to_string()
    };
    let mut filters: Vec<_> = filters.iter().map(filter).collect();
    filters.sort();
    let grouping = match grouping {
        None => json!(null),
        Some(Grouping::Key(property)) => json!(["key", &**property]),
        Some(Grouping::Same(property)) => json!(["same", &**property]),
    };
    json!([name, filters, grouping]).to_string().into_bytes()
}

/// As analysts read it. Arrays and objects are no keys.
fn key(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number_text(number))),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        _ => None,
    }
}

/// Equal exactly for equal values: a string is its own text, as in the group of the whole event.
fn same(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(format!("\u{1}{}", number_text(number)))),
        other => Some(Cow::Owned(format!("\u{1}{other}"))),
    }
}
