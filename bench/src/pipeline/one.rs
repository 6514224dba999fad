//! One configuration: load, then single events, then the floors.

use cebe_schemas::time::Millis;
use serde_json::{Value, json};

use super::engine::{Costs, Pipeline, control};
use super::floors::Floors;
use super::pending;
use super::seeded::STEP_MS;
use super::source::{Batch, Source};
use super::{Configuration, Options};
use crate::measure::{Cost, Timings, load_average, memory_bytes, peak_bytes};
use crate::workload::{DAY_MS, START_MS};

/// The window of the shared definitions: a moving clock is moved to where those of the middle of the
/// load end.
const WINDOW_MS: Millis = 30 * DAY_MS;

/// Measures it in this process, which does nothing else.
pub fn measure(options: &Options, configuration: &Configuration) -> anyhow::Result<Value> {
    let Configuration { count, batch, workers, pending: waiting, clock } = *configuration;
    let load_average = load_average()?;
    let mut control = control(options.definitions.as_deref())?;
    if waiting > 0 {
        pending::define(&mut control)?;
    }
    let earliest_ms = START_MS - 1_000_000;
    let mut pipeline = Pipeline::start(control, workers, earliest_ms)?;
    pending::hold(&mut pipeline, waiting)?;
    let mut source = options.source(count)?;

    let (before_bytes, begun_ms) = (memory_bytes()?, START_MS);
    let load = Load::run(&mut pipeline, &mut source, count, batch)?;
    // What the pending ones have left behind and the load takes over would be missing.
    let held_bytes = memory_bytes()?.saturating_sub(before_bytes) as f64;
    let (held_bytes, peak) = ((waiting == 0).then_some(held_bytes), peak_bytes()?);
    let (answer, customers) = (pipeline.answer.hex(), pipeline.answer.customers());
    let moved_ms = clock.then_some((begun_ms + pipeline.t_ms) / 2 + WINDOW_MS);
    let singles = Singles::run(&mut pipeline, &mut source, options.probes, moved_ms)?;
    pipeline.shutdown();
    let floors = Floors::measure(options, load.events, batch)?;

    let [tick_p99, tick_max] = load.ticks.quantiles_ms([0.99, 1.0]);
    let [one_p50, one_p99] = singles.times.quantiles_ms([0.5, 0.99]);
    let each = |total: f64| total / load.events.max(1) as f64;
    let cpu_s = |part: Cost| each(part.cpu.as_secs_f64());
    Ok(json!({
        "workload": "pipeline", "events": load.events, "customers": customers, "batch": batch,
        "workers": workers, "pending": waiting, "clock": clock,
        "wall_s": each(load.costs.to_records().wall.as_secs_f64()),
        "to_differences_cpu_s": cpu_s(load.costs.to_differences()),
        "to_records_cpu_s": cpu_s(load.costs.to_records()),
        "dataflow_cpu_s": cpu_s(load.costs.dataflow), "adapter_cpu_s": cpu_s(load.costs.adapter),
        "parse_cpu_s": floors.parse_s, "verdict_cpu_s": floors.verdict_s,
        "dedup_cpu_s": floors.dedup_s, "one_p50_ms": one_p50, "one_p99_ms": one_p99,
        "one_by_time": singles.by_time, "tick_p99_ms": tick_p99, "tick_max_ms": tick_max,
        "peak_bytes": peak, "bytes_per_event": held_bytes.map(each),
        "bytes_per_customer": held_bytes.map(|held| held / customers.max(1) as f64),
        "load_average": load_average, "answer": answer,
    }))
}

/// Everything but the last single events, a batch a tick.
pub struct Load {
    pub events: u64,
    pub costs: Costs,
    pub ticks: Timings,
}

impl Load {
    pub fn run(
        pipeline: &mut Pipeline,
        source: &mut Source,
        count: u64,
        batch: usize,
    ) -> anyhow::Result<Load> {
        let (mut events, mut costs, mut ticks) = (0, Vec::new(), Timings::default());
        while events < count {
            let left = usize::try_from(count - events).unwrap_or(usize::MAX);
            let Batch { records, at_ms } = source.take(batch.min(left))?;
            if records.is_empty() {
                break;
            }
            events += records.len() as u64;
            let tick = pipeline.tick(&records, at_ms)?.costs;
            ticks.add(tick.to_records().wall);
            costs.push(tick);
        }
        Ok(Load { events, costs: costs.into_iter().sum(), ticks })
    }
}

/// Events one by one, each a tick of its own.
pub struct Singles {
    pub times: Timings,
    pub costs: Costs,
    /// Changes of segments and rates that time caused meanwhile.
    pub by_time: u64,
}

impl Singles {
    /// After the load, or from `moved_ms` on, a second apart.
    pub fn run(
        pipeline: &mut Pipeline,
        source: &mut Source,
        count: u64,
        moved_ms: Option<Millis>,
    ) -> anyhow::Result<Singles> {
        let (mut times, mut costs, mut by_time) = (Timings::default(), Vec::new(), 0);
        if moved_ms.is_some() {
            pipeline.tick(&[], moved_ms)?;
            source.move_clock(pipeline.t_ms);
        }
        for _ in 0..count {
            let Batch { records, at_ms } = source.take(1)?;
            if records.is_empty() {
                break;
            }
            let at_ms = if moved_ms.is_some() { Some(pipeline.t_ms + STEP_MS) } else { at_ms };
            let ticked = pipeline.tick(&records, at_ms)?;
            times.add(ticked.costs.to_records().wall);
            costs.push(ticked.costs);
            by_time += ticked.by_time;
        }
        Ok(Singles { times, costs: costs.into_iter().sum(), by_time })
    }
}
