//! What a reader of ClickHouse, a reader of the feeds and the operating system see.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::system::System;

const LOOK_EVERY: Duration = Duration::from_millis(200);
const COMPLETE: &str = "SELECT toUnixTimestamp64Milli(min(complete_through)) FROM cebe.frontier";

/// Looks every 200 ms.
pub struct Watch<'s> {
    system: &'s System,
    engine: u32,
    progress: BaseConsumer,
    /// The logical time of the last tick that is out.
    out_ms: u64,
}

/// One look.
struct Sample {
    /// None while ClickHouse does not answer.
    readable_ms: Option<u64>,
    feeds_ms: u64,
    engine_kib: u64,
}

impl<'s> Watch<'s> {
    /// Looks at `system`, and at the engine with this process id.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn begin(system: &'s System, engine: u32) -> anyhow::Result<Watch<'s>> {
        let progress: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &system.services.kafka_bootstrap)
            .set("group.id", "watch")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut end = TopicPartitionList::new();
        end.add_partition_offset("cebe.out.progress", 0, Offset::End)?;
        progress.assign(&end)?;
        Ok(Watch { system, engine, progress, out_ms: now_ms() })
    }

    /// Looks for so long.
    ///
    /// # Errors
    /// The engine is gone.
    pub fn phase(&mut self, name: &'static str, time: Duration) -> anyhow::Result<Summary> {
        let begin = Instant::now();
        self.phase_while(name, || Ok(begin.elapsed() < time))
    }

    /// Looks while `goes_on`.
    ///
    /// # Errors
    /// The engine is gone, or those of `goes_on`.
    pub fn phase_while(
        &mut self,
        name: &'static str,
        mut goes_on: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<Summary> {
        let (begin, mut samples) = (Instant::now(), Vec::new());
        while goes_on()? {
            samples.push(self.look()?);
        }
        Ok(Summary::of(name, begin.elapsed(), &samples))
    }

    /// Looks until everything has been readable within `back_ms` for some time.
    ///
    /// # Errors
    /// That does not come to be within `patience`, or the engine is gone.
    pub fn until(
        &mut self,
        name: &'static str,
        back_ms: u64,
        for_time: Duration,
        patience: Duration,
    ) -> anyhow::Result<Summary> {
        let (begin, mut samples, mut since) = (Instant::now(), Vec::new(), None);
        while begin.elapsed() < patience {
            let sample = self.look()?;
            let is_back = sample.readable_ms.is_some_and(|age_ms| age_ms < back_ms);
            samples.push(sample);
            match (is_back, since) {
                (false, _) => since = None,
                (true, None) => since = Some(Instant::now()),
                (true, Some(since)) if since.elapsed() > for_time => {
                    return Ok(Summary::of(name, begin.elapsed(), &samples));
                }
                (true, Some(_)) => {}
            }
        }
        bail!("not back within {} s", patience.as_secs())
    }

    fn look(&mut self) -> anyhow::Result<Sample> {
        let next = Instant::now() + LOOK_EVERY;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            if let Some(Ok(record)) = self.progress.poll(left) {
                let t_ms = record.timestamp().to_millis().unwrap_or_default();
                self.out_ms = self.out_ms.max(t_ms.unsigned_abs());
            }
        }
        let complete = self.system.number(COMPLETE).ok().filter(|t_ms| *t_ms > 0);
        let age = |t_ms: u64| now_ms().saturating_sub(t_ms);
        Ok(Sample {
            readable_ms: complete.map(age),
            feeds_ms: age(self.out_ms),
            engine_kib: resident_kib(self.engine)?,
        })
    }
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the engine is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse()?)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// What was seen in one phase.
pub struct Summary {
    name: &'static str,
    time: Duration,
    /// Median, 99th percentile, greatest; none if nothing could be read.
    readable_ms: Option<[u64; 3]>,
    feeds_ms: Option<[u64; 3]>,
    engine_kib: [u64; 2],
}

impl Summary {
    /// Over the rows of a table of these.
    pub const HEADER: &'static str = "phase            s   readable ms p50      p99      max   \
                                      feeds ms p50      p99      max   engine MiB   to";

    fn of(name: &'static str, time: Duration, samples: &[Sample]) -> Summary {
        let memory = || samples.iter().map(|sample| sample.engine_kib);
        Summary {
            name,
            time,
            readable_ms: quantiles(samples.iter().filter_map(|sample| sample.readable_ms)),
            feeds_ms: quantiles(samples.iter().map(|sample| sample.feeds_ms)),
            engine_kib: [memory().min().unwrap_or_default(), memory().max().unwrap_or_default()],
        }
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let [from, to] = self.engine_kib.map(|kib| kib >> 10);
        json!({
            "phase": self.name, "seconds": self.time.as_secs_f64(),
            "readable_ms": self.readable_ms, "feeds_ms": self.feeds_ms, "engine_mib": [from, to],
        })
    }
}

/// Nearest rank.
fn quantiles(values: impl Iterator<Item = u64>) -> Option<[u64; 3]> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let at = |quantile: f64| {
        let rank = (values.len() as f64 * quantile).ceil() as usize;
        values.get(rank.max(1) - 1).copied()
    };
    Some([at(0.5)?, at(0.99)?, at(1.0)?])
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:12} {:>5}", self.name, self.time.as_secs())?;
        for (of, first) in [(self.readable_ms, 18), (self.feeds_ms, 15)] {
            let cells =
                of.map_or(["-".into(), "-".into(), "-".into()], |of| of.map(|ms| ms.to_string()));
            write!(f, " {:>first$} {:>8} {:>8}", cells[0], cells[1], cells[2])?;
        }
        let [from, to] = self.engine_kib.map(|kib| kib >> 10);
        write!(f, " {from:>12} {to:>4}")
    }
}
