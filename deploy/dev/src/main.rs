//! The command line of the development services.

use std::{
    io::{Write, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use cebe_dev::{Options, Progress, ServerStatus, Status, demo::Demo};
use clap::{Parser, Subcommand};

/// A real Kafka and a real ClickHouse for development, without containers.
///
/// The first `up` fetches both (about 240 MB) through mvn and npm into ~/.cache/cebe; later ones
/// take seconds. Needs Java 17, Maven, npm and a C compiler.
#[derive(Parser)]
#[command(name = "cebe-dev", version, after_help = EXAMPLES)]
struct Arguments {
    /// Where configuration, data and logs live [default: .dev at the root of the checkout].
    ///
    /// Two directories are two pairs of servers, which run side by side.
    #[arg(long, global = true, env = "CEBE_DEV_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(subcommand)]
    command: Task,
}

const EXAMPLES: &str = "Examples:
  cebe-dev up                            start both, create the topics, print how to reach them
  export $(cebe-dev up)                  the same, into the shell's environment
  cebe-dev status --json | jq .kafka     ports, process, health, log files
  cebe-dev --dir ../second up            another pair beside the first
  cebe-dev demo --for 20s --json         everything at once, with a summary
  cebe-dev down --purge                  stop both and forget their data";

#[derive(Subcommand)]
enum Task {
    /// Start what does not run yet, create the topics, print the addresses.
    ///
    /// The servers go on running after this. Prints lines of NAME=value, which DIR/env holds too.
    Up,
    /// Stop both servers; their data stay.
    Down {
        /// Delete data, configuration and logs as well. The downloads stay.
        #[arg(long)]
        purge: bool,
    },
    /// Tell how both servers are; exit status 1 unless both answer.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Create the topics that are not there yet on a broker of your own.
    Topics {
        /// Its bootstrap list, such as localhost:9092.
        #[arg(long, env = "CEBE_KAFKA_BROKERS", value_name = "LIST")]
        brokers: String,
    },
    /// Start both, run the engine on a believable stream, and show what comes out.
    ///
    /// Ends at Ctrl-C, or after the time given; the servers go on running.
    Demo {
        /// Records a second.
        #[arg(long, default_value_t = 2_000)]
        rate: u32,
        /// How long, such as 20s or 2m.
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        duration: Option<Duration>,
        /// Print a summary as JSON at the end, and nothing before.
        #[arg(long)]
        json: bool,
        /// The same seed gives the same people and events.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).context("give a unit: 20s, 2m")?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        _ => anyhow::bail!("{unit:?} is no unit: give s or m"),
    };
    Ok(Duration::from_secs(number.parse::<u32>()?.into()) * seconds)
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = match arguments.dir {
        Some(dir) => Options::new(dir),
        None => Options::of_checkout()?,
    };
    let options = Options { progress: Progress::stderr(), ..options };
    match arguments.command {
        Task::Up => stdout().write_all(cebe_dev::up(&options)?.env().as_bytes())?,
        Task::Down { purge: false } => cebe_dev::down(&options)?,
        Task::Down { purge: true } => cebe_dev::purge(&options)?,
        Task::Demo { rate, duration, json, seed } => {
            cebe_dev::demo::run(&options, Demo { rate, duration, json, seed })?;
        }
        Task::Topics { brokers } => cebe_dev::create_topics(&brokers, None)?,
        Task::Status { json } => return show(&cebe_dev::status(&options)?, json),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(status: &Status, json: bool) -> anyhow::Result<ExitCode> {
    let text = if json {
        serde_json::to_string_pretty(status)?
    } else {
        [line("kafka", &status.kafka), line("clickhouse", &status.clickhouse)].join("\n")
    };
    writeln!(stdout(), "{text}")?;
    Ok(if status.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(name: &str, server: &ServerStatus) -> String {
    let address = server.address.as_deref().unwrap_or("-");
    let state = match server.pid {
        Some(pid) if server.healthy => format!("answers, pid {pid}"),
        Some(pid) => format!("does not answer, pid {pid}, see {}", server.log.display()),
        None => "does not run".to_owned(),
    };
    format!("{name:10} {:16} {address:24} {state}", server.version)
}
