//! What a mapping does with the columns of one file.

use super::super::cell::Kind;
use super::time::TimeFormat;
use super::{Mapping, Value};

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Use {
    /// It fills a slot.
    Slot(usize),
    /// It is a property of its own name.
    Property,
    /// It is left out.
    Nothing,
}

/// How many names are shown of those that are like a missing one.
const NEAREST: usize = 3;

const TEXT_FIELDS: [&str; 6] = [
    "event_name",
    "source_module",
    "idempotency_key",
    "account_id",
    "team_id",
    "qontak_customer_id",
];

impl Mapping {
    /// The mapping of columns that are called like what they hold.
    pub(in super::super) fn of_columns(columns: &[String]) -> Mapping {
        let mut mapping = Mapping::default();
        let has = |name: &str| columns.iter().any(|column| column == name);
        for field in TEXT_FIELDS.into_iter().filter(|field| has(field)) {
            let slot = mapping.slot(field);
            let value = Value::Text { slot, prefix: String::new(), suffix: String::new() };
            mapping.fields.push((field, value));
        }
        if has("schema_version") {
            let slot = mapping.slot("schema_version");
            mapping.fields.push(("schema_version", Value::Integer { slot }));
        }
        if has("occurred_at") {
            let slot = mapping.slot("occurred_at");
            let format = TimeFormat::envelope();
            mapping.fields.push(("occurred_at", Value::Time { slot, format }));
        }
        if has("identifiers") {
            let slot = mapping.slot("identifiers");
            mapping.fields.push(("identifiers", Value::Any { slot, kind: Some(Kind::Json) }));
        }
        mapping.all_properties = has("properties").then(|| mapping.slot("properties"));
        for column in columns {
            let Some(name) = column.strip_prefix("properties.") else { continue };
            let slot = mapping.slot(column);
            let value = Value::Any { slot, kind: None };
            if mapping.properties.iter().all(|(known, _)| known != name) {
                mapping.properties.push((name.to_owned(), value));
            }
        }
        mapping
    }

    /// Whether it makes nothing of any column.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A column that it names and that is not there, with the nearest of those that are.
    pub(in super::super) fn missing(&self, columns: &[String]) -> Option<(String, Vec<String>)> {
        let missing = self.columns.iter().find(|name| !columns.contains(name))?;
        let mut near: Vec<&String> = columns.iter().collect();
        let lower = missing.to_lowercase();
        near.sort_by_cached_key(|name| strsim::damerau_levenshtein(&lower, &name.to_lowercase()));
        near.truncate(NEAREST);
        Some((missing.clone(), near.into_iter().cloned().collect()))
    }

    /// What each column is for. Of several of one name the first is taken.
    pub(in super::super) fn uses(&self, columns: &[String]) -> Vec<Use> {
        let is_first = |at: usize| !columns[..at].contains(&columns[at]);
        let usage = |at| if is_first(at) { self.usage(&columns[at]) } else { Use::Nothing };
        (0..columns.len()).map(usage).collect()
    }

    /// What a column of this name is for.
    pub(super) fn usage(&self, column: &str) -> Use {
        if let Some(slot) = self.columns.iter().position(|name| name == column) {
            return Use::Slot(slot);
        }
        let is_taken = || self.properties.iter().any(|(name, _)| name == column);
        if self.takes_others && !is_taken() { Use::Property } else { Use::Nothing }
    }
}
