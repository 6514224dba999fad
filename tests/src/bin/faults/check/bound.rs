//! What came in: the records of Kafka in the order in which they were bound.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::Check;
use crate::reading::{self, Record};

/// Topic, partition, offset.
pub type Place = (String, i32, i64);

/// A record at its place in the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub place: Place,
    /// The logical time that took it in.
    pub t_ms: i64,
    pub payload: Vec<u8>,
}

/// Everything that is on a topic, by place.
pub type Topics = BTreeMap<Place, Vec<u8>>;

/// Topics that events come in by.
pub const SOURCES: [&str; 6] = [
    "cebe.events.ads",
    "cebe.events.broadcast",
    "cebe.events.cdp",
    "cebe.backfill.ads",
    "cebe.backfill.broadcast",
    "cebe.backfill.cdp",
];

#[derive(Deserialize)]
struct Binding {
    number: u64,
    t_ms: i64,
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    topic: String,
    partition: i32,
    from: i64,
    to: i64,
    records: u64,
}

/// The records of some topics.
pub fn topics(brokers: &str, names: &[&str]) -> anyhow::Result<Topics> {
    let mut topics = Topics::new();
    for name in names {
        let place = |record: &Record| ((*name).to_owned(), record.partition, record.offset);
        let records = reading::read(brokers, name)?;
        topics.extend(records.into_iter().map(|record| (place(&record), record.payload)));
    }
    Ok(topics)
}

/// The records of `topics` in the order of `bindings`, the records of `cebe.bindings`; and whether each
/// was bound once.
pub fn in_order(bindings: &[Record], topics: &Topics) -> anyhow::Result<(Vec<Line>, Check)> {
    let names: BTreeSet<&String> = topics.keys().map(|(topic, ..)| topic).collect();
    let mut check = Check::of("every record is bound once");
    let (mut lines, mut bound, mut last) = (Vec::new(), BTreeSet::new(), 0);
    for record in bindings {
        let value: Value = serde_json::from_slice(&record.payload).context("cebe.bindings")?;
        if value["kind"] != "binding" {
            continue;
        }
        let binding: Binding = serde_json::from_value(value).context("cebe.bindings")?;
        // The first with a number is the binding; an engine that was late wrote the others.
        if binding.number != last + 1 {
            continue;
        }
        last = binding.number;
        for range in binding.ranges.iter().filter(|range| names.contains(&range.topic)) {
            let place = |offset| (range.topic.clone(), range.partition, offset);
            let before = lines.len();
            for (place, payload) in topics.range(place(range.from)..place(range.to)) {
                if !bound.insert(place) {
                    check.doubled(format!("{place:?} in binding {last}"));
                }
                let payload = payload.clone();
                lines.push(Line { place: place.clone(), t_ms: binding.t_ms, payload });
            }
            let found = (lines.len() - before) as u64;
            if found != range.records {
                let (topic, expected) = (&range.topic, range.records);
                check.invented(format!("binding {last}: {topic} has {found}, not {expected}"));
            }
        }
    }
    check.compared = lines.len() as u64;
    for place in topics.keys().filter(|place| !bound.contains(place)) {
        check.lost(format!("{place:?} is in no binding"));
    }
    Ok((lines, check))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topic(offsets: &[i64]) -> Topics {
        offsets.iter().map(|offset| (("a".to_owned(), 0, *offset), vec![])).collect()
    }

    fn binding(number: u64, from: i64, to: i64, records: u64) -> Record {
        let range =
            json!({"topic": "a", "partition": 0, "from": from, "to": to, "records": records});
        let value = json!({"kind": "binding", "number": number, "t_ms": number, "ranges": [range]});
        Record { payload: value.to_string().into_bytes(), ..Record::default() }
    }

    fn check(bindings: &[Record], offsets: &[i64]) -> [u64; 3] {
        let (_, check) = in_order(bindings, &topic(offsets)).unwrap();
        [check.lost, check.doubled, check.invented]
    }

    #[test]
    fn records_are_found_in_their_order() {
        let claim = Record { payload: b"{\"kind\":\"claim\"}".to_vec(), ..Record::default() };
        let late = binding(1, 0, 9, 4);
        let bindings = [claim, binding(1, 0, 2, 2), late, binding(2, 2, 9, 2)];
        let (lines, check) = in_order(&bindings, &topic(&[0, 1, 3, 8])).unwrap();
        assert!(check.is_clean(), "{check:?}");
        let times: Vec<_> = lines.iter().map(|line| (line.place.2, line.t_ms)).collect();
        assert_eq!(times, [(0, 1), (1, 1), (3, 2), (8, 2)]);
    }

    #[test]
    fn a_record_that_is_bound_never_twice_or_without_being_there_is_seen() {
        assert_eq!(check(&[binding(1, 0, 2, 2)], &[0, 1]), [0, 0, 0]);
        assert_eq!(check(&[binding(1, 0, 2, 2)], &[0, 1, 2]), [1, 0, 0]);
        assert_eq!(check(&[binding(1, 0, 2, 2), binding(2, 1, 2, 1)], &[0, 1]), [0, 1, 0]);
        assert_eq!(check(&[binding(1, 0, 2, 3)], &[0, 1]), [0, 0, 1]);
    }
}
