//! A set of offsets, and reading along it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Which records: topic and partition → offsets `[from, to)`, sorted, none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    partitions: BTreeMap<(String, i32), Vec<Range<i64>>>,
}

impl Offsets {
    /// Adds a range; the ranges of a partition come in the order of where they begin.
    pub fn push(&mut self, topic: &str, partition: i32, range: Range<i64>) {
        if range.is_empty() {
            return;
        }
        let ranges = self.partitions.entry((topic.to_owned(), partition)).or_default();
        match ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    }

    /// How many records.
    pub fn len(&self) -> u64 {
        self.partitions.values().map(|ranges| count(ranges)).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Topic, partition and how many records of it.
    pub fn partitions(&self) -> impl Iterator<Item = (&str, i32, u64)> {
        self.partitions
            .iter()
            .map(|((topic, partition), ranges)| (topic.as_str(), *partition, count(ranges)))
    }

    /// Each partition with what is wanted of it.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (&str, i32, Wanted)> {
        self.partitions.iter().map(|((topic, partition), ranges)| {
            (topic.as_str(), *partition, Wanted(ranges.iter().cloned().collect()))
        })
    }
}

fn count(ranges: &[Range<i64>]) -> u64 {
    ranges.iter().map(|range| range.end.abs_diff(range.start)).sum()
}

/// The offsets of a partition that are still to come.
#[derive(Debug)]
pub(super) struct Wanted(VecDeque<Range<i64>>);

impl Wanted {
    /// The next one.
    pub(super) fn next(&self) -> Option<i64> {
        self.0.front().map(|range| range.start)
    }

    /// Gives up those below `offset`, and says how many that were.
    pub(super) fn drop_below(&mut self, offset: i64) -> u64 {
        let mut dropped = 0;
        while let Some(range) = self.0.front_mut()
            && range.start < offset
        {
            let end = range.end.min(offset);
            dropped += end.abs_diff(range.start);
            range.start = end;
            if range.is_empty() {
                self.0.pop_front();
            }
        }
        dropped
    }

    /// Gives up those at `offset` and above, and says how many that were.
    pub(super) fn drop_from(&mut self, offset: i64) -> u64 {
        let mut dropped = 0;
        while let Some(range) = self.0.back_mut()
            && range.end > offset
        {
            let start = range.start.max(offset);
            dropped += range.end.abs_diff(start);
            range.end = start;
            if range.is_empty() {
                self.0.pop_back();
            }
        }
        dropped
    }

    /// Gives up all, and says how many that were.
    pub(super) fn drop_all(&mut self) -> u64 {
        self.drop_below(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(ranges: &[Range<i64>]) -> Offsets {
        let mut offsets = Offsets::default();
        for range in ranges {
            offsets.push("t", 0, range.clone());
        }
        offsets
    }

    #[test]
    fn ranges_that_meet_are_one() {
        let met = offsets(&[1..2, 2..4, 3..4, 6..9, 7..8]);
        assert_eq!(met, offsets(&[1..4, 6..9]));
        assert_eq!(met.len(), 6);
        assert_eq!(met.partitions().collect::<Vec<_>>(), [("t", 0, 6)]);
        assert_eq!(offsets(&[5..5, 6..7]).len(), 1, "an empty range is none");
        assert!(Offsets::default().is_empty());
    }

    #[test]
    fn what_is_given_up_is_counted() {
        let all = offsets(&[1..4, 6..9]);
        let (_, _, mut wanted) = all.wanted().next().unwrap();
        assert_eq!((wanted.next(), wanted.drop_below(0)), (Some(1), 0));
        assert_eq!((wanted.drop_below(2), wanted.next()), (1, Some(2)));
        assert_eq!((wanted.drop_below(5), wanted.next()), (2, Some(6)));
        assert_eq!((wanted.drop_from(9), wanted.drop_from(8)), (0, 1));
        assert_eq!((wanted.drop_below(7), wanted.next()), (1, Some(7)));
        assert_eq!((wanted.drop_all(), wanted.next()), (1, None));
    }
}
