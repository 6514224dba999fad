//! What a tick costs while many wake-ups are pending.

use anyhow::ensure;
use cebe_dataflow::Dataflow;
use cebe_schemas::time::Millis;
use clap::Args;
use serde_json::json;

use crate::Common;
use crate::measure::{Timings, memory_bytes};
use crate::report::{Table, mib, ms};
use crate::workload::{DAY_MS, START_MS, Workload, definitions, empty};

/// Width of the window that everybody is in, in days.
const WINDOW_DAYS: i64 = 30;
/// Wake-ups in a tick where they fire.
const FIRING: u64 = 1_000;
const EVENT: &str = "broadcast.replied";

#[derive(Args)]
pub struct Options {
    /// Customers that wait for the end of their window.
    #[arg(long, default_value_t = 10_000_000)]
    pending: u64,
    /// Ticks of each kind.
    #[arg(long, default_value_t = 500)]
    ticks: u64,
    #[command(flatten)]
    common: Common,
}

/// Times of each kind of tick, with some number of wake-ups pending.
struct Outcome {
    one_event: Timings,
    empty: Timings,
    firing: Timings,
    memory_bytes: u64,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let none = measure(options, 0)?;
    let many = measure(options, options.pending)?;
    let kinds = [
        ("one event", &none.one_event, &many.one_event),
        ("empty", &none.empty, &many.empty),
        ("1,000 wake-ups fire", &none.firing, &many.firing),
    ];
    let quantiles = |timings: &Timings| timings.quantiles_ms([0.5, 0.99, 1.0]);
    if options.common.json {
        let ticks = kinds.map(|(kind, none, many)| {
            json!({ "tick": kind, "ms_with_none": quantiles(none), "ms_with_many": quantiles(many) })
        });
        let (pending, workers) = (options.pending, options.common.workers);
        let memory = [none.memory_bytes, many.memory_bytes];
        println!(
            "{}",
            json!({ "workload": "wakeups", "pending": pending, "workers": workers,
            "quantiles": [0.5, 0.99, 1.0], "ticks": ticks, "memory_bytes": memory })
        );
        return Ok(());
    }
    let pending = format!("{} pending", options.pending);
    let mut table = Table::new(["tick, ms", "", "0 pending", &pending, "ratio"]);
    for (kind, none, many) in kinds {
        let rows = ["p50", "p99", "max"].into_iter().zip(quantiles(none)).zip(quantiles(many));
        for ((quantile, none), many) in rows {
            let ratio = format!("{:.2}", many / none);
            table.row([kind.into(), quantile.into(), ms(none), ms(many), ratio]);
        }
    }
    let bytes = many.memory_bytes.saturating_sub(none.memory_bytes) / options.pending.max(1);
    let per_customer = format!("{bytes} B each");
    table.row([
        "memory".into(),
        "".into(),
        mib(none.memory_bytes),
        mib(many.memory_bytes),
        per_customer,
    ]);
    table.print();
    Ok(())
}

fn measure(options: &Options, pending: u64) -> anyhow::Result<Outcome> {
    let mut dataflow = Dataflow::start(options.common.workers)?;
    let mut workload = Workload::new();
    let mut now = START_MS;
    let mut tick = empty(now);
    tick.definitions = Some(definitions(&[(EVENT, 1, WINDOW_DAYS)]));
    dataflow.tick(tick)?;

    // Those that wait: their windows end long after everything here.
    let mut waiting = 0..pending;
    while !waiting.is_empty() {
        now += 1;
        let mut tick = empty(now);
        for customer in waiting.by_ref().take(options.common.batch) {
            workload.event(&mut tick, customer, EVENT, now, None);
        }
        dataflow.tick(tick)?;
    }
    // Those that fire: their windows end together, a thousand at a time.
    let firing_from = now + 1_000_000;
    let firing_at = |round: u64| firing_from + round as Millis;
    for round in 0..options.ticks {
        now += 1;
        let mut tick = empty(now);
        for customer in 0..FIRING {
            let at = firing_at(round) - WINDOW_DAYS * DAY_MS;
            workload.event(&mut tick, pending + round * FIRING + customer, EVENT, at, None);
        }
        dataflow.tick(tick)?;
    }
    let memory_bytes = memory_bytes()?;

    let (mut one_event, mut empties, mut firing) = Default::default();
    for n in 0..options.ticks {
        now += 1;
        let mut tick = empty(now);
        // Spread over all that wait; without any, always the same one.
        let customer = if pending > 0 { n * pending / options.ticks } else { u64::MAX };
        workload.event(&mut tick, customer, EVENT, now, None);
        Timings::tick(&mut one_event, &mut dataflow, tick)?;
        now += 1;
        Timings::tick(&mut empties, &mut dataflow, empty(now))?;
    }
    ensure!(now < firing_from, "{} ticks take too long; use fewer --ticks", options.ticks);
    for round in 0..options.ticks {
        let output = Timings::tick(&mut firing, &mut dataflow, empty(firing_at(round)))?;
        let changes: usize = output.moments.iter().map(|moment| moment.changes.len()).sum();
        ensure!(changes == FIRING as usize, "{changes} changes instead of {FIRING}");
    }
    dataflow.shutdown();
    Ok(Outcome { one_event, empty: empties, firing, memory_bytes })
}
