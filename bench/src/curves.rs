//! What an update costs as a curve: against the customers held, the events held, and the segments
//! that look at other events than those that come.

use std::path::PathBuf;

use cebe_schemas::control::ControlState;
use clap::Args;
use serde_json::json;

use crate::measure::Cost;
use crate::pipeline::engine::{Costs, Pipeline, control};
use crate::pipeline::one::{Load, Singles};
use crate::pipeline::seeded::{ACCOUNT, Seeded};
use crate::pipeline::source::Source;
use crate::report::{Table, ms};
use crate::workload::START_MS;

/// No event of the workload is of this type.
const OTHER_EVENT: &str = "ad.lead";
/// Events in a tick while loading.
const LOAD_BATCH: usize = 20_000;

#[derive(Args)]
#[command(after_help = MEANING)]
pub struct Options {
    /// Customers held, once for each, with --each events of each.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    customers: Vec<u64>,
    /// Events of each customer while the customers vary.
    #[arg(long, default_value_t = 4)]
    each: u64,
    /// Events held, once for each, of --among customers.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,4000000")]
    events: Vec<u64>,
    /// Customers while the events vary.
    #[arg(long, default_value_t = 50_000)]
    among: u64,
    /// Segments over another event type, once for each; 1,000,000 events of --among customers held.
    #[arg(long, value_delimiter = ',', default_value = "0,10,100,1000")]
    segments: Vec<u64>,
    /// Events held while the segments vary.
    #[arg(long, default_value_t = 1_000_000)]
    held: u64,
    /// Segments, metrics and settings in force from the beginning, as one control record.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// Single events at each point.
    #[arg(long, default_value_t = 1_000)]
    probes: u64,
    /// Dataflow workers.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// One line of JSON for each point instead of a table.
    #[arg(long)]
    json: bool,
}

const MEANING: &str = "\
one p50, p99: ms on the wall from the envelope of one event to the output of all views.
one CPU: processor time of the same, in microseconds; of it in the adapter, the dataflow, and numbering.
in 1,000: microseconds of processor time an event in ticks of 1,000 events, all three parts.";

/// What is held when an update is measured.
struct Point {
    curve: &'static str,
    at: u64,
    customers: u64,
    events: u64,
    segments: u64,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let header = ["curve", "at", "one p50", "p99", "one CPU", "adapter", "dataflow", "numbering"];
    let mut table = Table::new([&header[..], &["in 1,000"]].concat());
    for point in points(options) {
        let (singles, thousands) = measure(options, &point)?;
        let [p50, p99] = singles.times.quantiles_ms([0.5, 0.99]);
        let us = |part: Cost, events: u64| part.cpu.as_secs_f64() * 1e6 / events.max(1) as f64;
        let Costs { adapter, dataflow, numbering, .. } = singles.costs;
        let parts = [singles.costs.to_records(), adapter, dataflow, numbering];
        let [one, adapter, dataflow, numbering] = parts.map(|part| us(part, options.probes));
        let many = us(thousands.costs.to_records(), thousands.events);
        if options.json {
            println!(
                "{}",
                json!({"workload": "curves", "curve": point.curve, "at": point.at,
                    "customers": point.customers, "events": point.events,
                    "segments": point.segments, "one_p50_ms": p50, "one_p99_ms": p99,
                    "one_cpu_us": one, "adapter_cpu_us": adapter, "dataflow_cpu_us": dataflow,
                    "numbering_cpu_us": numbering, "in_1000_cpu_us": many})
            );
        }
        let cpu = [one, adapter, dataflow, numbering, many].map(|us| format!("{us:.1}"));
        let cells = [point.curve.to_owned(), point.at.to_string(), ms(p50), ms(p99)];
        table.row(cells.into_iter().chain(cpu));
    }
    if !options.json {
        table.print();
        println!("\n{MEANING}");
    }
    Ok(())
}

fn points(options: &Options) -> Vec<Point> {
    let customers = options.customers.iter().map(|&customers| Point {
        curve: "customers",
        at: customers,
        customers,
        events: customers * options.each,
        segments: 0,
    });
    let among = options.among;
    let events = options.events.iter().map(|&events| Point {
        curve: "events",
        at: events,
        customers: among,
        events,
        segments: 0,
    });
    let segments = options.segments.iter().map(|&segments| Point {
        curve: "segments",
        at: segments,
        customers: among,
        events: options.held,
        segments,
    });
    customers.chain(events).chain(segments).collect()
}

/// Single events, and then ticks of 1,000 of them.
fn measure(options: &Options, point: &Point) -> anyhow::Result<(Singles, Load)> {
    let mut control = control(options.definitions.as_deref())?;
    define(&mut control, point.segments)?;
    let mut pipeline = Pipeline::start(control, options.workers, START_MS - 1)?;
    let mut source = Source::seeded(Seeded { customers: point.customers, moving_from: None });
    Load::run(&mut pipeline, &mut source, point.events, LOAD_BATCH)?;
    let singles = Singles::run(&mut pipeline, &mut source, options.probes, None)?;
    let thousands = Load::run(&mut pipeline, &mut source, 20_000, 1_000)?;
    pipeline.shutdown();
    Ok((singles, thousands))
}

/// Puts segments in force that no event of the workload touches.
fn define(control: &mut ControlState, segments: u64) -> anyhow::Result<()> {
    let segment = |n: u64| {
        json!({"segment_id": format!("other-{n}"), "account_id": ACCOUNT,
            "when": {"did": OTHER_EVENT, "at_least": n + 1, "within": "30d"}})
    };
    let segments: Vec<_> = (0..segments).map(segment).collect();
    control.apply(json!({ "segments": segments }).to_string().as_bytes())?;
    Ok(())
}
