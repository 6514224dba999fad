//! From the columns of a file to the fields of an envelope.

mod columns;
mod error;
mod file;
mod row;
#[cfg(test)]
mod tests;
mod time;

use super::cell::Kind;
use super::json::{self, Container};
use time::TimeFormat;

pub(super) use columns::Use;
pub use error::MappingError;
pub(super) use row::{Row, json_row};

/// Where each field of the envelope comes from.
///
/// ```toml
/// other_columns = "properties"
/// event_name = { const = "broadcast.replied" }
/// schema_version = { const = 1 }
/// source_module = { const = "broadcast" }
/// idempotency_key = { column = "id", prefix = "crm-" }
/// account_id = { const = "acc-17" }
/// qontak_customer_id = { column = "customer_id" }
/// occurred_at = { column = "created", format = "%Y-%m-%d %H:%M:%S", zone = "Asia/Jakarta" }
///
/// [[identifiers]]
/// type = "phone"
/// value = { column = "phone" }
///
/// [properties]
/// broadcast_id = { column = "bid" }
/// value = { column = "amount", type = "number" }
/// ```
/// * A column has a `prefix` and a `suffix` where it becomes a string.
/// * `format` is `rfc3339` (the default; epoch milliseconds pass too), `epoch_s`, `epoch_ms` or one
///   of strptime. `zone` is of times that say no offset; without it they are UTC, but in `rfc3339`,
///   where the engine rejects them.
/// * `type` is `text`, `number`, `bool` or `json`; without it a value stays what it is in its file,
///   which in text files is text.
/// * Columns that nothing names are left out, or properties by `other_columns`.
/// * Of a record of JSON, a column is a member of the object; it may be missing.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// The columns that it names, each once; a slot is an index into them.
    columns: Vec<String>,
    /// Those of the envelope but `identifiers` and `properties`, in order.
    fields: Vec<(&'static str, Value)>,
    /// Type and value.
    identifiers: Vec<(String, Value)>,
    properties: Vec<(String, Value)>,
    /// The slot that holds an object of properties, to which the others are added.
    all_properties: Option<usize>,
    /// Whether columns that nothing names are properties.
    takes_others: bool,
}

/// What a field becomes.
#[derive(Clone, Debug)]
enum Value {
    /// Always this JSON.
    Const(String),
    /// A string, with something before and behind it.
    Text { slot: usize, prefix: String, suffix: String },
    /// An integer.
    Integer { slot: usize },
    /// A time.
    Time { slot: usize, format: TimeFormat },
    /// This kind of value; none: as the file has it.
    Any { slot: usize, kind: Option<Kind> },
}

impl Mapping {
    /// Reads a mapping file.
    pub fn parse(text: &str) -> Result<Mapping, MappingError> {
        file::parse(text)
    }

    /// The slot of a column.
    fn slot(&mut self, column: &str) -> usize {
        let known = self.columns.iter().position(|name| name == column);
        known.unwrap_or_else(|| {
            self.columns.push(column.to_owned());
            self.columns.len() - 1
        })
    }

    /// The payload of a row.
    pub(super) fn envelope(&self, row: &Row) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut envelope = Container::object(&mut out);
        for (name, value) in self.fields.iter().filter(|(_, value)| value.is_present(row)) {
            envelope.key(&mut out, name);
            value.write(row, &mut out);
        }
        let mut identifiers = self.identifiers.iter().filter(|(_, v)| v.is_present(row)).peekable();
        if identifiers.peek().is_some() {
            envelope.key(&mut out, "identifiers");
            write_identifiers(identifiers, row, &mut out);
        }
        if self.has_properties(row) {
            envelope.key(&mut out, "properties");
            self.write_properties(row, &mut out);
        }
        envelope.end(&mut out);
        out
    }

    fn has_properties(&self, row: &Row) -> bool {
        self.all_properties.is_some_and(|slot| row.cell(slot).is_some())
            || self.properties.iter().any(|(_, value)| value.is_present(row))
            || !row.others.is_empty()
    }

    fn write_properties(&self, row: &Row, out: &mut Vec<u8>) {
        let whole = self.all_properties.and_then(|slot| row.cell(slot));
        let begin = out.len();
        let mut properties = Container::object(out);
        if let Some(whole) = whole {
            whole.write_as(Kind::Json, out);
            // `{{` … `}`: the members become those of the object that has begun.
            let members = out.get(begin + 1..).and_then(members).map(<[u8]>::to_vec);
            out.truncate(begin + 1);
            let Some(members) = members else {
                // No object: for the engine to reject.
                out.truncate(begin);
                return whole.write_as(Kind::Json, out);
            };
            if !members.is_empty() {
                properties.item(out);
                out.extend_from_slice(&members);
            }
        }
        for (name, value) in self.properties.iter().filter(|(_, value)| value.is_present(row)) {
            properties.key(out, name);
            value.write(row, out);
        }
        for (name, cell) in &row.others {
            properties.key(out, name);
            cell.write(out);
        }
        properties.end(out);
    }
}

/// What is between the braces of an object that is valid JSON.
fn members(json: &[u8]) -> Option<&[u8]> {
    let inner = json.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?;
    Some(inner.trim_ascii())
}

fn write_identifiers<'m>(
    identifiers: impl Iterator<Item = &'m (String, Value)>,
    row: &Row,
    out: &mut Vec<u8>,
) {
    let mut array = Container::array(out);
    for (kind, value) in identifiers {
        array.item(out);
        let mut identifier = Container::object(out);
        identifier.key(out, "type");
        json::string(out, kind);
        identifier.key(out, "value");
        value.write(row, out);
        identifier.end(out);
    }
    array.end(out);
}

impl Value {
    fn is_present(&self, row: &Row) -> bool {
        match self {
            Value::Const(_) => true,
            Value::Text { slot, .. }
            | Value::Integer { slot }
            | Value::Time { slot, .. }
            | Value::Any { slot, .. } => row.cell(*slot).is_some(),
        }
    }

    /// Appends it, if it is present.
    fn write(&self, row: &Row, out: &mut Vec<u8>) {
        match self {
            Value::Const(json) => out.extend_from_slice(json.as_bytes()),
            Value::Text { slot, prefix, suffix } => {
                let Some(cell) = row.cell(*slot) else { return };
                match cell.text() {
                    Some(text) if prefix.is_empty() && suffix.is_empty() => {
                        json::string(out, &text)
                    }
                    Some(text) => json::string(out, &format!("{prefix}{text}{suffix}")),
                    None => cell.write(out),
                }
            }
            Value::Integer { slot } => {
                if let Some(cell) = row.cell(*slot) {
                    cell.write_integer(out);
                }
            }
            Value::Time { slot, format } => {
                if let Some(cell) = row.cell(*slot) {
                    format.write(cell, out);
                }
            }
            Value::Any { slot, kind } => match (row.cell(*slot), kind) {
                (Some(cell), Some(kind)) => cell.write_as(*kind, out),
                (Some(cell), None) => cell.write(out),
                (None, _) => {}
            },
        }
    }
}
