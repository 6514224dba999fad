//! The TOML of a mapping.

use std::collections::BTreeMap;

use cebe_schemas::time::parse_rfc3339;
use serde::Deserialize;
use serde_json::Number;

use super::super::cell::Kind;
use super::time::TimeFormat;
use super::{Mapping, MappingError, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    event_name: Text,
    schema_version: Integer,
    source_module: Text,
    idempotency_key: Text,
    account_id: Text,
    team_id: Option<Text>,
    qontak_customer_id: Option<Text>,
    occurred_at: Time,
    #[serde(default)]
    identifiers: Vec<Identifier>,
    #[serde(default)]
    properties: BTreeMap<String, Property>,
    other_columns: Option<OtherColumns>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OtherColumns {
    Properties,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ const = \"…\" } or { column = \"…\" }")]
struct Text {
    r#const: Option<String>,
    column: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ const = 1 } or { column = \"…\" }")]
struct Integer {
    r#const: Option<u32>,
    column: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ const = \"…\" } or { column = \"…\", format = \"…\" }")]
struct Time {
    r#const: Option<String>,
    column: Option<String>,
    format: Option<String>,
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    r#type: String,
    value: Text,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "{ const = … } or { column = \"…\" }; other_columns goes before the first [table]"
)]
struct Property {
    r#const: Option<toml::Value>,
    column: Option<String>,
    r#type: Option<Kind>,
    prefix: Option<String>,
    suffix: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Mapping, MappingError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        MappingError::Toml { line, message: error.message().to_owned() }
    })?;
    let mut mapping = Mapping::default();
    mapping.push_text("event_name", file.event_name)?;
    let version = file.schema_version.value(&mut mapping)?;
    mapping.fields.push(("schema_version", version));
    mapping.push_text("source_module", file.source_module)?;
    mapping.push_text("idempotency_key", file.idempotency_key)?;
    mapping.push_text("account_id", file.account_id)?;
    for (name, text) in [("team_id", file.team_id), ("qontak_customer_id", file.qontak_customer_id)]
    {
        text.map(|text| mapping.push_text(name, text)).transpose()?;
    }
    let occurred_at = file.occurred_at.value(&mut mapping)?;
    mapping.fields.push(("occurred_at", occurred_at));
    for Identifier { r#type, value } in file.identifiers {
        let value = value.value("identifiers", &mut mapping)?;
        mapping.identifiers.push((r#type, value));
    }
    for (name, property) in file.properties {
        let value = property.value(&name, &mut mapping)?;
        mapping.properties.push((name, value));
    }
    mapping.takes_others = matches!(file.other_columns, Some(OtherColumns::Properties));
    Ok(mapping)
}

impl Mapping {
    fn push_text(&mut self, field: &'static str, text: Text) -> Result<(), MappingError> {
        let value = text.value(field, self)?;
        self.fields.push((field, value));
        Ok(())
    }
}

/// What a field is read from.
enum Source<C> {
    Const(C),
    Column(String),
}

fn source<C>(
    field: &str,
    r#const: Option<C>,
    column: Option<String>,
) -> Result<Source<C>, MappingError> {
    match (r#const, column) {
        (Some(value), None) => Ok(Source::Const(value)),
        (None, Some(column)) => Ok(Source::Column(column)),
        _ => Err(MappingError::Source { field: field.to_owned() }),
    }
}

/// Refuses keys that are there beside what they have no meaning with.
fn refuse(
    field: &str,
    keys: &[(&'static str, bool)],
    beside: &'static str,
) -> Result<(), MappingError> {
    match keys.iter().find(|(_, is_there)| *is_there) {
        Some((key, _)) => Err(MappingError::Beside { field: field.to_owned(), key, beside }),
        None => Ok(()),
    }
}

impl Text {
    fn value(self, field: &str, mapping: &mut Mapping) -> Result<Value, MappingError> {
        let Text { r#const, column, prefix, suffix } = self;
        match source(field, r#const, column)? {
            Source::Const(text) => {
                let keys = [("prefix", prefix.is_some()), ("suffix", suffix.is_some())];
                refuse(field, &keys, "`const`")?;
                Ok(Value::Const(serde_json::Value::from(text).to_string()))
            }
            Source::Column(column) => Ok(Value::Text {
                slot: mapping.slot(&column),
                prefix: prefix.unwrap_or_default(),
                suffix: suffix.unwrap_or_default(),
            }),
        }
    }
}

impl Integer {
    fn value(self, mapping: &mut Mapping) -> Result<Value, MappingError> {
        Ok(match source("schema_version", self.r#const, self.column)? {
            Source::Const(number) => Value::Const(number.to_string()),
            Source::Column(column) => Value::Integer { slot: mapping.slot(&column) },
        })
    }
}

impl Time {
    fn value(self, mapping: &mut Mapping) -> Result<Value, MappingError> {
        let Time { r#const, column, format, zone } = self;
        match source("occurred_at", r#const, column)? {
            Source::Const(text) => {
                let keys = [("format", format.is_some()), ("zone", zone.is_some())];
                refuse("occurred_at", &keys, "`const`")?;
                if parse_rfc3339(&text).is_none() {
                    return Err(MappingError::Time { text });
                }
                Ok(Value::Const(serde_json::Value::from(text).to_string()))
            }
            Source::Column(column) => {
                let format = TimeFormat::new(format.as_deref(), zone.as_deref())?;
                Ok(Value::Time { slot: mapping.slot(&column), format })
            }
        }
    }
}

impl Property {
    fn value(self, name: &str, mapping: &mut Mapping) -> Result<Value, MappingError> {
        let Property { r#const, column, r#type, prefix, suffix } = self;
        let field = format!("properties.{name}");
        let affixes = [("prefix", prefix.is_some()), ("suffix", suffix.is_some())];
        let has_affix = affixes.iter().any(|(_, is_there)| *is_there);
        match source(&field, r#const, column)? {
            Source::Const(value) => {
                refuse(&field, &affixes, "`const`")?;
                refuse(&field, &[("type", r#type.is_some())], "`const`")?;
                let json = json_of(value).ok_or(MappingError::Const { field })?;
                Ok(Value::Const(json.to_string()))
            }
            Source::Column(column) if has_affix => {
                let is_text = r#type.is_none_or(|kind| kind == Kind::Text);
                refuse(&field, &[("type", !is_text)], "`prefix` or `suffix`")?;
                let text = Text { r#const: None, column: Some(column), prefix, suffix };
                text.value(&field, mapping)
            }
            Source::Column(column) => Ok(Value::Any { slot: mapping.slot(&column), kind: r#type }),
        }
    }
}

/// None: a number that JSON does not have.
fn json_of(value: toml::Value) -> Option<serde_json::Value> {
    Some(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => Number::from_f64(number)?.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json_of).collect::<Option<_>>()?,
        toml::Value::Table(table) => {
            let members = table.into_iter().map(|(key, value)| Some((key, json_of(value)?)));
            serde_json::Value::Object(members.collect::<Option<_>>()?)
        }
    })
}
