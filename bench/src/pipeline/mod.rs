//! From envelope bytes to numbered differences: adapter and whole dataflow, without Kafka and without
//! ClickHouse. Each configuration runs in a process of its own, so that its memory is its own.
//!
//! * `source`: the events, made from a seed or read from a file.
//! * `one`: one configuration, measured.
//! * `answer`: one hash of all answers, whatever the batches and workers.

mod answer;
mod one;
pub mod source;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::Value;

use crate::report::{Table, ms};

#[derive(Args, Clone)]
pub struct Options {
    /// How many events, once for each; with --events, how many lines at most.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    count: Vec<u64>,
    /// Events in a tick while loading, once for each.
    #[arg(long, value_delimiter = ',', default_value = "20000,1000")]
    batch: Vec<usize>,
    /// Dataflow workers, once for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Envelopes, one a line, instead of the seeded ones: 20 events a customer, 4 % of the customers
    /// share a phone or an email, 2 % of the events are late, 1 % come twice, one right after the other.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Segments, metrics and settings in force from the beginning.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// Single events after the load.
    #[arg(long, default_value_t = 400)]
    probes: u64,
    /// One line of JSON for each configuration instead of a table.
    #[arg(long)]
    json: bool,
    /// Measure one configuration here, and print it.
    #[arg(long, hide = true)]
    here: bool,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.here {
        println!("{}", one::measure(options)?);
        return Ok(());
    }
    let mut table = Table::new([
        "events",
        "batch",
        "workers",
        "whole /CPU s",
        "dataflow",
        "adapter",
        "judge",
        "wall s",
        "tick max ms",
        "one p50 ms",
        "p99 ms",
        "peak MiB",
        "answer",
    ]);
    for count in &options.count {
        for batch in &options.batch {
            for workers in &options.workers {
                let found = in_a_process(options, *count, *batch, *workers)?;
                if options.json {
                    println!("{found}");
                    continue;
                }
                let number = |name: &str| found[name].as_f64().unwrap_or_default();
                let per_s = |name: &str| format!("{:.0}", number("events") / number(name));
                table.row([
                    format!("{}", number("events")),
                    batch.to_string(),
                    workers.to_string(),
                    per_s("whole_cpu_s"),
                    per_s("dataflow_cpu_s"),
                    per_s("adapter_cpu_s"),
                    per_s("judge_cpu_s"),
                    format!("{:.2}", number("load_wall_s")),
                    ms(number("tick_max_ms")),
                    ms(number("one_p50_ms")),
                    ms(number("one_p99_ms")),
                    format!("{:.0}", number("peak_bytes") / f64::from(1 << 20)),
                    found["answer"].as_str().unwrap_or_default()[..8].to_owned(),
                ]);
            }
        }
    }
    if !options.json {
        table.print();
        println!(
            "events per CPU second: whole = adapter + dataflow + numbering and writing the differences; \
             judge = the verdicts alone. The adapter keeps keys in memory. Equal answers: equal hashes."
        );
    }
    Ok(())
}

fn in_a_process(
    options: &Options,
    count: u64,
    batch: usize,
    workers: usize,
) -> anyhow::Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["pipeline", "--here", "--count", &count.to_string()]);
    command.args(["--batch", &batch.to_string(), "--workers", &workers.to_string()]);
    command.args(["--probes", &options.probes.to_string()]);
    for (flag, file) in [("--events", &options.events), ("--definitions", &options.definitions)] {
        if let Some(file) = file {
            command.arg(flag).arg(file);
        }
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{count} events in batches of {batch} failed");
    serde_json::from_slice(&output.stdout).context("a process said something else than its figures")
}
