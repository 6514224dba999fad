//! How long a start takes: snapshots of many facts written once, then read into an adapter and a dataflow.

use std::path::PathBuf;

use anyhow::Context;
use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::{ClaimRecord, LOGIC_VERSION, LogRecord};
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::snapshot::{
    Keeper, KeptTick, KindBytes, Manifest, Origin, SealedAt, Sizes, Snapshot, Store,
};
use cebe_dataflow::Dataflow;
use clap::Args;
use serde_json::json;

use crate::measure::{Cost, cost, memory_bytes, peak_bytes};
use crate::pipeline::engine::{control, judge};
use crate::pipeline::seeded::Seeded;
use crate::pipeline::source::Source;
use crate::report::{Table, mib};

const BATCH: usize = 20_000;
const RESTS_ON: &str = "bench";
/// Seals while writing come after so many ticks.
const SEAL_EVERY: usize = 25;

#[derive(Args)]
#[command(after_help = MEANING)]
pub struct Options {
    /// Customers.
    #[arg(long, default_value_t = 1_000_000)]
    customers: u64,
    /// Events, each of which leaves a fact.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Where the snapshot is: written first unless there is one, so that a second run measures reading
    /// alone.
    #[arg(long)]
    directory: PathBuf,
    /// Segments and metrics in force.
    #[arg(long, default_value = "bench/definitions.json")]
    definitions: PathBuf,
    /// Dataflow workers.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const MEANING: &str = "\
written: what making and compacting the files took, beside the adapter that makes the facts; only if this
run has written them. restored: from opening the files to a dataflow that can take the next tick.
The key index is not part of it: it is on disk, or filled from its own files at about 500,000 keys a second.";

pub fn run(options: &Options) -> anyhow::Result<()> {
    let store = Store::directory(&options.directory)?;
    let mut written = None;
    if Manifest::list(&store, RESTS_ON)?.states.is_empty() {
        written = Some(write(options, &store)?);
    }
    let manifests = Manifest::list(&store, RESTS_ON)?.states;
    let manifest = manifests.first().context("no snapshot was written")?;
    let before = memory_bytes()?;
    let (restored, took) = cost(|| restore(&store, manifest, options.workers))?;
    let (dataflow, facts) = restored?;
    let held = memory_bytes()?.saturating_sub(before);
    report(options, manifest, written, (took, facts, held))?;
    dataflow.shutdown();
    Ok(())
}

/// Returns what keeping took beside adapting.
fn write(options: &Options, store: &Store) -> anyhow::Result<Cost> {
    let control = control(Some(&options.definitions))?;
    let mut adapter = Adapter::new(judge()?, Topics::default(), MemoryKeyIndex::default(), control);
    let mut source = Source::seeded(Seeded { customers: options.customers, moving_from: None });
    let mut place = LogPlace::default();
    let claim = LogRecord::Claim(ClaimRecord { generation: 1, engine: "bench".into() });
    place.chain.read(&claim.to_bytes()?)?;
    let ((), took) = cost(|| {
        let keeper =
            Keeper::start(store.clone(), RESTS_ON.into(), Origin::default(), Sizes::default())?;
        for tick in 0..options.events.div_ceil(BATCH as u64) {
            let batch = source.take(BATCH)?;
            let t_ms = batch.at_ms.unwrap_or_default();
            let head = place.chain.head();
            let (ordinal, mut binding) =
                (tick * BATCH as u64, place.chain.next(t_ms.max(head.t_ms + 1), 1, Vec::new()));
            binding.first_ordinal = head.next_ordinal;
            let adapted = adapter.adapt(binding.t_ms, ordinal, &batch.records)?;
            keeper.keep(KeptTick::new(&adapted, binding.t_ms));
            place.chain.read(&LogRecord::Binding(binding).to_bytes()?)?;
            if tick as usize % SEAL_EVERY == SEAL_EVERY - 1 {
                keeper.seal(SealedAt {
                    place: place.clone(),
                    adapter: adapter.save(),
                    logic_version: LOGIC_VERSION,
                });
            }
        }
        keeper.seal(SealedAt {
            place: place.clone(),
            adapter: adapter.save(),
            logic_version: LOGIC_VERSION,
        });
        anyhow::Ok(())
    })
    .and_then(|(done, took)| Ok((done?, took)))?;
    Ok(took)
}

fn restore(
    store: &Store,
    manifest: &Manifest,
    workers: usize,
) -> anyhow::Result<(Dataflow, usize)> {
    let snapshot = Snapshot::open(store, manifest)?;
    let adapter = Adapter::restore(judge()?, Topics::default(), (), snapshot.adapter()?)?;
    let mut dataflow = Dataflow::start(workers)?;
    let mut restoring = dataflow.restore(manifest.t_ms);
    restoring.take_in(adapter.recall_definitions())?;
    let mut events = 0;
    let memberships = snapshot.facts(|facts| {
        events += facts.events.len();
        restoring.take_in(facts).map(drop)?;
        anyhow::Ok(())
    })?;
    restoring.finish(&memberships)?;
    Ok((dataflow, events))
}

fn report(
    options: &Options,
    manifest: &Manifest,
    written: Option<Cost>,
    (took, events, held): (Cost, usize, u64),
) -> anyhow::Result<()> {
    let seconds = |cost: Cost| (cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
    let (wall, cpu) = seconds(took);
    let KindBytes { facts, keys, .. } = manifest.sizes();
    if options.json {
        let line = json!({
            "customers": options.customers, "events": events, "workers": options.workers,
            "facts_bytes": facts, "keys_bytes": keys, "restored_s": wall, "restored_cpu_s": cpu,
            "held_bytes": held, "peak_bytes": peak_bytes()?,
            "written_s": written.map(|cost| seconds(cost).0),
        });
        println!("{line}");
        return Ok(());
    }
    let mut table = Table::new([
        "customers",
        "events held",
        "workers",
        "facts",
        "keys",
        "restored s",
        "cpu s",
        "held",
        "peak",
        "written s",
        "cpu s",
    ]);
    let (written_wall, written_cpu) = written.map(seconds).unwrap_or_default();
    table.row([
        options.customers.to_string(),
        events.to_string(),
        options.workers.to_string(),
        mib(facts),
        mib(keys),
        format!("{wall:.1}"),
        format!("{cpu:.1}"),
        mib(held),
        mib(peak_bytes()?),
        format!("{written_wall:.1}"),
        format!("{written_cpu:.1}"),
    ]);
    table.print();
    Ok(())
}
