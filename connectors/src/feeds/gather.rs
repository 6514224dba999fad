//! Gathers whole ticks from progress records and rows.
//!
//! A progress record says how many rows its tick has in each lane. A tick is handed on once they
//! are all there, and their hash is right. Should Kafka tear a transaction and the engine publish
//! the tick again, rows come more than once: the first copy of each place stays.

use std::collections::{BTreeMap, VecDeque};

use cebe_schemas::row::{Progress, ProgressEntry};
use cebe_schemas::time::{Millis, format_rfc3339};

use super::row::{Lane, Place, Row};

/// A tick of which every row has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) t_ms: Millis,
    pub(crate) binding: u64,
    /// In order of their places; no lane is empty.
    pub(crate) rows: Vec<(Lane, Vec<Row>)>,
    /// The offset of its progress record.
    pub(crate) offset: i64,
}

/// The rows of a tick are not what its progress record says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "tick {}: {}/{partition} holds {found}, its progress record says {expected}",
    format_rfc3339(*t_ms),
    topic
)]
pub struct Mismatch {
    /// The T of the tick.
    pub t_ms: Millis,
    /// The view's topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// What is there.
    pub found: String,
    /// What the progress record says.
    pub expected: String,
}

/// What has to be read before the next tick is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    Nothing,
    Progress,
    Lane(Lane),
}

/// Rows and progress records that do not make a whole tick yet.
#[derive(Default)]
pub(crate) struct Gather {
    /// The T of the last tick that was handed on.
    through_ms: Option<Millis>,
    /// The T of the last tick that was loaded before.
    begin_ms: Option<Millis>,
    /// The last row of each lane that was handed on. What comes after it belongs to no earlier tick.
    last: BTreeMap<Lane, Place>,
    lanes: BTreeMap<Lane, BTreeMap<Place, Row>>,
    announced: VecDeque<(i64, Progress)>,
    /// So many entries of the next tick's progress record are known to be there.
    whole: usize,
    rows: usize,
    bytes: usize,
}

/// What a buffered row or entry costs beside its JSON.
const OVERHEAD_BYTES: usize = 128;

impl Gather {
    /// Everything through `through_ms` has been loaded already.
    pub(crate) fn after(through_ms: Option<Millis>) -> Self {
        Gather { through_ms, begin_ms: through_ms, ..Gather::default() }
    }

