//! Times and memory.

use std::ops::Add;
use std::time::{Duration, Instant};

use anyhow::Context;
use cebe_dataflow::Dataflow;
use cebe_schemas::change::TickOutput;
use cebe_schemas::fact::TickInput;
use rustix::time::{ClockId, clock_gettime};

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

    /// Keeps the time of something.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
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
    status_bytes("VmRSS:")
}

/// The most memory that this process has had resident so far, in bytes.
pub fn peak_bytes() -> anyhow::Result<u64> {
    status_bytes("VmHWM:")
}

fn status_bytes(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("not in status")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// The machine's load average over the last minute.
pub fn load_average() -> anyhow::Result<String> {
    let averages = std::fs::read_to_string("/proc/loadavg")?;
    Ok(averages.split(' ').next().unwrap_or_default().to_owned())
}

/// What something took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Processor time of all threads of this process.
    pub cpu: Duration,
    /// Time on the wall.
    pub wall: Duration,
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { cpu: self.cpu + other.cpu, wall: self.wall + other.wall }
    }
}

/// Runs something, and says what it took.
pub fn cost<T>(run: impl FnOnce() -> T) -> anyhow::Result<(T, Cost)> {
    let (begin, cpu) = (Instant::now(), cpu_time()?);
    let done = run();
    let cost = Cost { cpu: cpu_time()? - cpu, wall: begin.elapsed() };
    Ok((done, cost))
}

/// Processor time that all threads of this process have used so far.
pub fn cpu_time() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}
