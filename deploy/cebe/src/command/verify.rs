//! `cebe verify`: every table and every feed against the bound input, evaluated again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cebe_connectors::out::progress_log;
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::verdict::Judge;
use cebe_schemas::view::View;
use serde_json::json;

use crate::config::Config;
use crate::verify::expect::Expected;
use crate::verify::export::{Exported, export};
use crate::verify::views::Tables;
use crate::verify::{Comparison, Difference, feeds};

/// Kept input, and what it has to give.
const BOUND_FILE: &str = "bound.jsonl";

#[derive(clap::Args)]
pub struct Args {
    /// Keep the exported input and the expected rows in this folder. `cebe eval --events
    /// DIR/bound.jsonl` evaluates the input again, anywhere.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let scratch = tempfile::tempdir().context("no folder for the expected rows")?;
    let folder = args.keep.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be made", folder.display()))?;
    let judge = Judge { catalogue: config.catalogue()?.into(), keys: config.keys()?.into() };
    let kafka = config.kafka_options();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = config.clickhouse_client();
    let tables =
        Tables { runtime: &runtime, client: &client, database: &config.clickhouse.database };

    let Some(published) = progress_log::last(&kafka)? else {
        bail!("nothing was ever published, or all of it is past the topics' retention");
    };
    let at_ms = published.through.min(tables.complete_through()?);
    let bound = folder.join(BOUND_FILE);
    let Exported { bindings, records, since_ms } = export(&kafka, at_ms, &bound)?;
    let (now_ms, workers) = (super::now_ms(), config.engine.workers as usize);
    let expected = Expected::write(&bound, folder, judge, workers, at_ms, now_ms)?;
    let since_ms = since_ms.max(expected.undone_ms);
    let mut comparisons = tables.compare(&expected, at_ms, now_ms, since_ms)?;
    for view in View::ALL {
        comparisons.push(feeds::compare(&kafka, &expected, view, at_ms, since_ms)?);
    }
    let equal = comparisons.iter().all(|comparison| comparison.differences == 0);
    if args.json {
        let through = format_rfc3339(at_ms);
        let result = json!({
            "through": through, "bindings": bindings, "records": records, "equal": equal,
            "comparisons": comparisons,
        });
        println!("{result}");
    } else {
        print(at_ms, bindings, records, &comparisons);
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(at_ms: Millis, bindings: u64, records: u64, comparisons: &[Comparison]) {
    println!("{records} records in {bindings} bindings, through {}", format_rfc3339(at_ms));
    for Comparison { name, rows, differences, first, note } in comparisons {
        let note = note.as_deref().map_or(String::new(), |note| format!("   {note}"));
        println!("{name:36} {rows:>10} rows {differences:>8} differences{note}");
        if let Some(Difference { expected, found }) = first {
            println!("  expected {}", expected.as_deref().unwrap_or("nothing"));
            println!("  found    {}", found.as_deref().unwrap_or("nothing"));
        }
    }
}
