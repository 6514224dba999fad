//! `cebe settings`: what operators change while the engine runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cebe_connectors::kafka::control::{ControlRecord, read};
use cebe_schemas::control::{ControlState, Settings};
use cebe_schemas::time::{Millis, format_rfc3339};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{control, definition};
use crate::config::Config;

const EXAMPLE: &str = r#"Examples:
  cebe settings set max_customers_per_identifier=3
  cebe settings set dedup_horizon=400d retention_months=24
  cebe settings set 'block_list=["+62811111111"]' 'time_zones={"acc-17": "Asia/Makassar"}'
  cebe settings set settings.json

A list or a map is replaced as a whole. Changing what links customers re-derives history: it is in force
at one logical time, and only differences are published."#;

#[derive(Subcommand)]
#[command(rename_all = "kebab-case")]
pub enum Command {
    /// Change settings, in force from the next tick on.
    #[command(after_long_help = EXAMPLE)]
    Set {
        /// KEY=VALUE, with a VALUE of JSON or plain text; or one file with a JSON object.
        ///
        /// max_customers_per_identifier, max_customers_per_person, block_list, dedup_horizon,
        /// retention_months, time_zones, strict_sources, hashed_key_sources.
        #[arg(required = true, value_name = "KEY=VALUE|FILE")]
        settings: Vec<String>,
    },
    /// Print the settings in force, as `set` takes them.
    Show {
        /// As one JSON object: setting → {"value", "since", "changed_by"}.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Set { settings } => {
            control::put(config, json!({ "settings": given(&settings)? }), false)
        }
        Command::Show { json } => show(config, json),
    }
}

/// The settings that are named.
fn given(settings: &[String]) -> anyhow::Result<Value> {
    if let [file] = settings
        && !file.contains('=')
    {
        return definition::read_json(Path::new(file));
    }
    let mut given = Map::new();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            bail!("{setting}: give KEY=VALUE, or one file with a JSON object");
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        given.insert(key.to_owned(), value);
    }
    Ok(Value::Object(given))
}

/// A setting was changed: when, and by whom.
type Change = (Millis, String);

fn show(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let records = read(&config.kafka_options()).context("cebe.control cannot be read")?;
    let (settings, changes) = folded(&records);
    let settings = shown(&settings);
    if as_json {
        let with_change = |(key, value): (&String, &Value)| {
            let change = changes.get(key);
            let since = change.map(|(at_ms, _)| format_rfc3339(*at_ms));
            let by = change.map(|(_, by)| by);
            (key.clone(), json!({ "value": value, "since": since, "changed_by": by }))
        };
        println!("{}", Value::Object(settings.iter().map(with_change).collect()));
        return Ok(ExitCode::SUCCESS);
    }
    for (key, value) in &settings {
        let setting = match value {
            Value::String(text) => format!("{key}={text}"),
            value => format!("{key}={value}"),
        };
        match changes.get(key) {
            Some((at_ms, by)) => println!("{setting:40} since {}, by {by}", format_rfc3339(*at_ms)),
            None => println!("{setting:40} by default"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings after all records, and who changed each of them last. Those in a record that waits for
/// history are counted in.
fn folded(records: &[ControlRecord]) -> (Settings, BTreeMap<String, Change>) {
    let mut state = ControlState::new();
    let mut changes = BTreeMap::new();
    for record in records {
        let before = shown(state.settings());
        // A record that changes nothing was reported where it was bound.
        if !state.apply(&record.payload).is_ok_and(|applied| applied.settings_changed) {
            continue;
        }
        let document: Value = serde_json::from_slice(&record.payload).unwrap_or_default();
        let by = document["changed_by"].as_str().unwrap_or_default();
        for (key, value) in shown(state.settings()) {
            if before.get(&key) != Some(&value) {
                changes.insert(key, (record.created_ms, by.to_owned()));
            }
        }
    }
    (state.settings().clone(), changes)
}

/// As control records have them.
pub fn shown(settings: &Settings) -> Map<String, Value> {
    let fields = [
        ("max_customers_per_identifier", json!(settings.max_customers_per_identifier)),
        ("max_customers_per_person", json!(settings.max_customers_per_person)),
        ("block_list", json!(settings.block_list.entries())),
        ("dedup_horizon", json!(duration(settings.dedup_horizon_ms))),
        ("retention_months", json!(settings.retention_months)),
        ("time_zones", json!(settings.time_zones)),
        ("strict_sources", json!(settings.strict_sources)),
        ("hashed_key_sources", json!(settings.hashed_key_sources)),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// In the largest unit that it is a whole number of.
fn duration(ms: Millis) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms % unit == 0);
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, payload: Value) -> ControlRecord {
        ControlRecord { offset, created_ms: offset, payload: payload.to_string().into_bytes() }
    }

    #[test]
    fn what_is_shown_can_be_set_again() {
        let given = json!({
            "max_customers_per_identifier": 3, "max_customers_per_person": 9, "block_list": ["x"],
            "dedup_horizon": "36h", "retention_months": 36, "time_zones": {"a": "Asia/Makassar"},
            "strict_sources": ["cdp"], "hashed_key_sources": ["ads"],
        });
        let (settings, changes) = folded(&[
            record(1, json!({"settings": given.clone(), "changed_by": "me"})),
            record(2, json!({"settings": {"retention_months": 0}})),
            record(3, json!({"settings": {"retention_months": 24}, "changed_by": "you"})),
        ]);
        let mut expected = given;
        expected["retention_months"] = json!(24);
        assert_eq!(Value::Object(shown(&settings)), expected);
        assert_eq!(changes["retention_months"], (3, "you".into()));
        assert_eq!(changes["block_list"], (1, "me".into()));
    }

    #[test]
    fn values_are_json_or_text() {
        let of = |settings: &[&str]| {
            given(&settings.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let expected = json!({"a": 3, "b": "400d", "c": ["x=y"], "d": ""});
        assert_eq!(of(&["a=3", "b=400d", r#"c=["x=y"]"#, "d="]).unwrap(), expected);
        assert!(of(&["a=3", "b"]).unwrap_err().to_string().contains("KEY=VALUE"));
        assert!(of(&["/no/such/file"]).unwrap_err().to_string().contains("cannot be read"));
    }
}
