//! Times and memory.

use std::time::{Duration, Instant};

use anyhow::Context;
use cebe_dataflow::Dataflow;
use cebe_schemas::change::TickOutput;
use cebe_schemas::fact::TickInput;

/// How long repeated ticks took.
#[derive(Default)]
pub struct Timings(Vec<Duration>);

impl Timings {
    /// Runs a tick and keeps its time.
    pub fn tick(
        &mut self,
        dataflow: &mut Dataflow,
        input: TickInput,
    ) -> anyhow::Result<TickOutput> {
        let start = Instant::now();
        let output = dataflow.tick(input)?;
        self.0.push(start.elapsed());
        Ok(output)
    }

    /// Milliseconds at these quantiles (nearest rank).
    pub fn quantiles_ms<const N: usize>(&self, quantiles: [f64; N]) -> [f64; N] {
        let mut times = self.0.clone();
        times.sort_unstable();
        quantiles.map(|q| {
            let rank = (times.len() as f64 * q).ceil() as usize;
            times.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        })
    }
}

/// Resident memory of this process, in bytes.
pub fn memory_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// Processor time that this process has used so far.
pub fn cpu_time() -> anyhow::Result<Duration> {
    /// Of the interface, whatever the kernel's own clock.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no process name in stat")?;
    let mut user_and_system = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = user_and_system.try_fold(0, |sum, f| f.parse::<u64>().map(|n| sum + n))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
