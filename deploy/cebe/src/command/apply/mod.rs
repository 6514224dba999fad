//! `cebe apply`: the definitions, flags and settings of a folder, put in force together.
//!
//! * [`folder`]: what a folder wants. [`plan`]: how that differs from what is in force; pure.

mod folder;
mod plan;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cebe_connectors::kafka::control as records;
use cebe_schemas::control::ControlState;
use cebe_schemas::preview::Preview;
use serde_json::Value;

use super::control;
use super::preview::text;
use crate::client;
use crate::config::Config;
use folder::Wanted;
use plan::Plan;

/// Names in each list of the preview, unless all are asked for.
const LIMIT: usize = 5;

const EXAMPLES: &str = "Examples:
  cebe apply definitions/ --dry-run     say what would change, and change nothing
  cebe apply definitions/               the same, ask, and do it
  cebe apply definitions/ --yes --wait  for pipelines: until it is in force over all history
  cebe apply definitions/ --prune       remove what the folder does not have, of the accounts that it names

Every *.json below the folder is read: a segment, a metric, or
{\"segments\": […], \"metrics\": […], \"settings\": {…}, \"sources\": {\"cdp\": \"on\"}}.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder, or one file.
    folder: PathBuf,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Remove segments and metrics that are not in the folder, of accounts that it names.
    #[arg(long)]
    prune: bool,
    /// Return only once it is in force over all history.
    #[arg(long)]
    wait: bool,
    /// Names in each list of the preview.
    #[arg(long, value_name = "N", default_value_t = LIMIT)]
    limit: usize,
    /// Print the plan as one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = Wanted::read(&args.folder)?;
    let state = in_force(config)?;
    let plan = Plan::new(&state, &wanted, args.prune)?;
    let preview = previewed(config, &plan, args.limit);
    match args.json {
        true => println!("{}", plan.json(preview.as_ref().ok())),
        false => tell(&plan, preview),
    }
    if plan.is_empty() || args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !agreed(plan.changes())? {
        eprintln!("nothing is changed");
        return Ok(ExitCode::FAILURE);
    }
    control::put(config, plan.record(), args.wait)
}

/// Everything that was said on `cebe.control`, also what no engine has taken in yet.
fn in_force(config: &Config) -> anyhow::Result<ControlState> {
    let mut state = ControlState::new();
    for record in records::read(&config.kafka_options())? {
        // A record that changes nothing was reported where it was bound.
        let _ = state.apply(&record.payload);
    }
    Ok(state)
}

/// What the engine says that the definitions would change; none: there are none.
fn previewed(config: &Config, plan: &Plan, limit: usize) -> anyhow::Result<Option<Preview>> {
    let Some(document) = plan.definitions() else { return Ok(None) };
    let query = [("limit", &*limit.to_string())];
    let answer = client::post(config, "/v1/preview", &query, document.to_string().as_bytes())?;
    Ok(Some(serde_json::from_str(&answer)?))
}

fn tell(plan: &Plan, preview: anyhow::Result<Option<Preview>>) {
    print!("{plan}");
    match preview {
        Ok(None) => {}
        Ok(Some(preview)) => print!("\n{}", text::render(&preview)),
        Err(error) => eprintln!("who would enter and leave cannot be said: {error:#}"),
    }
}

fn agreed(changes: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "nobody can be asked: give --yes to apply {changes} changes, or --dry-run to see them only"
        );
    }
    eprint!("apply {changes} changes? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("no answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Fields of a document, or nothing.
fn list<'d>(document: &'d Value, name: &str) -> impl Iterator<Item = &'d Value> {
    document[name].as_array().into_iter().flatten()
}
