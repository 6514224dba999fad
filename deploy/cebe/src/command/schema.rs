//! `cebe schema`: event schemas, for people and for CI.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use cebe_schemas::additive;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::{Judge, Verdict};
use clap::Subcommand;
use serde_json::Value;

use crate::config::Config;

#[derive(Subcommand)]
pub enum Schema {
    /// List every event type and version.
    List,
    /// Print the schema of an event type.
    Show {
        /// `source/event` or `source/event/version`; without a version, the newest.
        name: String,
    },
    /// Tell whether NEW is an additive change of OLD; exit status 1 if it is not.
    Check {
        /// The schema as it is.
        old: PathBuf,
        /// The schema as it would be.
        new: PathBuf,
    },
    /// Judge events as the engine would; exit status 1 if any is rejected.
    Validate {
        /// One event as JSON, or one a line.
        file: PathBuf,
    },
}

pub fn run(config: &Config, schema: Schema) -> anyhow::Result<ExitCode> {
    match schema {
        Schema::List => {
            for (source, event, version) in config.catalogue()?.list() {
                println!("{source}/{event}/{version}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Schema::Show { name } => show(config, &name),
        Schema::Check { old, new } => check(&old, &new),
        Schema::Validate { file } => validate(config, &file),
    }
}

fn show(config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let catalogue = config.catalogue()?;
    let mut parts = name.splitn(3, '/');
    let (source, event) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let version = parts.next().map(str::parse).transpose().context("the version is a number")?;
    let Some(text) = catalogue.text(source, event, version) else {
        bail!("{name}: no such schema; see cebe schema list");
    };
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn check(old: &Path, new: &Path) -> anyhow::Result<ExitCode> {
    let read = |path: &Path| -> anyhow::Result<Value> {
        let shown = path.display();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read"))?;
        serde_json::from_str(&text).with_context(|| format!("{shown}: not JSON"))
    };
    let breaches = additive::check(&read(old)?, &read(new)?);
    for breach in &breaches {
        println!("{}: {breach}", new.display());
    }
    Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn validate(config: &Config, file: &Path) -> anyhow::Result<ExitCode> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("{shown}: cannot be read"))?;
    let judge = Judge { catalogue: config.catalogue()?.into(), keys: Keys::development().into() };
    let control = ControlState::with_unlisted(Ingestion::On);
    let now_ms = super::now_ms();
    let mut rejected = 0;
    for (number, event) in events(&bytes).into_iter().enumerate() {
        let source = serde_json::from_slice::<Value>(event)
            .ok()
            .and_then(|e| Some(e.get("source_module")?.as_str()?.to_owned()))
            .unwrap_or_default();
        match judge.judge(&source, event, &control, now_ms) {
            Verdict::Rejected(why) => {
                rejected += 1;
                let (reason, pointer) = (why.reason.as_str(), &why.pointer);
                println!("{shown}: event {}: {reason} {pointer}: {}", number + 1, why.message);
            }
            Verdict::Valid(_) | Verdict::Skipped => {
                println!("{shown}: event {}: accepted", number + 1);
            }
        }
    }
    Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The whole file if that is one JSON value, else its lines.
fn events(bytes: &[u8]) -> Vec<&[u8]> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        return vec![bytes];
    }
    bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect()
}