    /// Takes in a row; one that is there already, or has been loaded, is dropped.
    ///
    /// # Errors
    /// If its tick has been handed on without it.
    pub(crate) fn row(&mut self, lane: Lane, place: Place, row: Row) -> Result<(), Mismatch> {
        let begin = self.begin_ms.map(|t_ms| (t_ms, u32::MAX));
        if Some(place) <= self.last.get(&lane).copied().max(begin) {
            return Ok(());
        }
        if Some(place.0) <= self.through_ms {
            return Err(surplus(lane, place));
        }
        let bytes = cost(&row);
        if let std::collections::btree_map::Entry::Vacant(vacant) =
            self.lanes.entry(lane).or_default().entry(place)
        {
            vacant.insert(row);
            self.rows += 1;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Takes in a progress record; a repeated one is dropped.
    pub(crate) fn progress(&mut self, offset: i64, progress: Progress) {
        let last = self.announced.back().map(|(_, p)| p.through).or(self.through_ms);
        if Some(progress.through) > last {
            self.bytes += OVERHEAD_BYTES * (1 + progress.entries.len());
            self.announced.push_back((offset, progress));
        }
    }

    /// The next tick, if all of it is there.
    pub(crate) fn next_tick(&mut self) -> Result<Option<Tick>, Mismatch> {
        if self.wanted() != Wanted::Nothing {
            return Ok(None);
        }
        if let Some((_, progress)) = self.announced.front() {
            self.check(progress)?;
        }
        let Some((offset, progress)) = self.announced.pop_front() else { return Ok(None) };
        self.whole = 0;
        let t_ms = progress.through;
        self.through_ms = Some(t_ms);
        self.bytes -= OVERHEAD_BYTES * (1 + progress.entries.len());

        let mut rows = Vec::with_capacity(progress.entries.len());
        for (lane, waiting) in &mut self.lanes {
            let mut taken = Vec::new();
            while let Some(first) = waiting.first_entry().filter(|e| *e.key() < after(t_ms)) {
                taken.push(first.remove_entry());
            }
            self.rows -= taken.len();
            self.bytes -= taken.iter().map(|(_, row)| cost(row)).sum::<usize>();
            if let Some((last, _)) = taken.last() {
                self.last.insert(*lane, *last);
                rows.push((*lane, taken.into_iter().map(|(_, row)| row).collect()));
            }
        }
        Ok(Some(Tick { t_ms, binding: progress.binding, rows, offset }))
    }

    /// What the next tick needs first. Cheap enough to be asked after each record: a lane that is
    /// whole stays whole.
    pub(crate) fn wanted(&mut self) -> Wanted {
        let Some((_, progress)) = self.announced.front() else { return Wanted::Progress };
        while let Some(entry) = progress.entries.get(self.whole) {
            if let Some((lane, ..)) = self.missing(progress.through, entry) {
                return Wanted::Lane(lane);
            }
            self.whole += 1;
        }
        Wanted::Nothing
    }

    /// Lanes of which the next tick still needs rows, with how many are there and needed.
    pub(crate) fn lacks(&self) -> Vec<(Lane, usize, usize)> {
        let Some((_, progress)) = self.announced.front() else { return Vec::new() };
        let missing = |entry| self.missing(progress.through, entry);
        progress.entries.iter().filter_map(missing).collect()
    }

    /// The T of the next tick that is announced.
    pub(crate) fn next_t_ms(&self) -> Option<Millis> {
        self.announced.front().map(|(_, progress)| progress.through)
    }

    /// Rows that wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn missing(&self, t_ms: Millis, entry: &ProgressEntry) -> Option<(Lane, usize, usize)> {
        let (lane, needed) = ((entry.view, entry.partition), entry.count as usize);
        let waiting = self.lanes.get(&lane);
        // Counting what belongs to the tick takes time, counting all does not.
        let all = waiting.map_or(0, BTreeMap::len);
        let there = match waiting {
            Some(waiting) if all >= needed => waiting.range(..after(t_ms)).count(),
            _ => all,
        };
        (there < needed).then_some((lane, there, needed))
    }

    fn check(&self, progress: &Progress) -> Result<(), Mismatch> {
        let entries: BTreeMap<Lane, _> =
            progress.entries.iter().map(|entry| ((entry.view, entry.partition), entry)).collect();
        for (lane, waiting) in &self.lanes {
            let rows = waiting.range(..after(progress.through)).map(|(_, row)| row);
            let (count, hash) = hash(rows);
            let found = format!("{count} rows (hash {hash})");
            let expected = match entries.get(lane) {
                Some(entry) => format!("{} rows (hash {})", entry.count, entry.hash),
                None if count > 0 => "0 rows".to_owned(),
                None => continue,
            };
            if found != expected {
                return Err(Mismatch {
                    t_ms: progress.through,
                    topic: lane.0.topic(),
                    partition: lane.1,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// The least place after logical time `t_ms`.
fn after(t_ms: Millis) -> Place {
    (t_ms.saturating_add(1), 0)
}

fn surplus((view, partition): Lane, (t_ms, seq): Place) -> Mismatch {
    let (found, expected) = (format!("a row numbered {seq}"), "no such row".to_owned());
    Mismatch { t_ms, topic: view.topic(), partition, found, expected }
}

fn cost(row: &Row) -> usize {
    row.json.len() + OVERHEAD_BYTES
}

fn hash<'a>(rows: impl Iterator<Item = &'a Row>) -> (usize, String) {
    let (mut count, mut hasher) = (0, blake3::Hasher::new());
    for row in rows {
        count += 1;
        hasher.update(&row.json);
    }
    (count, hasher.finalize().to_hex()[..32].to_owned())
}

#[cfg(test)]
mod tests;
