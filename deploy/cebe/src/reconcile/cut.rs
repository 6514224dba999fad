//! What was bound through a logical time, by the log of bindings.

use std::collections::BTreeMap;

use cebe_connectors::binding::Range;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::bindings::Bindings;
use cebe_connectors::kafka::held::Held;
use cebe_schemas::time::Millis;

use super::{HOUR_MS, Place};
use crate::command::KAFKA_PATIENCE;

/// Every binding through one logical time.
#[derive(Debug, Default)]
pub struct Cut {
    /// That time.
    pub through_ms: Millis,
    /// How many bindings.
    pub bindings: u64,
    /// What they bound.
    pub partitions: BTreeMap<Place, Bound>,
}

/// What was bound of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The first offset.
    from: i64,
    /// The offset after the last record.
    pub to: i64,
    /// The logical time of the first.
    pub first_ms: Millis,
    /// What retention has deleted, if it has any.
    pub gone: Option<Gone>,
    /// Rising: (offset, logical time of the records below it that are in no entry before).
    times: Vec<(i64, Millis)>,
}

/// Bindings whose records are not all held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The first offset of the bindings after them.
    pub before: i64,
    /// How many records they bound.
    pub records: u64,
    /// The last logical time of them.
    pub at_ms: Millis,
}

impl Cut {
    /// Reads the bindings through `through_ms`.
    ///
    /// # Errors
    /// Kafka refuses, or the log is damaged.
    pub fn read(kafka: &KafkaOptions, through_ms: Millis) -> anyhow::Result<Cut> {
        // Before the bindings: what retention deletes meanwhile fails when it is read.
        let mut starts = BTreeMap::new();
        for (topic, partition) in Held::partitions(kafka, KAFKA_PATIENCE)? {
            let start = Held::first_offset(kafka, &topic, partition)?;
            starts.insert((topic.as_str().into(), partition), start);
        }
        let mut cut = Cut { through_ms, ..Cut::default() };
        let mut bindings = Bindings::open(kafka)?;
        while let Some(binding) = bindings.next_binding()? {
            if binding.t_ms > through_ms {
                break;
            }
            cut.bindings += 1;
            for range in &binding.ranges {
                let place = (range.topic.clone(), range.partition);
                // A partition that is not there holds nothing.
                let start = starts.get(&place).copied().unwrap_or(i64::MAX);
                let exact = *range.topic == kafka.topics.counts;
                let bound = cut.partitions.entry(place).or_default();
                bound.take_in(range, binding.t_ms, start, exact);
            }
        }
        Ok(cut)
    }
}

impl Bound {
    /// Takes in the next range. Unless the times are to be `exact`, their hours are all that is kept.
    pub(super) fn take_in(&mut self, range: &Range, t_ms: Millis, held_from: i64, exact: bool) {
        if self.times.is_empty() {
            (self.from, self.first_ms) = (range.from, t_ms);
        }
        if range.from < held_from {
            let records = self.gone.map_or(0, |gone| gone.records) + range.records;
            self.gone = Some(Gone { before: range.to, records, at_ms: t_ms });
        }
        self.to = range.to;
        match self.times.last_mut() {
            Some((to, at_ms)) if !exact && *at_ms / HOUR_MS == t_ms / HOUR_MS => *to = range.to,
            _ => self.times.push((range.to, t_ms)),
        }
    }

    /// The first offset from which on all is held.
    pub fn held_from(&self) -> i64 {
        self.gone.map_or(self.from, |gone| gone.before)
    }

    /// When the record at `offset` was bound: to the hour, or exactly if that is kept.
    pub fn bound_at(&self, offset: i64) -> Option<Millis> {
        let at = self.times.partition_point(|(to, _)| *to <= offset);
        self.times.get(at).map(|(_, t_ms)| *t_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(held_from: i64) -> Bound {
        let mut bound = Bound::default();
        for (from, to, records, t_ms) in
            [(0, 10, 8, 5), (10, 20, 10, 6), (20, 30, 9, HOUR_MS), (30, 31, 1, HOUR_MS + 1)]
        {
            let range = Range { topic: "t".into(), partition: 0, from, to, records };
            bound.take_in(&range, t_ms, held_from, false);
        }
        bound
    }

    #[test]
    fn what_is_not_wholly_held_is_gone() {
        assert_eq!((bound(0).gone, bound(0).held_from()), (None, 0));
        let gone = |before, records, at_ms| Some(Gone { before, records, at_ms });
        assert_eq!(bound(1).gone, gone(10, 8, 5));
        assert_eq!(bound(10).gone, gone(10, 8, 5));
        assert_eq!(bound(11).gone, gone(20, 18, 6));
        assert_eq!(bound(i64::MAX).gone, gone(31, 28, HOUR_MS + 1));
        assert_eq!((bound(0).to, bound(0).first_ms), (31, 5));
    }

    #[test]
    fn the_hour_that_bound_an_offset_is_known() {
        let hour = |offset| bound(0).bound_at(offset).map(|t_ms| t_ms / HOUR_MS);
        assert_eq!([0, 19, 20, 30, 31].map(hour), [Some(0), Some(0), Some(1), Some(1), None]);
    }
}
