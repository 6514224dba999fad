//! Control records, read field by field so that an error can name the field.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{ControlError, ControlState, Ingestion, Settings};
use crate::definition::{About, Clause, Definitions, Metric, Segment};
use crate::id::EventType;
use crate::identifier::BlockList;
use crate::time::{Millis, parse_duration};

/// More definitions than this are refused: a bound on what every event is matched with.
const MAX_DEFINITIONS: usize = 10_000;
/// Names and ids in definitions, as in events.
const MAX_ID_BYTES: usize = 64;
/// Operators of the definition language that the person stage does not evaluate.
const LATER: [&str; 17] = [
    "all",
    "any",
    "not",
    "attribute",
    "in_segment",
    "at_most",
    "exactly",
    "where",
    "then",
    "then_not",
    "then_where",
    "same",
    "recent",
    "eq",
    "in",
    "exists",
    "numerator_where",
];

/// The state after `record`.
pub(super) fn apply(state: &ControlState, record: &[u8]) -> Result<ControlState, ControlError> {
    let document: Value = serde_json::from_slice(record)
        .map_err(|e| ControlError::NotJson { line: e.line(), column: e.column() })?;
    let root = Field { pointer: String::new(), value: &document };
    let mut next = state.clone();
    let mut definitions: Definitions = (*state.definitions).clone();
    let changed_by: Arc<str> = match root.value.get("changed_by").and_then(Value::as_str) {
        Some(name) => name.into(),
        None => "".into(),
    };
    for (name, field) in root.fields()? {
        match name {
            "sources" => {
                for (source, flag) in field.fields()? {
                    next.sources.insert(source.to_owned(), ingestion(&flag)?);
                }
            }
            "segments" => {
                for field in field.items()? {
                    definitions.put_segment(segment(&field, &changed_by)?);
                }
            }
            "remove_segments" => {
                for field in field.items()? {
                    let (account_id, segment_id) = segment_key(&field)?;
                    definitions.remove_segment(account_id, segment_id);
                }
            }
            "metrics" => {
                for field in field.items()? {
                    definitions.put_metric(metric(&field, &changed_by)?);
                }
            }
            "settings" => settings(&field, &mut next.settings)?,
            "changed_by" => drop(field.text(256)?),
            _ => return Err(field.unknown()),
        }
    }
    if definitions.segments.len() + definitions.metrics.len() > MAX_DEFINITIONS {
        return Err(root.wrong(format!("more than {MAX_DEFINITIONS} definitions: remove some")));
    }
    next.definitions = Arc::new(definitions);
    Ok(next)
}

fn ingestion(field: &Field) -> Result<Ingestion, ControlError> {
    match field.value {
        Value::String(flag) if flag == "on" => Ok(Ingestion::On),
        Value::String(flag) if flag == "off" => Ok(Ingestion::Off),
        Value::Object(_) => {
            let object = field.object(&["accounts"])?;
            Ok(Ingestion::Accounts(object.required("accounts")?.ids()?))
        }
        _ => Err(field.wrong(r#"must be "on", "off" or {"accounts": [...]}"#)),
    }
}

fn segment(field: &Field, changed_by: &Arc<str>) -> Result<Segment, ControlError> {
    let object = field.object(&["segment_id", "account_id", "version", "title", "when"])?;
    Ok(Segment {
        account_id: object.required("account_id")?.id()?.into(),
        segment_id: object.required("segment_id")?.id()?.into(),
        version: object.optional("version").map_or(Ok(1), |version| version.count())?,
        when: clause(&object.required("when")?)?,
        about: about(field, &object, changed_by)?,
    })
}

fn about(field: &Field, object: &Object, changed_by: &Arc<str>) -> Result<About, ControlError> {
    Ok(About {
        title: object.optional("title").map(|title| title.text(256)).transpose()?.map(Arc::from),
        definition: field.value.to_string().into(),
        changed_by: changed_by.clone(),
    })
}

fn segment_key<'v>(field: &Field<'v>) -> Result<(&'v str, &'v str), ControlError> {
    let object = field.object(&["account_id", "segment_id"])?;
    Ok((object.required("account_id")?.id()?, object.required("segment_id")?.id()?))
}

fn clause(field: &Field) -> Result<Clause, ControlError> {
    let object = field.object(&["did", "at_least", "within"])?;
    Ok(Clause::Did {
        event: EventType::named(object.required("did")?.id()?),
        at_least: object.optional("at_least").map_or(Ok(1), |least| least.count())?,
        within_ms: object.optional("within").map(|within| within.duration()).transpose()?,
    })
}

fn metric(field: &Field, changed_by: &Arc<str>) -> Result<Metric, ControlError> {
    let known = [
        "metric",
        "account_id",
        "version",
        "title",
        "denominator",
        "numerator",
        "group_by",
        "within",
    ];
    let object = field.object(&known)?;
    let group_by = object.required("group_by")?;
    if !["broadcast_id", "campaign_id"].contains(&group_by.id()?) {
        return Err(
            group_by.wrong("must be broadcast_id or campaign_id: no other is supported yet")
        );
    }
    Ok(Metric {
        account_id: Some(object.required("account_id")?.id()?.into()),
        metric: object.required("metric")?.id()?.into(),
        version: object.optional("version").map_or(Ok(1), |version| version.count())?,
        denominator: EventType::named(object.required("denominator")?.id()?),
        numerator: EventType::named(object.required("numerator")?.id()?),
        within_ms: object.required("within")?.duration()?,
        about: about(field, &object, changed_by)?,
    })
}

fn settings(field: &Field, settings: &mut Settings) -> Result<(), ControlError> {
    for (name, field) in field.fields()? {
        match name {
            "max_customers_per_identifier" => {
                settings.max_customers_per_identifier = field.count()?
            }
            "max_customers_per_person" => settings.max_customers_per_person = field.count()?,
            "block_list" => {
                let entries: Result<Vec<String>, _> =
                    field.items()?.map(|item| item.text(256).map(str::to_owned)).collect();
                settings.block_list = BlockList::new(entries?);
            }
            "dedup_horizon" => settings.dedup_horizon_ms = field.duration()?,
            "retention_months" => settings.retention_months = field.count()?,
            "time_zones" => {
                let zones: Result<BTreeMap<String, String>, _> = field
                    .fields()?
                    .map(|(account, zone)| Ok((account.to_owned(), zone.id()?.to_owned())))
                    .collect();
                settings.time_zones = zones?;
            }
            "strict_sources" => settings.strict_sources = field.ids()?,
            "hashed_key_sources" => settings.hashed_key_sources = field.ids()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(())
}

/// A value and where it stands.
struct Field<'v> {
    pointer: String,
    value: &'v Value,
}

/// An object all of whose fields are known.
struct Object<'v> {
    pointer: String,
    fields: &'v Map<String, Value>,
}

impl<'v> Object<'v> {
    fn optional(&self, name: &str) -> Option<Field<'v>> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        Some(Field { pointer: child(&self.pointer, name), value })
    }

    fn required(&self, name: &str) -> Result<Field<'v>, ControlError> {
        self.optional(name).ok_or_else(|| ControlError::Invalid {
            pointer: child(&self.pointer, name),
            message: "is required".to_owned(),
        })
    }
}

