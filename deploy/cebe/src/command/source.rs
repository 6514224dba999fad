//! `cebe source`: which sources are taken in.

use std::process::ExitCode;

use cebe_connectors::kafka::control;
use cebe_schemas::control::ControlState;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{control as records, topic_list};
use crate::config::Config;

#[derive(Subcommand)]
pub enum Source {
    /// List every source with its flag.
    List {
        /// As one JSON object, source → flag.
        #[arg(long)]
        json: bool,
    },
    /// Take a source's events in, from the next tick on.
    On {
        /// The source module: the suffix of its topic.
        name: String,
        /// Only those of these accounts, as a canary; the others are skipped.
        #[arg(long, value_delimiter = ',', value_name = "ACCOUNT,…")]
        accounts: Vec<String>,
    },
    /// Skip a source's events from the next tick on. What is skipped can be replayed later.
    Off {
        /// The source module.
        name: String,
    },
}

pub fn run(config: Config, source: Source) -> anyhow::Result<ExitCode> {
    match source {
        Source::List { json } => list(&config, json).map(|()| ExitCode::SUCCESS),
        Source::On { name, accounts } if accounts.is_empty() => set(&config, &name, json!("on")),
        Source::On { name, accounts } => set(&config, &name, json!({ "accounts": accounts })),
        Source::Off { name } => set(&config, &name, json!("off")),
    }
}

fn set(config: &Config, name: &str, flag: Value) -> anyhow::Result<ExitCode> {
    records::put(config, json!({ "sources": { name: flag } }), false)
}

fn list(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let options = config.kafka_options();
    let mut state = ControlState::new();
    for record in control::read(&options)? {
        // A record that changes nothing was reported where it was bound.
        let _ = state.apply(&record.payload);
    }
    let mut names = topic_list(config)?;
    names.extend(state.sources().keys().cloned());
    if as_json {
        let flags: serde_json::Map<String, Value> =
            names.iter().map(|name| (name.clone(), state.ingestion(name).to_json())).collect();
        println!("{}", Value::Object(flags));
    } else {
        for name in names {
            let flag = match state.ingestion(&name).to_json() {
                Value::String(flag) => flag,
                other => other.to_string(),
            };
            println!("{name:16} {flag}");
        }
    }
    Ok(())
}
