//! From envelope bytes to numbered differences: adapter and whole dataflow, without Kafka and without
//! ClickHouse. Each configuration runs in a process of its own, so that its memory is its own.
//!
//! * `columns`: what is measured, and what each number means.
//! * `seeded` and `source`: the events, made from a seed or read from a file.
//! * `pending`: customers who wait for the end of a window.
//! * `engine`: adapter, dataflow and numbering, and what each costs.
//! * `one`: one configuration, measured. `floors`: what its adapter cannot be below.
//! * `answer`: one hash of all answers, whatever the batches and workers.

mod answer;
mod columns;
pub mod engine;
mod floors;
pub mod one;
mod pending;
pub mod seeded;
pub mod source;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::Value;

use crate::report::Table;
use columns::COLUMNS;
pub use columns::meanings;
use seeded::Seeded;
use source::Source;

#[derive(Args, Clone)]
pub struct Options {
    /// How many events, once for each; with --events, how many lines at most.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    count: Vec<u64>,
    /// Events in a tick while loading, once for each.
    #[arg(long, value_delimiter = ',', default_value = "20000,1000")]
    batch: Vec<usize>,
    /// Dataflow workers, once for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Customers who wait for the end of a window meanwhile, once for each, as further rows.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pending: Vec<u64>,
    /// Also with a moving clock, as further rows.
    #[arg(long)]
    clock: bool,
    /// Envelopes, one a line, instead of the seeded ones: 20 events a customer, 4 % of the customers
    /// share a phone or an email, 2 % of the events are late, 1 % repeat one of the 100,000 before.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Segments, metrics and settings in force from the beginning, as one control record.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// Single events after the load.
    #[arg(long, default_value_t = 1_000)]
    probes: u64,
    /// One line of JSON for each configuration instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure the first configuration here, and print it as JSON.
    #[arg(long, hide = true)]
    here: bool,
}

/// What makes a row.
#[derive(Clone, Copy)]
pub struct Configuration {
    count: u64,
    batch: usize,
    workers: usize,
    pending: u64,
    clock: bool,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.here {
        let here = Configuration { clock: options.clock, ..options.configurations()[0] };
        println!("{}", one::measure(options, &here)?);
        return Ok(());
    }
    let mut table = Table::new(COLUMNS.map(|column| column.name));
    for configuration in options.configurations() {
        let found = options.in_a_process(&configuration)?;
        if options.json {
            println!("{found}");
        }
        table.row(COLUMNS.map(|column| (column.cell)(&found)));
    }
    if !options.json {
        table.print();
        println!("\n{}", meanings());
    }
    Ok(())
}

impl Options {
    fn configurations(&self) -> Vec<Configuration> {
        let mut all = Vec::new();
        for &count in &self.count {
            for &batch in &self.batch {
                for &workers in &self.workers {
                    for &pending in &self.pending {
                        let still = Configuration { count, batch, workers, pending, clock: false };
                        all.push(still);
                        if self.clock {
                            all.push(Configuration { clock: true, ..still });
                        }
                    }
                }
            }
        }
        all
    }

    /// The events from the first one on.
    fn source(&self, count: u64) -> anyhow::Result<Source> {
        match &self.events {
            Some(file) => Source::file(file),
            None => Ok(Source::seeded(Seeded::of(count))),
        }
    }

    fn in_a_process(&self, configuration: &Configuration) -> anyhow::Result<Value> {
        let Configuration { count, batch, workers, pending, clock } = configuration;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["pipeline", "--here"]);
        for (flag, value) in [
            ("--count", *count),
            ("--batch", *batch as u64),
            ("--workers", *workers as u64),
            ("--pending", *pending),
            ("--probes", self.probes),
        ] {
            command.arg(flag).arg(value.to_string());
        }
        if *clock {
            command.arg("--clock");
        }
        for (flag, file) in [("--events", &self.events), ("--definitions", &self.definitions)] {
            if let Some(file) = file {
                command.arg(flag).arg(file);
            }
        }
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{count} events in batches of {batch} failed");
        serde_json::from_slice(&output.stdout)
            .context("a process said something else than its figures")
    }
}
