//! `cebe replay`: rejected and skipped records, taken in again.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::bail;
use cebe_connectors::kafka::{KafkaOptions, control};
use cebe_connectors::replay::{Offsets, Outcome, Period, Rejected, Replay, Selection};
use cebe_connectors::replay::{rejected, skipped};
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::time::{Millis, format_rfc3339, parse_rfc3339};
use clap::ArgGroup;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::config::Config;

/// The newest records may be on their way into ClickHouse.
const LOADER_MS: Millis = 10_000;

const EXAMPLES: &str = "\
Examples:
  Team broadcast has fixed the version it publishes; what was rejected on Monday morning:
    cebe replay --rejected --source broadcast --reason unsupported_version \\
      --from 2026-11-23T01:00:00Z --to 2026-11-23T05:00:00Z --dry-run
  The source ads was off for a week and is on again:
    cebe source on ads
    cebe replay --skipped --source ads --from 2026-11-16 --to 2026-11-23

The originals are read from Kafka and published again, byte for byte, to the topic and partition
that they came from. They count at their original occurred_at. What was taken in before is a
duplicate, so a replay can be repeated. Records that have left Kafka are reported as gone.";

/// Take rejected or skipped records in again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("which").required(true)))]
pub struct Args {
    /// Records that were rejected (view `rejected_events`).
    #[arg(long, group = "which")]
    rejected: bool,
    /// Records that were skipped while their source was off (view `skipped_ranges`).
    #[arg(long, group = "which", requires = "source", conflicts_with_all = ["reason", "account"])]
    skipped: bool,
    /// Only those of this source module.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only those rejected with this reason code, such as `unsupported_version`.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Only those of this account.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only those that arrived at or after this time: RFC 3339, or a day (UTC).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Millis,
    /// Only those that arrived before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Millis,
    /// Say what would be replayed, and publish nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

pub fn run(config: Config, args: Args) -> anyhow::Result<ExitCode> {
    if args.from >= args.to {
        bail!("--from must be before --to");
    }
    let kafka = config.kafka_options();
    let selection = select(&config, &kafka, &args)?;
    let through_ms = selection.complete_through_ms.unwrap_or(Millis::MIN);
    if through_ms < args.to.min(super::now_ms() - LOADER_MS) {
        let through = selection.complete_through_ms.map(format_rfc3339);
        let through = through.as_deref().unwrap_or("never");
        eprintln!("warning: ClickHouse is complete through {through}; later records are left out");
    }
    if selection.control_records > 0 {
        eprintln!(
            "{} rejected control records or counts are left out: publish them anew instead",
            selection.control_records
        );
    }
    let replay = Replay::open(&kafka)?;
    let outcome = if args.dry_run {
        replay.try_out(&selection.offsets)?
    } else {
        publish(replay, &selection.offsets)?
    };
    report(&args, &selection, &outcome);
    Ok(ExitCode::SUCCESS)
}

fn select(config: &Config, kafka: &KafkaOptions, args: &Args) -> anyhow::Result<Selection> {
    let client = config.clickhouse_client().with_database(&config.clickhouse.database);
    let period = Period { from_ms: args.from, to_ms: args.to };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let (true, Some(source)) = (args.skipped, &args.source) {
        if !args.dry_run && is_off(kafka, source)? {
            bail!("source {source} is off, all would be skipped again: cebe source on {source}");
        }
        return Ok(runtime.block_on(skipped(&client, &kafka.topics, period, source))?);
    }
    let which = Rejected {
        source: args.source.clone(),
        reason: args.reason.clone(),
        account: args.account.clone(),
    };
    Ok(runtime.block_on(rejected(&client, &kafka.topics, period, &which))?)
}

fn is_off(kafka: &KafkaOptions, source: &str) -> anyhow::Result<bool> {
    let mut state = ControlState::new();
    for record in control::read(kafka)? {
        // A record that changes nothing was reported where it was bound.
        let _ = state.apply(&record.payload);
    }
    Ok(*state.ingestion(source) == Ingestion::Off)
}

/// Shows a bar on a terminal.
fn publish(replay: Replay, offsets: &Offsets) -> anyhow::Result<Outcome> {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(offsets.len())
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(ProgressStyle::with_template(
        "replay {wide_bar} {pos}/{len} {per_sec} {eta} left",
    )?);
    let outcome = replay.run(offsets, |outcome| bar.set_position(outcome.replayed + outcome.gone));
    bar.finish_and_clear();
    Ok(outcome?)
}

fn report(args: &Args, selection: &Selection, outcome: &Outcome) {
    let Outcome { selected, replayed, gone } = outcome;
    if args.json {
        let partitions: Vec<_> = selection
            .offsets
            .partitions()
            .map(|(topic, partition, selected)| {
                json!({"topic": topic, "partition": partition, "selected": selected})
            })
            .collect();
        let summary = json!({
            "selected": selected, "replayed": replayed, "gone": gone, "dry_run": args.dry_run,
            "control_records": selection.control_records, "partitions": partitions,
        });
        println!("{summary}");
        return;
    }
    if args.dry_run {
        for (topic, partition, selected) in selection.offsets.partitions() {
            println!("{topic}/{partition}: {selected}");
        }
    }
    let would = if args.dry_run { "would be replayed" } else { "replayed" };
    println!("{selected} selected, {replayed} {would}, {gone} gone from kafka");
}

/// RFC 3339, or a day, which begins at midnight UTC.
fn time(text: &str) -> Result<Millis, String> {
    parse_rfc3339(text)
        .or_else(|| parse_rfc3339(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "give 2026-11-23T04:31:00Z, with an offset or Z, or 2026-11-23".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn accepted(line: &str) -> bool {
        let period = "--from 2026-11-23 --to 2026-11-24T00:00:00+07:00";
        Cli::try_parse_from(format!("replay {line} {period}").split_whitespace()).is_ok()
    }

    #[test]
    fn one_of_two_modes_is_asked_for() {
        assert!(accepted("--rejected"));
        assert!(accepted("--rejected --source cdp --reason too_old --account a --dry-run"));
        assert!(accepted("--skipped --source ads --json"));
        for wrong in [
            "",
            "--skipped",
            "--rejected --skipped --source ads",
            "--skipped --source ads --reason too_old",
            "--skipped --source ads --account a",
        ] {
            assert!(!accepted(wrong), "{wrong}");
        }
    }

    #[test]
    fn times_are_rfc_3339_or_days() {
        assert_eq!(time("1970-01-02"), Ok(86_400_000));
        assert_eq!(time("1970-01-01T07:00:01+07:00"), Ok(1_000));
        for wrong in ["", "yesterday", "1970-01-01T00:00:00", "1970-13-01"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
