//! The floors: what no adapter can be below. Each in a pass of its own over records that nothing has
//! read before.

use std::hint::black_box;

use cebe_connectors::key_index::KeyIndex;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::is_readable;

use super::Options;
use super::engine::{control, judge};
use super::source::{Batch, Source};
use crate::measure::{Cost, cost};
use crate::workload::{Random, START_MS};

/// Parsing and judging do not depend on what came before: a part of the events tells.
const SAMPLE: u64 = 1_000_000;
const HORIZON_MS: Millis = 400 * 86_400_000;

/// Seconds of processor time an event.
pub struct Floors {
    pub parse_s: f64,
    pub verdict_s: f64,
    pub dedup_s: f64,
}

impl Floors {
    pub fn measure(options: &Options, events: u64, batch: usize) -> anyhow::Result<Floors> {
        let sample = events.min(SAMPLE);
        let mut parse = Cost::default();
        let mut source = options.source(events)?;
        each(&mut source, sample, batch, |batch| {
            let read = cost(|| {
                for record in &batch.records {
                    black_box(is_readable(&record.payload));
                }
            })?;
            parse = parse + read.1;
            Ok(())
        })?;
        let (judge, control) = (judge()?, control(options.definitions.as_deref())?);
        let mut verdict = Cost::default();
        let mut source = options.source(events)?;
        each(&mut source, sample, batch, |batch| {
            let at_ms = batch.at_ms.unwrap_or(START_MS);
            let judged = cost(|| {
                for record in &batch.records {
                    let source = record.topic.rsplit_once('.').map_or("", |(_, source)| source);
                    black_box(judge.judge(source, &record.payload, &control, at_ms));
                }
            })?;
            verdict = verdict + judged.1;
            Ok(())
        })?;
        let per_event = |cost: Cost, events: u64| cost.cpu.as_secs_f64() / events.max(1) as f64;
        Ok(Floors {
            parse_s: per_event(parse, sample),
            verdict_s: per_event(verdict, sample),
            dedup_s: per_event(dedup(events)?, events),
        })
    }
}

fn each(
    source: &mut Source,
    count: u64,
    batch: usize,
    mut with: impl FnMut(&Batch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut left = count;
    while left > 0 {
        let batch = source.take(batch.min(left as usize))?;
        if batch.records.is_empty() {
            break;
        }
        left -= batch.records.len() as u64;
        with(&batch)?;
    }
    Ok(())
}

/// Claims so many keys in an index that is empty at first; one in a hundred is used up.
fn dedup(events: u64) -> anyhow::Result<Cost> {
    let mut index = MemoryKeyIndex::default();
    let mut random = Random(7);
    let (claimed, cost) = cost(|| {
        (0..events).try_for_each(|ordinal| {
            let n = match random.below(100) {
                0 if ordinal > 0 => random.below(ordinal),
                _ => ordinal,
            };
            black_box(index.claim(key(n), ordinal, START_MS, HORIZON_MS)).map(drop)
        })
    })?;
    claimed?;
    Ok(cost)
}

/// As well mixed as a keyed hash is.
fn key(n: u64) -> EventKey {
    let mut random = Random(n);
    let (high, low) = (random.below(u64::MAX), random.below(u64::MAX));
    EventKey(u128::from(high) << 64 | u128::from(low))
}
