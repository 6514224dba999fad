//! What each operator of the dataflow costs while events are loaded, and what is left for the edges of
//! it: spreading rows over the workers, and making changes of updates.

use std::path::PathBuf;
use std::time::Duration;

use cebe_connectors::adapter::Adapter;
use cebe_connectors::kafka::Topics;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_dataflow::{Dataflow, OperatorCosts};
use serde_json::json;

use crate::Common;
use crate::measure::cpu_time;
use crate::pipeline::engine::{control, judge};
use crate::pipeline::seeded::Seeded;
use crate::pipeline::source::{Batch, Source};
use crate::report::Table;
use crate::workload::START_MS;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Envelopes, one a line, instead of the seeded ones.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Segments, metrics and settings in force from the beginning.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let control = control(options.definitions.as_deref())?;
    let mut adapter = Adapter::new(judge()?, Topics::default(), MemoryKeyIndex::default(), control);
    let (mut dataflow, costs) = Dataflow::measured(options.common.workers)?;
    let mut source = match &options.events {
        Some(file) => Source::file(file)?,
        None => Source::seeded(Seeded::of(options.count)),
    };
    let (mut events, mut t_ms, mut cpu) = (0, START_MS, Duration::ZERO);
    while events < options.count {
        let size = options.common.batch.min((options.count - events) as usize);
        let Batch { records, at_ms } = source.take(size)?;
        if records.is_empty() {
            break;
        }
        t_ms = at_ms.unwrap_or_default().max(t_ms + 1);
        let adapted = adapter.adapt(t_ms, events, &records)?;
        let begin = cpu_time()?;
        let output = dataflow.tick(adapted.input)?;
        cpu += cpu_time()? - begin;
        adapter.learn(&output.moments);
        events += records.len() as u64;
    }
    dataflow.shutdown();
    print(options, events, cpu, &costs);
    Ok(())
}

fn print(options: &Options, events: u64, cpu: Duration, costs: &OperatorCosts) {
    let mut rows = costs.so_far();
    let operators: Duration = rows.iter().map(|(_, time)| *time).sum();
    rows.push(("(edges)".to_owned(), cpu.saturating_sub(operators)));
    rows.push(("(whole)".to_owned(), cpu));
    let us = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
    if options.common.json {
        let rows: serde_json::Map<_, _> =
            rows.into_iter().map(|(name, time)| (name, us(time).into())).collect();
        println!("{}", json!({"workload": "operators", "events": events, "us_an_event": rows}));
        return;
    }
    let mut table = Table::new(["operator", "us an event", "share"]);
    for (name, time) in rows {
        let share = time.as_secs_f64() / cpu.as_secs_f64() * 100.0;
        table.row([name, format!("{:.3}", us(time)), format!("{share:.1} %")]);
    }
    table.print();
    println!(
        "an operator's time is that between its start and its end, of all workers; edges: the rest of \
         the processor time of ticks"
    );
}
