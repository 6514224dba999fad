//! What Kafka has deleted of the feeds behind the place where somebody begins to read.
//!
//! Each topic is cut on its own, the oldest records first: those of a view may be gone while progress still announces them.

use std::collections::BTreeMap;

use cebe_schemas::row::Progress;

use super::gather::{Mismatch, Wanted};

/// What a partition holds: from `first` to before `end`, of which `next` is the first one to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) first: i64,
    pub(crate) next: Option<i64>,
    pub(crate) end: i64,
}

/// Partitions of which something was deleted, and nothing is held from before the place: what comes next may be gone.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    partitions: BTreeMap<Wanted, Held>,
    /// Rows that progress announces before this offset were there when each partition was looked at, or gone.
    progress_end: i64,
}

impl Cut {
    pub(crate) fn new(progress_end: i64) -> Cut {
        Cut { progress_end, ..Cut::default() }
    }

    pub(crate) fn note(&mut self, what: Wanted, held: Held) {
        if held.first > 0 && held.next.unwrap_or(held.end) <= held.first {
            self.partitions.insert(what, held);
        }
    }

    /// Whether progress itself may be gone.
    pub(crate) fn is_of_progress(&self) -> bool {
        // Where none is held, none has come for as long as records are kept.
        self.partitions.get(&Wanted::Progress).is_some_and(|held| held.next.is_some())
    }

    /// Whether rows that a record of progress at `offset` announces are gone, all of them.
    pub(crate) fn has_taken(&self, offset: i64, progress: &Progress) -> bool {
        let is_gone = |held: &Held| held.next.is_none();
        offset < self.progress_end
            && progress.entries.iter().any(|entry| {
                let lane = Wanted::Lane((entry.view, entry.partition));
                self.partitions.get(&lane).is_some_and(is_gone)
            })
    }

    /// Whether that may be why a tick is not whole.
    pub(crate) fn explains(&self, mismatch: &Mismatch) -> bool {
        self.partitions.keys().any(|what| match what {
            Wanted::Lane((view, partition)) => {
                view.topic() == mismatch.topic && *partition == mismatch.partition
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use cebe_schemas::row::ProgressEntry;
    use cebe_schemas::view::View;

    use super::*;

    const LANE: Wanted = Wanted::Lane((View::Segments, 3));

    fn cut(first: i64, next: Option<i64>, end: i64) -> Cut {
        let mut cut = Cut::new(100);
        cut.note(LANE, Held { first, next, end });
        cut
    }

    fn announced(partition: u32) -> Progress {
        let entry =
            ProgressEntry { view: View::Segments, partition, count: 1, hash: String::new() };
        Progress { through: 7, binding: 1, generation: 1, entries: vec![entry] }
    }

    fn mismatch(partition: u32) -> Mismatch {
        let topic = View::Segments.topic();
        Mismatch { t_ms: 7, topic, partition, found: String::new(), expected: String::new() }
    }

    #[test]
    fn rows_are_gone_where_nothing_is_held_of_what_was_announced() {
        let all = cut(9, None, 9);
        assert!(all.has_taken(99, &announced(3)));
        assert!(!all.has_taken(100, &announced(3)), "they may still come");
        assert!(!all.has_taken(99, &announced(2)), "another partition");
        for held in [cut(0, None, 9), cut(5, None, 9), cut(9, Some(9), 12)] {
            assert!(!held.has_taken(99, &announced(3)), "{held:?}");
        }
    }

    #[test]
    fn a_tick_may_lack_rows_where_the_first_that_is_held_comes_after_the_place() {
        assert!(cut(9, Some(9), 12).explains(&mismatch(3)));
        for held in [cut(0, Some(0), 12), cut(5, Some(9), 12)] {
            assert!(!held.explains(&mismatch(3)), "{held:?}");
        }
        assert!(!cut(9, Some(9), 12).explains(&mismatch(2)));
    }
}
