//! `cebe`: the engine, its migrations and its operators' commands, in one binary.

mod backfills;
mod client;
mod command;
mod config;
mod definer;
mod desk;
mod door;
mod engine;
mod eval;
mod feeds;
mod keeping;
mod logging;
mod reconcile;
mod recovery;
mod succession;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

/// Rows are many small texts, which the system's allocator is slow with (docs/figures.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps customers, segments and rates correct while events flow.
///
/// Reads events from Kafka (`cebe.events.<source>`), publishes every change on `cebe.out.*`, and
/// loads both into ClickHouse. Settings come from a TOML file and from the environment:
/// `[kafka] brokers` is also CEBE_KAFKA_BROKERS, and the environment wins.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// Settings file; without it, defaults and the environment.
    #[arg(long, short, global = true, env = "CEBE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine, the ClickHouse loader and the HTTP API until SIGINT or SIGTERM.
    Run(command::run::Args),
    /// Bring the ClickHouse database to the version of this binary, and end.
    Migrate,
    /// List sources, and turn their ingestion on or off while the engine runs.
    #[command(subcommand)]
    Source(command::source::Source),
    /// Put the definitions, flags and settings of a folder in force, once it was said what that changes.
    Apply(command::apply::Args),
    /// Put, preview, remove and list segments while the engine runs.
    #[command(subcommand)]
    Segment(command::segment::Segment),
    /// Put, remove and list metrics while the engine runs.
    #[command(subcommand)]
    Metric(command::metric::Metric),
    /// Show and change the settings of a running engine, such as how many customers may share a phone.
    #[command(subcommand)]
    Settings(command::settings::Command),
    Replay(command::replay::Args),
    #[command(subcommand)]
    Backfill(command::backfill::Backfill),
    /// Make keys for the HTTP API.
    #[command(subcommand)]
    Key(command::key::Key),
    /// Read and check event schemas.
    #[command(subcommand)]
    Schema(command::schema::Schema),
    /// Say what the engine would make of a file of events: no Kafka, no ClickHouse, no settings.
    Eval(command::eval::Args),
    /// Say why a customer belongs to a segment, or does not: clause by clause, with the events.
    Explain(command::explain::Args),
    /// Compare every table and every feed with what the bound input gives, evaluated again.
    Verify(command::verify::Args),
    /// Count every record again, in Kafka and in ClickHouse, and compare with the ledger.
    Reconcile(command::reconcile::Args),
    /// List the snapshots that a start could begin with, newest first, and check every file of them.
    Snapshots(command::snapshots::Args),
    /// Print the settings in force, secrets left out.
    Config,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failure = cli.command.failure();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            failure
        }
    }
}

impl Command {
    /// The exit status of a command that cannot do its work.
    fn failure(&self) -> ExitCode {
        match self {
            Command::Reconcile(_) => ExitCode::from(command::reconcile::CANNOT_CHECK),
            _ => ExitCode::FAILURE,
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = Config::load(cli.config.as_deref())?;
    match cli.command {
        Command::Run(args) => command::run::run(config, args),
        Command::Migrate => command::migrate::run(config),
        Command::Source(source) => command::source::run(config, source),
        Command::Apply(args) => command::apply::run(&config, &args),
        Command::Segment(segment) => command::segment::run(&config, segment),
        Command::Metric(metric) => command::metric::run(&config, metric),
        Command::Settings(settings) => command::settings::run(&config, settings),
        Command::Replay(args) => command::replay::run(config, args),
        Command::Backfill(backfill) => command::backfill::run(&config, backfill),
        Command::Key(key) => command::key::run(&key),
        Command::Schema(schema) => command::schema::run(&config, schema),
        Command::Eval(args) => command::eval::run(&config, &args),
        Command::Explain(args) => command::explain::run(&config, &args),
        Command::Verify(args) => command::verify::run(&config, &args),
        Command::Reconcile(args) => command::reconcile::run(&config, &args),
        Command::Snapshots(args) => command::snapshots::run(&config, &args),
        Command::Config => {
            print!("{}", config.without_secrets()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
