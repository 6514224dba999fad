//! `cebe segment preview`: what definitions would change, were they put in force.

pub mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use cebe_schemas::preview::Preview;
use cebe_schemas::time::Millis;

use super::eval::{time, workers};
use crate::client;
use crate::config::Config;
use crate::eval::reading::EventFile;

/// Names in each list, unless all are asked for.
const LIMIT: usize = 20;

#[derive(clap::Args)]
pub struct Args {
    /// A segment, a metric, or {"segments": [...], "metrics": [...], "remove_segments": [...],
    /// "remove_metrics": [...]}, as JSON.
    file: PathBuf,
    /// Print the answer as one JSON object, with all names.
    #[arg(long)]
    json: bool,
    /// The most names and rates in each list: 20, or all with --json.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Preview on a file of events, as `cebe eval` reads it, instead of asking the engine that
    /// listens at `http.listen`. A file has all history, also for properties that no definition has
    /// looked at.
    #[arg(long, value_name = "FILE|-")]
    events: Option<PathBuf>,
    /// With --events: what is in force from the beginning.
    #[arg(long, value_name = "FILE", requires = "events")]
    definitions: Option<PathBuf>,
    /// With --events: the time of the answer; without it, now.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "events")]
    at: Option<Millis>,
    /// With --events: dataflow workers. The answer is the same for any number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers, requires = "events")]
    workers: usize,
}

pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let shown = args.file.display();
    let document = std::fs::read(&args.file).with_context(|| format!("{shown}: cannot be read"))?;
    let limit = args.limit.unwrap_or(if args.json { usize::MAX } else { LIMIT });
    let preview = match &args.events {
        Some(events) => {
            let file = EventFile {
                events,
                definitions: args.definitions.as_deref(),
                at_ms: args.at.unwrap_or_else(super::now_ms),
                workers: args.workers,
                previewed: Some(&document),
            };
            let (mut evaluation, _) = file.evaluate(config, &mut drop)?;
            evaluation.preview(&document, limit)
        }
        None => asked(config, &document, limit),
    };
    let preview = preview.with_context(|| shown.to_string())?;
    match args.json {
        true => println!("{}", serde_json::to_string(&preview)?),
        false => print!("{}", text::render(&preview)),
    }
    Ok(ExitCode::SUCCESS)
}

fn asked(config: &Config, document: &[u8], limit: usize) -> anyhow::Result<Preview> {
    let query = [("limit", &*limit.to_string())];
    Ok(serde_json::from_str(&client::post(config, "/v1/preview", &query, document)?)?)
}
