//! The records that Kafka holds, counted one by one.

use std::collections::BTreeMap;

use anyhow::Context;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::held::{Held, HeldRecord};
use cebe_schemas::count::SourceCount;
use cebe_schemas::time::Millis;

use super::cut::{Bound, Cut};
use super::{HOUR_MS, OPEN_HOURS, Place};

/// (source, beginning of the hour).
pub type Hour = (String, Millis);

/// What Kafka holds of a cut.
#[derive(Debug, Default)]
pub struct Records {
    /// Records of each partition, from where all is held.
    pub partitions: BTreeMap<Place, u64>,
    /// Records by the hour of their create time.
    pub read: BTreeMap<Hour, u64>,
    /// What sources say.
    pub emitted: BTreeMap<Hour, u64>,
}

impl Records {
    /// Reads all records of the sources' topics that are `wanted`, and what sources say.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn read(
        kafka: &KafkaOptions,
        cut: &Cut,
        wanted: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Records> {
        let mut records = Records::default();
        for (place, bound) in cut.partitions.iter().filter(|(place, _)| wanted(&place.0)) {
            let Some(source) = kafka.topics.source_module(&place.0) else { continue };
            // Sources count what they emit live.
            let is_live = !kafka.topics.is_backfill(&place.0);
            let mut count = 0;
            each(kafka, place, bound, |record, t_ms| {
                count += 1;
                if let Some(hour_ms) = hour(record.created_ms, t_ms).filter(|_| is_live) {
                    *records.read.entry((source.to_owned(), hour_ms)).or_default() += 1;
                }
            })?;
            records.partitions.insert(place.clone(), count);
        }
        records.emitted = emitted(kafka, cut)?;
        Ok(records)
    }
}

/// The hour that a record counts in, by the rules of the guide; none: it is closed.
fn hour(created_ms: Millis, t_ms: Millis) -> Option<Millis> {
    let (created, now) = (created_ms.div_euclid(HOUR_MS), t_ms / HOUR_MS);
    let makes_sense = created_ms >= 0 && created <= now + 1;
    match makes_sense {
        false => Some(now * HOUR_MS),
        true => (created > now - OPEN_HOURS).then_some(created * HOUR_MS),
    }
}

/// What sources say, the last word on each hour.
fn emitted(kafka: &KafkaOptions, cut: &Cut) -> anyhow::Result<BTreeMap<Hour, u64>> {
    let mut said = Vec::new();
    for (place, bound) in cut.partitions.iter().filter(|(p, _)| *p.0 == kafka.topics.counts) {
        each(kafka, place, bound, |record, t_ms| {
            // Those that are wrong are in `rejected_events`.
            if let Ok(count) = SourceCount::read(&record.payload, t_ms) {
                said.push((t_ms, place.1, record.offset, count));
            }
        })?;
    }
    said.sort_by_key(|(t_ms, partition, offset, _)| (*t_ms, *partition, *offset));
    let last = said
        .into_iter()
        .map(|(.., count)| ((count.source_module.to_string(), count.hour_ms), count.emitted));
    Ok(last.collect())
}

/// Hands over every record of a partition that is bound and held, with when it was bound.
fn each(
    kafka: &KafkaOptions,
    (topic, partition): &Place,
    bound: &Bound,
    mut take: impl FnMut(&HeldRecord, Millis),
) -> anyhow::Result<()> {
    let from = bound.held_from();
    if from >= bound.to {
        return Ok(());
    }
    let what = || format!("{topic}/{partition} cannot be read: run it again");
    let mut held = Held::open(kafka, topic, *partition, from, bound.to).with_context(what)?;
    while let Some(record) = held.next_record().with_context(what)? {
        if let Some(t_ms) = bound.bound_at(record.offset) {
            take(&record, t_ms);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_in_the_hour_that_it_was_made_in_while_that_is_open() {
        let now = 1_000 * HOUR_MS;
        for (created_ms, expected) in [
            (now + 7, Some(now)),
            (now - 1, Some(now - HOUR_MS)),
            (now + HOUR_MS, Some(now + HOUR_MS)),
            (now + 2 * HOUR_MS, Some(now)),
            (-1, Some(now)),
            (now - (OPEN_HOURS - 1) * HOUR_MS, Some(now - (OPEN_HOURS - 1) * HOUR_MS)),
            (now - OPEN_HOURS * HOUR_MS, None),
        ] {
            assert_eq!(hour(created_ms, now + 5), expected, "{created_ms}");
        }
    }
}
