//! Begins a job.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use cebe_connectors::backfill::input::{self, Input, Mapping, since};
use cebe_connectors::backfill::job::{JobFile, Jobs, Says, Start};
use cebe_connectors::backfill::log::{JobLog, append};
use cebe_connectors::kafka::{KafkaOptions, control, topics};
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::time::{Millis, format_rfc3339};

use super::{CREATE_PATIENCE, artefacts, follow, query};
use crate::command::now_ms;
use crate::config::Config;

/// Partitions of a new topic of backfills.
const PARTITIONS: u32 = 4;

#[derive(clap::Args)]
pub struct Args {
    /// The source module whose events these are.
    #[arg(long, value_name = "SOURCE")]
    source: String,
    /// Files or globs of them (JSON lines, CSV, TSV, Parquet; `.gz` and `.zst` too), or a SELECT for ClickHouse.
    #[arg(long, required = true, num_args = 1.., value_name = "FILES|QUERY")]
    from: Vec<String>,
    /// How columns become fields, as TOML (docs/guides/backfill.md). Without it columns have to be called
    /// as the fields are.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Leave out what happened before: months back (12mo), a duration (90d), a day or a time.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// The most events a second; `auto`: as many as live events leave room for.
    #[arg(long, default_value = "auto", value_parser = rate, value_name = "auto|N")]
    rate: Rate,
    /// Stop when so many events are published: each that is accepted takes 300 to 400 bytes of the
    /// engine's memory.
    #[arg(long, default_value_t = 20_000_000, value_name = "N")]
    events_max: u64,
    /// Where ClickHouse answers the query, if it is another server than that of the settings.
    #[arg(long, value_name = "URL")]
    clickhouse_url: Option<String>,
    /// Publish although another job has read the same file. What was taken in is a duplicate.
    #[arg(long)]
    again: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate(Option<u32>);

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "auto" => Ok(Rate(None)),
        _ => match text.parse() {
            Ok(rate) if rate > 0 => Ok(Rate(Some(rate))),
            _ => Err("give auto, or events a second, such as 2000".to_owned()),
        },
    }
}

pub(super) fn run(config: &Config, kafka: &KafkaOptions, args: &Args) -> anyhow::Result<ExitCode> {
    check_source(kafka, &args.source)?;
    let now = now_ms();
    let since_ms = args.since.as_deref().map(|text| since(text, now)).transpose()?;
    let mapping = match &args.mapping {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("--mapping {}", path.display()))?,
        ),
        None => None,
    };
    let parsed = mapping.as_deref().map(Mapping::parse).transpose().context("--mapping")?;
    let log = JobLog::open(kafka)?;
    artefacts::remove_old(config, log.jobs())?;
    let id = new_id(&args.source, now);
    let files = files(config, args, &id, parsed)?;
    if !args.again {
        check_new(log.jobs(), &files)?;
    }
    topics::create_backfill(kafka, &args.source, PARTITIONS, CREATE_PATIENCE)?;
    let start = Start {
        source_module: args.source.clone(),
        from: args.from.clone(),
        files,
        mapping,
        since_ms,
        rate: args.rate.0,
        events_max: args.events_max,
    };
    append(kafka, &id, Says::Started(start))?;
    eprintln!("job {id}");
    follow::go_on(config, kafka, &id, args.json)
}

/// What is off would all be skipped.
fn check_source(kafka: &KafkaOptions, source: &str) -> anyhow::Result<()> {
    let mut state = ControlState::new();
    for record in control::read(kafka)? {
        // A record that changes nothing was reported where it was bound.
        let _ = state.apply(&record.payload);
    }
    if *state.ingestion(source) == Ingestion::Off {
        bail!("source {source} is off, so that all would be skipped: cebe source on {source}");
    }
    Ok(())
}

fn files(
    config: &Config,
    args: &Args,
    id: &str,
    mapping: Option<Mapping>,
) -> anyhow::Result<Vec<JobFile>> {
    let (queries, patterns): (Vec<&String>, Vec<&String>) =
        args.from.iter().partition(|from| query::is_query(from));
    let paths = match (&queries[..], patterns.is_empty()) {
        ([], _) => input::find(&args.from)?,
        ([sql], true) => {
            let url = args.clickhouse_url.as_deref();
            vec![query::spool(config, url, id, sql, mapping.is_some())?]
        }
        _ => bail!("--from: give files, or one query"),
    };
    let absolute =
        |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
    let paths = paths.into_iter().map(absolute).collect::<anyhow::Result<Vec<_>>>()?;
    let input = Input::open(paths, mapping)?;
    let file = |file: &input::InputFile| JobFile {
        path: file.path.to_string_lossy().into_owned(),
        bytes: file.bytes,
        digest: file.digest.clone(),
    };
    Ok(input.files().iter().map(file).collect())
}

fn check_new(jobs: &Jobs, files: &[JobFile]) -> anyhow::Result<()> {
    for file in files {
        if let Some(job) = jobs.reading(&file.digest) {
            bail!(
                "{} is what job {} reads, {} since {}: nothing is published. Resume that job if it is not \
                 done, or give --again",
                file.path,
                job.id,
                job.standing.as_str(),
                format_rfc3339(job.begun_ms)
            );
        }
    }
    Ok(())
}

/// Unique among people who start jobs in one second.
fn new_id(source: &str, now_ms: Millis) -> String {
    let digits: String = format_rfc3339(now_ms).chars().filter(char::is_ascii_digit).collect();
    let (day, time) = (digits.get(..8).unwrap_or_default(), digits.get(8..14).unwrap_or_default());
    let random = std::process::id() ^ (now_ms as u32).rotate_left(16);
    // A header holds at most 64 bytes.
    let source: String = source.chars().take(40).collect();
    format!("{source}-{day}-{time}-{:06x}", random & 0xff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_source_and_time() {
        let id = new_id("cdp", 1_795_408_260_123);
        assert!(id.starts_with("cdp-20261123-043100-"), "{id}");
        assert!(new_id(&"s".repeat(100), 0).len() <= 64);
    }

    #[test]
    fn a_rate_is_auto_or_a_number() {
        assert_eq!((rate("auto"), rate("2000")), (Ok(Rate(None)), Ok(Rate(Some(2_000)))));
        for wrong in ["0", "-1", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
