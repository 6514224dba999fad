//! `cebe explain`: why a customer belongs to a segment, or does not.

mod text;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use cebe_schemas::explanation::{Explanation, FoundEvent};
use cebe_schemas::row::{EventRow, Row};
use cebe_schemas::time::Millis;
use serde_json::{Map, Value};

use super::eval::{time, workers};
use crate::client;
use crate::config::Config;
use crate::eval::reading::EventFile;

const EXAMPLE: &str = "\
Examples:
  cebe explain --account acc-17 --customer 7 --segment warm-jakarta
  cebe explain --account acc-17 --customer 7 --segment warm-jakarta \\
      --events events.jsonl --definitions definitions.json --at 2026-11-23T05:00:00Z

docs/guides/explain.md reads an answer line by line.";

#[derive(clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// The tenant.
    #[arg(long)]
    account: String,
    /// Any customer id of the person.
    #[arg(long)]
    customer: String,
    /// The segment.
    #[arg(long)]
    segment: String,
    /// Print the explanation as one JSON object.
    #[arg(long)]
    json: bool,
    /// Explain from a file of events, as `cebe eval` reads it, instead of asking the engine that
    /// listens at `http.listen`.
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
    let explanation = match &args.events {
        Some(events) => of_file(config, args, events.clone())?,
        None => {
            let query = [
                ("account_id", args.account.as_str()),
                ("customer_id", &args.customer),
                ("segment_id", &args.segment),
            ];
            serde_json::from_str(&client::get(config, "/v1/explain", &query)?)?
        }
    };
    match args.json {
        true => println!("{}", serde_json::to_string(&explanation)?),
        false => print!("{}", text::render(&explanation, &args.customer)),
    }
    Ok(ExitCode::SUCCESS)
}

fn of_file(config: &Config, args: &Args, events: PathBuf) -> anyhow::Result<Explanation> {
    let file = EventFile {
        events: &events,
        definitions: args.definitions.as_deref(),
        at_ms: args.at.unwrap_or_else(super::now_ms),
        workers: args.workers,
        previewed: None,
    };
    let mut stored: Vec<EventRow> = Vec::new();
    let (mut evaluation, _) = file.evaluate(config, &mut |row| match row {
        Row::Event(row) if *row.account_id == *args.account => stored.push(row),
        _ => {}
    })?;
    let ids = [&*args.account, &*args.customer, &*args.segment];
    let (mut explanation, tokens) = evaluation.explain(ids)?;
    let (wanted, tokens) = (explanation.wanted(), tokens.into_iter().collect::<HashSet<_>>());
    let members: HashSet<_> = explanation.person.member_ids.iter().map(|id| &**id).collect();
    let is_of_person = |row: &EventRow| match &*row.qontak_customer_id {
        "" => row.identifier_tokens.iter().any(|token| tokens.contains(token)),
        customer => members.contains(customer),
    };
    let events = stored.into_iter().filter(is_of_person).map(found);
    let events: Vec<_> =
        events.filter(|e| wanted.contains(&(e.event_name.clone(), e.occurred_at))).collect();
    explanation.find(&events);
    Ok(*explanation)
}

fn found(row: EventRow) -> FoundEvent {
    let payload: Value = serde_json::from_str(&row.payload).unwrap_or_default();
    let properties = payload.get("properties").and_then(Value::as_object);
    FoundEvent {
        idempotency_key: row.idempotency_key,
        event_name: row.event_name,
        source_module: row.source_module,
        customer_id: row.qontak_customer_id,
        occurred_at: row.occurred_at,
        properties: properties.cloned().unwrap_or_else(Map::new),
    }
}
