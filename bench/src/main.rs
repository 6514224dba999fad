//! Workloads for the adapter and the dataflow. Each prints a table, or with `--json` one line for machines.

use clap::{Args, Parser, Subcommand};

mod curves;
mod definitions;
mod giants;
mod keeping;
mod measure;
mod operators;
mod pipeline;
mod recovery;
mod report;
mod single_update;
mod wakeups;
mod workload;

/// As in the binary `cebe`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "cebe-bench", about = "Workloads for the adapter and the dataflow", version)]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Ticks while many customers wait for the end of a window, against none that wait.
    Wakeups(wakeups::Options),
    /// What an update costs against the customers, events and segments that are held.
    Curves(curves::Options),
    /// A definition put, edited and removed while many customers are held, and who waits for it.
    Definitions(definitions::Options),
    /// A person of many events, a broadcast of many recipients, an identifier of many holders, a long
    /// chain: what an update of each costs, and what it costs everybody else.
    Giants(giants::Options),
    /// What it costs that every tick is kept for the next start.
    Keeping(keeping::Options),
    /// What each operator of the dataflow costs while events are loaded.
    Operators(operators::Options),
    /// From envelope bytes to numbered differences, at several sizes, batches and workers.
    #[command(after_help = pipeline::meanings())]
    Pipeline(pipeline::Options),
    /// How long a start from a snapshot takes, and what the snapshot took to write.
    Recovery(recovery::Options),
    /// One event, and one merge, through the whole graph after many events.
    SingleUpdate(single_update::Options),
}

/// What every workload takes.
#[derive(Args, Clone, Copy)]
struct Common {
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Events in a tick while loading.
    #[arg(long, default_value_t = 20_000)]
    batch: usize,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().workload {
        Workload::Wakeups(options) => wakeups::run(&options),
        Workload::Curves(options) => curves::run(&options),
        Workload::Definitions(options) => definitions::run(&options),
        Workload::Giants(options) => giants::run(&options),
        Workload::Keeping(options) => keeping::run(&options),
        Workload::Operators(options) => operators::run(&options),
        Workload::Pipeline(options) => pipeline::run(&options),
        Workload::Recovery(options) => recovery::run(&options),
        Workload::SingleUpdate(options) => single_update::run(&options),
    }
}
