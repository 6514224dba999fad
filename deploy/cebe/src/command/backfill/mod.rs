//! `cebe backfill`: history, brought in beside live events.

mod artefacts;
mod follow;
mod query;
mod rejects;
mod shown;
mod start;
mod undo;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use cebe_connectors::backfill::job::{Job, Jobs, Says, Standing};
use cebe_connectors::backfill::log::{JobLog, append};
use cebe_connectors::backfill::taken::Taken;
use cebe_connectors::kafka::{KafkaOptions, topics};
use clap::Subcommand;

use crate::config::Config;
pub use shown::Shown;

const CREATE_PATIENCE: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  cebe backfill start --source cdp --from 'history/*.jsonl.gz' --since 12mo
  cebe backfill start --source broadcast --from sent.csv --mapping sent.toml
  cebe backfill start --source ads --from \"SELECT * FROM legacy.clicks ORDER BY id\"
  cebe backfill status cdp-20261127-064610-3fa2c1
  cebe backfill list
  cebe backfill undo cdp-20261127-064610-3fa2c1

A job that was stopped, by a signal or a crash, goes on where it was: cebe backfill resume JOB.
docs/guides/backfill.md follows one from beginning to end.";

/// Bring past events in, in batches, while live events go first.
#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Backfill {
    /// Begin a job, and publish its events until all are taken in.
    Start(start::Args),
    /// Say how far a job is, and what became of its events.
    Status {
        /// The job.
        job: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List all jobs, the newest first.
    List {
        /// As one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let a job stop after its batch, until it is resumed.
    Pause {
        /// The job.
        job: String,
    },
    /// Go on with a job that was paused or whose process has ended.
    Resume {
        /// The job.
        job: String,
        /// Print the result as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Let a job stop for good. What it has published stays.
    Cancel {
        /// The job.
        job: String,
    },
    /// Take a job's events out again: everything is as if they had never been read. For a week after the job.
    ///
    /// Live events wait meanwhile: the engine works through everything again that was read since the job began.
    /// Erasures that came with the job stay.
    Undo {
        /// The job.
        job: String,
        /// Print the result as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write the rejected events of a job, one JSON object a line: reason, field, masked payload.
    Rejects {
        /// The job.
        job: String,
        /// To this file; to standard output without it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub fn run(config: &Config, backfill: Backfill) -> anyhow::Result<ExitCode> {
    let kafka = config.kafka_options();
    topics::create_missing(&kafka, CREATE_PATIENCE)?;
    match backfill {
        Backfill::Start(args) => start::run(config, &kafka, &args),
        Backfill::Status { job, json } => status(&kafka, &job, json),
        Backfill::List { json } => list(config, &kafka, json),
        Backfill::Pause { job } => tell(&kafka, &job, Says::Paused),
        Backfill::Cancel { job } => tell(&kafka, &job, Says::Cancelled),
        Backfill::Undo { job, json } => undo::run(config, &kafka, &job, json),
        Backfill::Resume { job, json } => resume(config, &kafka, &job, json),
        Backfill::Rejects { job, out } => {
            let log = JobLog::open(&kafka)?;
            let taken = taken(&kafka, std::iter::once(known(log.jobs(), &job)?))?;
            rejects::write(config, &job, taken.of(&job).rejected, out.as_deref())
        }
    }
}

fn known<'j>(jobs: &'j Jobs, id: &str) -> anyhow::Result<&'j Job> {
    jobs.get(id).with_context(|| format!("there is no job {id}: cebe backfill list"))
}

/// Everything that was taken in since the oldest of `jobs` began.
fn taken<'j>(kafka: &KafkaOptions, jobs: impl Iterator<Item = &'j Job>) -> anyhow::Result<Taken> {
    let mut taken = Taken::follow(kafka, jobs.map(|job| job.begun_ms).min().unwrap_or_default())?;
    taken.read_all()?;
    Ok(taken)
}

fn status(kafka: &KafkaOptions, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let log = JobLog::open(kafka)?;
    let job = known(log.jobs(), id)?;
    let taken = taken(kafka, std::iter::once(job))?;
    Shown::of(job, &taken.of(id)).print(json)?;
    Ok(ExitCode::SUCCESS)
}

fn list(config: &Config, kafka: &KafkaOptions, json: bool) -> anyhow::Result<ExitCode> {
    let log = JobLog::open(kafka)?;
    artefacts::remove_old(config, log.jobs())?;
    let jobs = log.jobs().newest_first();
    let taken = taken(kafka, jobs.iter().copied())?;
    for job in jobs {
        let shown = Shown::of(job, &taken.of(&job.id));
        match json {
            true => shown.print(true)?,
            false => println!("{}", shown.line()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Only what is running or paused can be told anything.
fn open(kafka: &KafkaOptions, id: &str) -> anyhow::Result<Standing> {
    let log = JobLog::open(kafka)?;
    match known(log.jobs(), id)?.standing {
        standing @ (Standing::Running | Standing::Paused) => Ok(standing),
        over => bail!("job {id} is over: it is {}", over.as_str()),
    }
}

fn tell(kafka: &KafkaOptions, id: &str, says: Says) -> anyhow::Result<ExitCode> {
    open(kafka, id)?;
    append(kafka, id, says)?;
    Ok(ExitCode::SUCCESS)
}

fn resume(config: &Config, kafka: &KafkaOptions, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let log = JobLog::open(kafka)?;
    // One that has published everything may still wait for the engine.
    if known(log.jobs(), id)?.standing != Standing::Published {
        open(kafka, id)?;
        append(kafka, id, Says::Resumed)?;
    }
    follow::go_on(config, kafka, id, json)
}