impl<'v> Field<'v> {
    fn wrong(&self, message: impl Into<String>) -> ControlError {
        ControlError::Invalid { pointer: self.pointer.clone(), message: message.into() }
    }

    fn unknown(&self) -> ControlError {
        let name = self.pointer.rsplit('/').next().unwrap_or_default();
        match LATER.contains(&name) {
            true => self.wrong(format!("`{name}` is not supported yet")),
            false => self.wrong("is not a field here: check its spelling"),
        }
    }

    fn fields(&self) -> Result<impl Iterator<Item = (&'v str, Field<'v>)> + use<'v>, ControlError> {
        let Value::Object(fields) = self.value else {
            return Err(self.wrong("must be an object"));
        };
        let pointer = self.pointer.clone();
        Ok(fields.iter().map(move |(name, value)| {
            (name.as_str(), Field { pointer: child(&pointer, name), value })
        }))
    }

    fn object(&self, known: &[&str]) -> Result<Object<'v>, ControlError> {
        for (name, field) in self.fields()? {
            if !known.contains(&name) {
                return Err(field.unknown());
            }
        }
        match self.value {
            Value::Object(fields) => Ok(Object { pointer: self.pointer.clone(), fields }),
            _ => Err(self.wrong("must be an object")),
        }
    }

    fn items(&self) -> Result<impl Iterator<Item = Field<'v>> + use<'v>, ControlError> {
        let Value::Array(items) = self.value else {
            return Err(self.wrong("must be an array"));
        };
        let pointer = self.pointer.clone();
        Ok(items
            .iter()
            .enumerate()
            .map(move |(at, value)| Field { pointer: format!("{pointer}/{at}"), value }))
    }

    fn text(&self, max_bytes: usize) -> Result<&'v str, ControlError> {
        match self.value {
            Value::String(text) if !text.is_empty() && text.len() <= max_bytes => Ok(text),
            _ => Err(self.wrong(format!("must be a string of 1 to {max_bytes} bytes"))),
        }
    }

    fn id(&self) -> Result<&'v str, ControlError> {
        self.text(MAX_ID_BYTES)
    }

    fn ids(&self) -> Result<BTreeSet<String>, ControlError> {
        self.items()?.map(|item| item.id().map(str::to_owned)).collect()
    }

    fn count(&self) -> Result<u32, ControlError> {
        let count = self.value.as_u64().and_then(|count| u32::try_from(count).ok());
        count
            .filter(|count| (1..=1_000_000_000).contains(count))
            .ok_or_else(|| self.wrong("must be an integer from 1 to 1000000000"))
    }

    fn duration(&self) -> Result<Millis, ControlError> {
        self.value.as_str().and_then(parse_duration).ok_or_else(|| {
            self.wrong(r#"must be a duration of 1ms to 36500d, such as "72h" (ms, s, m, h, d)"#)
        })
    }
}

/// RFC 6901.
fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}
