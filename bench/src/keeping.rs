//! What it costs that every tick is kept: the same load with a keeper and without one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::{ClaimRecord, LOGIC_VERSION, LogRecord};
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::OutRecord;
use cebe_connectors::snapshot::{Keeper, KeptTick, Origin, SealedAt, Sizes, Store};
use cebe_schemas::time::Millis;
use clap::Args;
use serde_json::{Value, json};

use crate::Common;
use crate::measure::cost;
use crate::pipeline::engine::{Pipeline, control};
use crate::pipeline::one::{Load, Singles};
use crate::pipeline::seeded::Seeded;
use crate::pipeline::source::Source;
use crate::report::Table;
use crate::workload::START_MS;

/// As in `cebe run`.
const ROWS_MAX: usize = 500_000;
const SEAL_EVERY: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Segments, metrics and settings in force from the beginning.
    #[arg(long, value_name = "FILE", default_value = "bench/definitions.json")]
    definitions: PathBuf,
    /// Single events after the load.
    #[arg(long, default_value_t = 2_000)]
    probes: u64,
    /// How often both are measured, in turns.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
}

/// Hands ticks to a keeper, and the state now and then, as the engine does.
pub struct Keeping {
    keeper: Keeper,
    place: LogPlace,
    sealed: Instant,
    /// Since then.
    rows: usize,
}

impl Keeping {
    fn start(store: Store) -> anyhow::Result<Keeping> {
        let origin = Origin { is_first: true, ..Origin::default() };
        let keeper = Keeper::start(store, "bench".into(), origin, Sizes::default())?;
        let mut place = LogPlace::default();
        let claim = LogRecord::Claim(ClaimRecord { generation: 1, engine: "bench".into() });
        place.chain.read(&claim.to_bytes()?)?;
        Ok(Keeping { keeper, place, sealed: Instant::now(), rows: 0 })
    }

    /// Keeps a tick of `t_ms`.
    pub fn keep(
        &mut self,
        mut kept: KeptTick,
        t_ms: Millis,
        records: Vec<OutRecord>,
        adapter: &Adapter<MemoryKeyIndex>,
    ) -> anyhow::Result<()> {
        let binding = self.place.chain.next(t_ms, 1, Vec::new());
        self.rows += kept.facts.len() + records.len();
        kept.publish(&binding, records);
        self.keeper.keep(kept);
        self.place.chain.read(&LogRecord::Binding(binding).to_bytes()?)?;
        let is_due = self.sealed.elapsed() > SEAL_EVERY || self.rows > ROWS_MAX;
        if is_due && !self.keeper.is_sealing() {
            let (place, adapter) = (self.place.clone(), adapter.save());
            self.keeper.seal(SealedAt { place, adapter, logic_version: LOGIC_VERSION });
            (self.sealed, self.rows) = (Instant::now(), 0);
        }
        Ok(())
    }
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut table =
        Table::new(["kept", "wall us", "cpu us", "one p50 ms", "one p99 ms", "longest tick ms"]);
    for _ in 0..options.rounds {
        for is_kept in [false, true] {
            let found = measure(options, is_kept)?;
            if options.common.json {
                println!("{found}");
            }
            let number = |name: &str| format!("{:.3}", found[name].as_f64().unwrap_or_default());
            table.row([
                is_kept.to_string(),
                number("wall_us"),
                number("cpu_us"),
                number("one_p50_ms"),
                number("one_p99_ms"),
                number("tick_max_ms"),
            ]);
        }
    }
    if !options.common.json {
        table.print();
        println!(
            "wall: an event of the load, from its envelope to its records and the keeper; cpu: all threads \
             until everything is written, making of the events included; one: a single event after the load"
        );
    }
    Ok(())
}

fn measure(options: &Options, is_kept: bool) -> anyhow::Result<Value> {
    let Common { workers, batch, .. } = options.common;
    let directory = tempfile::tempdir()?;
    let control = control(Some(&options.definitions))?;
    let mut pipeline = Pipeline::start(control, workers, START_MS - 1_000_000)?;
    let mut source = Source::seeded(Seeded::of(options.count + options.probes));
    if is_kept {
        pipeline.keeping = Some(Keeping::start(Store::directory(directory.path())?)?);
    }
    let (measured, took) = cost(|| {
        let load = Load::run(&mut pipeline, &mut source, options.count, batch)?;
        let singles = Singles::run(&mut pipeline, &mut source, options.probes, None)?;
        // Ends when everything is written.
        drop(pipeline.keeping.take());
        anyhow::Ok((load, singles))
    })?;
    let (load, singles) = measured?;
    pipeline.shutdown();
    let [one_p50, one_p99] = singles.times.quantiles_ms([0.5, 0.99]);
    let wall = load.costs.to_records().wall;
    let us_each = |time: Duration| time.as_secs_f64() * 1e6 / load.events as f64;
    let [tick_max] = load.ticks.quantiles_ms([1.0]);
    Ok(json!({
        "workload": "keeping", "events": load.events, "batch": batch, "workers": workers,
        "kept": is_kept, "wall_us": us_each(wall), "cpu_us": us_each(took.cpu),
        "one_p50_ms": one_p50, "one_p99_ms": one_p99, "tick_max_ms": tick_max,
    }))
}
