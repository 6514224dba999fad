//! Control records, read field by field so that an error can name the field.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::backfills::backfills;
use super::definition::{metric, metric_key, segment, segment_key};
use super::expand::{Given, expand};
use super::field::Field;
use super::{ControlError, ControlState, Ingestion, Settings};
use crate::definition::Definitions;
use crate::identifier::BlockList;
use crate::time::Retention;
use crate::zone::Zone;

/// More definitions than this are refused: a bound on what every event is matched with.
const MAX_DEFINITIONS: usize = 10_000;
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
    let mut given = Given::new();
    // What a record removes and puts is put.
    let mut fields: Vec<_> = root.fields()?.collect();
    fields.sort_by_key(|(name, _)| !name.starts_with("remove_"));
    for (name, field) in fields {
        match name {
            "sources" => {
                for (source, flag) in field.fields()? {
                    next.sources.insert(source.to_owned(), ingestion(&flag)?);
                }
            }
            "segments" => {
                for field in field.items()? {
                    let segment = segment(&field, &changed_by)?;
                    let key = (segment.account_id.clone(), segment.segment_id.clone());
                    given.insert(key, field.pointer);
                    definitions.put_segment(segment);
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
            "remove_metrics" => {
                for field in field.items()? {
                    let (account_id, metric) = metric_key(&field)?;
                    definitions.remove_metric(account_id, metric);
                }
            }
            "settings" => settings(&field, &mut next.settings)?,
            "backfills" => backfills(&root, &field, &mut next.undoing)?,
            "changed_by" => drop(field.text(256)?),
            _ => return Err(field.unknown()),
        }
    }
    if definitions.segments.len() + definitions.metrics.len() > MAX_DEFINITIONS {
        return Err(root.wrong(format!("more than {MAX_DEFINITIONS} definitions: remove some")));
    }
    if !given.is_empty() || root.value.get("remove_segments").is_some() {
        expand(&mut definitions, &given)?;
    }
    Ok(next.with(definitions))
}

impl ControlState {
    /// With these definitions, under the settings that it has.
    pub(super) fn with(mut self, mut definitions: Definitions) -> ControlState {
        let zones = self.settings.time_zones.iter();
        definitions.zones = zones
            .filter_map(|(account, name)| Some((Arc::from(&**account), Zone::named(name)?)))
            .collect();
        definitions.retention = Retention { months: self.settings.retention_months };
        self.definitions = Arc::new(definitions);
        self
    }
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
                    .map(|(account, field)| Ok((account.to_owned(), zone(&field)?.to_owned())))
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

fn zone<'v>(field: &Field<'v>) -> Result<&'v str, ControlError> {
    let name = field.id()?;
    match Zone::named(name) {
        Some(_) => Ok(name),
        None => Err(field.wrong("must be an IANA time zone, such as Asia/Makassar")),
    }
}
