//! What one event costs, and what a load costs, through the whole graph.

use std::time::Instant;

use cebe_dataflow::Dataflow;
use cebe_schemas::fact::TickInput;
use cebe_schemas::time::Millis;
use clap::Args;
use serde_json::json;

use crate::Common;
use crate::measure::{Timings, cpu_time, memory_bytes};
use crate::report::{Table, mib, ms};
use crate::workload::{Random, START_MS, Workload, definitions, empty};

const BROADCASTS: u64 = 1_000;
/// One customer in so many shares a phone with another one.
const SHARING: u64 = 20;
/// Between two events of the load.
const PACE_MS: Millis = 100;

#[derive(Args)]
pub struct Options {
    /// Events before anything is measured.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Customers that they are about.
    #[arg(long, default_value_t = 50_000)]
    customers: u64,
    /// Ticks of each kind.
    #[arg(long, default_value_t = 2_000)]
    ticks: u64,
    #[command(flatten)]
    common: Common,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut dataflow = Dataflow::start(options.common.workers)?;
    let (mut workload, mut random) = (Workload::new(), Random(42));
    let mut load = load(options, &mut workload, &mut random);
    load[0].definitions = Some(definitions(&[
        ("broadcast.replied", 2, 30),
        ("broadcast.sent", 3, 7),
        ("ad.clicked", 1, 10),
    ]));
    let mut now = START_MS + options.events as Millis * PACE_MS;

    let (start, cpu) = (Instant::now(), cpu_time()?);
    let mut loading = Timings::default();
    for tick in load {
        loading.tick(&mut dataflow, tick)?;
    }
    let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), (cpu_time()? - cpu).as_secs_f64());
    let memory_bytes = memory_bytes()?;

    let (mut event, mut merge) = (Timings::default(), Timings::default());
    for n in 0..options.ticks {
        now += 1;
        let mut tick = empty(now);
        any_event(&mut tick, options, &mut workload, &mut random, now);
        event.tick(&mut dataflow, tick)?;
        now += 1;
        let mut tick = empty(now);
        workload.phone(&mut tick, n % options.customers, random.below(options.customers), now);
        merge.tick(&mut dataflow, tick)?;
    }
    dataflow.shutdown();

    let quantiles = |timings: &Timings| timings.quantiles_ms([0.5, 0.99, 1.0]);
    let kinds = [("load", &loading), ("one event", &event), ("one changed phone", &merge)];
    let per_cpu_s = options.events as f64 / cpu_s;
    if options.common.json {
        let ticks = kinds.map(|(kind, times)| json!({ "tick": kind, "ms": quantiles(times) }));
        println!(
            "{}",
            json!({ "workload": "single-update", "events": options.events,
            "batch": options.common.batch, "workers": options.common.workers,
            "quantiles": [0.5, 0.99, 1.0], "ticks": ticks, "load_wall_s": wall_s,
            "load_cpu_s": cpu_s, "memory_bytes": memory_bytes })
        );
        return Ok(());
    }
    let mut table = Table::new(["tick, ms", "p50", "p99", "max"]);
    for (kind, times) in kinds {
        let [p50, p99, max] = quantiles(times).map(ms);
        table.row([kind.into(), p50, p99, max]);
    }
    table.print();
    println!(
        "load: {} events in {wall_s:.2} s, {cpu_s:.2} CPU s, {per_cpu_s:.0} events per CPU second; {}",
        options.events,
        mib(memory_bytes),
    );
    Ok(())
}

/// Made beforehand: this is about the dataflow.
fn load(options: &Options, workload: &mut Workload, random: &mut Random) -> Vec<TickInput> {
    let end = |n: u64| START_MS + n as Millis * PACE_MS;
    let numbers: Vec<u64> = (0..options.events.max(1)).collect();
    let ticks = numbers.chunks(options.common.batch.max(1)).map(|numbers| {
        let mut tick = empty(end(numbers[numbers.len() - 1]));
        for n in numbers {
            // Each customer begins with a phone.
            if *n < options.customers {
                let shared = random.below(SHARING) == 0;
                let phone = if shared { random.below(options.customers) } else { *n };
                workload.phone(&mut tick, *n, phone, end(*n));
            } else {
                any_event(&mut tick, options, workload, random, end(*n));
            }
        }
        tick
    });
    ticks.collect()
}

fn any_event(
    tick: &mut TickInput,
    options: &Options,
    workload: &mut Workload,
    random: &mut Random,
    at: Millis,
) {
    let name = match random.below(10) {
        0..6 => "broadcast.sent",
        6..8 => "broadcast.replied",
        _ => "ad.clicked",
    };
    let (customer, group) = (random.below(options.customers), random.below(BROADCASTS));
    workload.event(tick, customer, name, at, Some(group));
}
