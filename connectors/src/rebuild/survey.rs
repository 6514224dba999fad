//! Which bound records Kafka no longer holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::time::Millis;

use super::error::{Gone, RebuildError};
use crate::binding::{Binding, Range};
use crate::kafka::binding_log::Replay;
use crate::kafka::held::Held;
use crate::kafka::log_place::LogPlace;
use crate::kafka::{ClientError, KafkaOptions};

/// What is gone of the records that were bound after some place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// By partition, of the sources.
    sources: BTreeMap<(Arc<str>, i32), (i64, i64)>,
    /// The same of topics that are kept for ever.
    kept: BTreeMap<(Arc<str>, i32), (i64, i64)>,
    /// The last binding of which source records are gone: its number and T.
    pub(super) last: (u64, Millis),
}

impl Cut {
    /// Whether a replay from there fails.
    pub fn is_any(&self) -> bool {
        !self.sources.is_empty() || !self.kept.is_empty()
    }

    /// What is gone of the sources.
    pub fn sources(&self) -> Vec<Gone> {
        list(&self.sources)
    }

    /// What is gone of topics that are kept for ever.
    pub fn kept(&self) -> Vec<Gone> {
        list(&self.kept)
    }

    /// Takes in a range of which the partition holds no more than what begins at `start`.
    fn add(&mut self, is_kept: bool, binding: &Binding, range: &Range, start: i64) {
        if start <= range.from {
            return;
        }
        let gone = if is_kept { &mut self.kept } else { &mut self.sources };
        let to = range.to.min(start);
        let place = (range.topic.clone(), range.partition);
        gone.entry(place).and_modify(|gone| gone.1 = to).or_insert((range.from, to));
        if !is_kept {
            self.last = (binding.number, binding.t_ms);
        }
    }
}

fn list(gone: &BTreeMap<(Arc<str>, i32), (i64, i64)>) -> Vec<Gone> {
    let one = |((topic, partition), (from, to)): (&(Arc<str>, i32), &(i64, i64))| Gone {
        topic: topic.clone(),
        partition: *partition,
        from: *from,
        to: *to,
    };
    gone.iter().map(one).collect()
}

/// What Kafka no longer holds of the records that were bound after `place`, later than `after_ms`, and through the
/// binding of number `last`. Between bindings, `between` is called.
///
/// # Errors
/// Kafka refuses, or the log is damaged.
pub fn survey<E: From<RebuildError>>(
    kafka: &KafkaOptions,
    last: u64,
    place: LogPlace,
    after_ms: Millis,
    mut between: impl FnMut() -> Result<(), E>,
) -> Result<Cut, E> {
    let mut bindings = Replay::open(kafka, place).map_err(RebuildError::from)?;
    let mut starts: BTreeMap<(Arc<str>, i32), i64> = BTreeMap::new();
    let mut cut = Cut::default();
    while let Some(binding) = bindings.next_through(last).map_err(RebuildError::from)? {
        for range in binding.ranges.iter().filter(|_| binding.t_ms > after_ms) {
            let start = start(kafka, &mut starts, range).map_err(RebuildError::from)?;
            cut.add(kafka.topics.keeps(&range.topic), &binding, range, start);
        }
        between()?;
    }
    Ok(cut)
}

fn start(
    kafka: &KafkaOptions,
    starts: &mut BTreeMap<(Arc<str>, i32), i64>,
    range: &Range,
) -> Result<i64, ClientError> {
    let place = (range.topic.clone(), range.partition);
    if let Some(start) = starts.get(&place) {
        return Ok(*start);
    }
    let start = Held::first_offset(kafka, &range.topic, range.partition)?;
    starts.insert(place, start);
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::Digest;

    fn binding(number: u64, topic: &str, from: i64, to: i64) -> Binding {
        let (topic, records) = (topic.into(), (to - from) as u64);
        Binding {
            number,
            t_ms: number as i64 * 10,
            generation: 1,
            logic_version: 1,
            previous: Digest::NONE,
            first_ordinal: 0,
            ranges: vec![Range { topic, partition: 1, from, to, records }],
        }
    }

    #[test]
    fn what_is_gone_is_named_with_its_last_binding() {
        let mut cut = Cut::default();
        for (number, from, to) in [(1, 5, 8), (2, 8, 10), (3, 10, 20), (4, 20, 21)] {
            let binding = binding(number, "cebe.events.ads", from, to);
            cut.add(false, &binding, &binding.ranges[0], 12);
        }
        let topic = "cebe.events.ads".into();
        assert_eq!(cut.sources(), [Gone { topic, partition: 1, from: 5, to: 12 }]);
        assert_eq!(cut.last, (3, 30));
        assert!(cut.kept().is_empty() && cut.is_any());
        assert_eq!(cut.sources()[0].to_string(), "cebe.events.ads/1: offsets 5 to 12");
    }

    #[test]
    fn what_begins_where_it_is_held_is_not_gone() {
        let mut cut = Cut::default();
        let binding = binding(1, "cebe.control", 5, 8);
        cut.add(true, &binding, &binding.ranges[0], 5);
        assert!(!cut.is_any());
        cut.add(true, &binding, &binding.ranges[0], 6);
        assert_eq!((cut.kept().len(), cut.sources().len(), cut.last), (1, 0, (0, 0)));
    }
}
