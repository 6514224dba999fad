//! `cebe eval`: what the engine would make of a file of events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cebe_schemas::time::{Millis, parse_rfc3339};
use serde_json::json;

use crate::config::Config;
use crate::eval::files;
use crate::eval::reading::EventFile;
use crate::eval::views::Views;

const EXAMPLE: &str = r#"Example:
  cat > events.jsonl <<'END'
  {"received_at": "2026-11-23T04:31:00Z", "event_name": "broadcast.sent", "schema_version": 1, "source_module": "broadcast", "idempotency_key": "s-1", "account_id": "acc-17", "qontak_customer_id": "7", "occurred_at": "2026-11-23T04:31:00Z", "properties": {"broadcast_id": "b-204"}}
  {"received_at": "2026-11-23T04:45:00Z", "event_name": "broadcast.replied", "schema_version": 1, "source_module": "broadcast", "idempotency_key": "r-1", "account_id": "acc-17", "qontak_customer_id": "7", "occurred_at": "2026-11-23T04:44:00Z", "properties": {}}
  END
  cebe eval --events events.jsonl --at 2026-11-23T05:00:00Z --out answers
  cat answers/metric_values.jsonl

docs/guides/eval.md has the rest."#;

#[derive(clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// Events in order of arrival, one envelope a line; `-` is standard input.
    ///
    /// `received_at` on a line is its arrival (on all lines or on none; none: all arrive at --at).
    /// A line {"control": {...}} changes a definition, a flag or a setting at that time. A file
    /// that `cebe verify --keep` has written is recognised by its first line.
    #[arg(long, value_name = "FILE|-")]
    events: PathBuf,
    /// What is in force from the beginning: {"segments": [...], "metrics": [...], "settings":
    /// {...}, "sources": {"cdp": "on"}}.
    ///
    /// Without `sources` every source is on; with it, those that it does not list are off.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// The time of the answers: RFC 3339 or epoch milliseconds. Lines that arrive later are not
    /// read. Without it: now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Millis>,
    /// Dataflow workers. The answers are the same for any number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers)]
    workers: usize,
    /// The folder for the answers, one file a view; files of those names are overwritten.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the summary as one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn time(text: &str) -> Result<Millis, String> {
    let ms = parse_rfc3339(text).or_else(|| text.parse().ok()).filter(|ms| *ms >= 0);
    ms.ok_or_else(|| {
        "give an RFC 3339 date-time with offset, such as 2026-11-23T04:31:00Z, or epoch \
         milliseconds"
            .into()
    })
}

pub fn workers(text: &str) -> Result<usize, String> {
    let max = cebe_dataflow::WORKERS_MAX;
    let count = text.parse().ok().filter(|count| (1..=max).contains(count));
    count.ok_or_else(|| format!("give 1 to {max}; more than there are cores is slower"))
}

pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let file = EventFile {
        events: &args.events,
        definitions: args.definitions.as_deref(),
        at_ms: args.at.unwrap_or_else(super::now_ms),
        workers: args.workers,
        previewed: None,
    };
    let mut views = Views::default();
    let (_, records) = file.evaluate(config, &mut |row| views.fold(row))?;
    let written = files::write(&views, &args.out)?;
    let summary = Summary {
        records,
        verdicts: verdicts(&views),
        files: written,
        seconds: begin.elapsed().as_secs_f64(),
    };
    if args.json {
        summary.print_json()
    } else {
        summary.print()
    }
    Ok(ExitCode::SUCCESS)
}

/// accepted, duplicate, skipped, and each reason of rejection.
fn verdicts(views: &Views) -> BTreeMap<String, u64> {
    let mut verdicts = BTreeMap::new();
    for row in views.ingest_ledger() {
        for (name, count) in
            [("accepted", row.accepted), ("duplicate", row.duplicate), ("skipped", row.skipped)]
        {
            *verdicts.entry(name.to_owned()).or_default() += count;
        }
    }
    for row in views.rejected_events() {
        *verdicts.entry(row.reason.to_owned()).or_default() += 1;
    }
    verdicts.retain(|_, count| *count > 0);
    verdicts
}

struct Summary {
    records: usize,
    verdicts: BTreeMap<String, u64>,
    files: Vec<(&'static str, u64)>,
    seconds: f64,
}

impl Summary {
    fn print(&self) {
        println!("{} records in {:.1} s", self.records, self.seconds);
        for (verdict, count) in &self.verdicts {
            println!("{count:>12} {verdict}");
        }
        println!("rows");
        for (view, count) in &self.files {
            println!("{count:>12} {view}.jsonl");
        }
    }

    fn print_json(&self) {
        let files: BTreeMap<_, _> = self.files.iter().copied().collect();
        let (records, verdicts, seconds) = (self.records, &self.verdicts, self.seconds);
        let summary =
            json!({"records": records, "verdicts": verdicts, "rows": files, "seconds": seconds});
        println!("{summary}");
    }
}
