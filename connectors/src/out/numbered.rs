//! Rows of one tick as records: sorted, partitioned, numbered. Pure: the same input gives the same
//! bytes, whenever and however often.
//!
//! Records leave in the order of (view, logical time, key, place). Within (view, partition,
//! logical time) they are numbered from 0 (`seq`), so that a reader can tell a repeated or a
//! missing record even where Kafka tears a transaction.

use cebe_schemas::change::Moment;
use cebe_schemas::row::{Progress, ProgressEntry, Row};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::view::{OUT_PARTITIONS, View};

use super::change_row::from_change;
use crate::binding::Binding;
use place::{Place, in_order, json, partition, with_key};

mod compare;
mod place;

pub use compare::{Difference, compare};

/// The key of a row, as its record carries it.
pub fn key(row: &Row) -> Vec<u8> {
    with_key(row, |key, _| json(key))
}

/// A row that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum NumberError {
    /// A tick with 2³² rows of one view.
    #[error("the view {} has more rows in one tick than can be numbered", view.name())]
    TooMany {
        /// Its view.
        view: View,
    },
}

/// A record for `cebe.out.<view>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Which view's topic.
    pub view: View,
    /// Which partition.
    pub partition: u32,
    /// The key of the view as a JSON array of strings.
    pub key: Vec<u8>,
    /// The row as a JSON object.
    pub value: Vec<u8>,
    /// The row's logical time.
    pub t_ms: Millis,
    /// The key has no value any more.
    pub deleted: bool,
}

/// Everything that one tick publishes, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// The records of all views.
    pub records: Vec<OutRecord>,
    /// What is committed with them.
    pub progress: Progress,
}

/// What one binding gives: the adapter's rows, and the changes of the dataflow, identifiers in them
/// rendered by `keys`.
///
/// # Errors
/// More rows than can be numbered.
pub fn number(
    binding: &Binding,
    rows: Vec<Row>,
    moments: Vec<Moment>,
    keys: &Keys,
) -> Result<Numbered, NumberError> {
    let count = moments.iter().map(|moment| moment.changes.len()).sum();
    let mut changed = Vec::with_capacity(count);
    for Moment { t_ms, changes } in moments {
        changed.extend(changes.into_iter().map(|change| from_change(change, t_ms, keys)));
    }
    let mut records = Vec::with_capacity(rows.len() + changed.len());
    let mut entries = Vec::new();
    let places = in_order(rows.iter().chain(&changed));
    for of_view in places.chunk_by(|a, b| a.view == b.view) {
        let view = of_view[0].view;
        let mut partitions: [Partition; OUT_PARTITIONS as usize] = Default::default();
        for Place { t_ms, row, .. } in of_view {
            let (partition, key) = with_key(row, |key, _| (partition(key), json(key)));
            let out = &mut partitions[partition as usize];
            let value = out.write(row, *t_ms).ok_or(NumberError::TooMany { view })?;
            let (t_ms, deleted) = (*t_ms, row.is_deleted());
            records.push(OutRecord { view, partition, key, value, t_ms, deleted });
        }
        let written = (0..).zip(partitions).filter(|(_, out)| out.count > 0);
        entries.extend(written.map(|(partition, out)| out.entry(view, partition)));
    }
    let progress = Progress {
        through: binding.t_ms,
        binding: binding.number,
        generation: binding.generation,
        entries,
    };
    Ok(Numbered { records, progress })
}

/// What goes to one partition of a view.
#[derive(Default)]
struct Partition {
    count: u32,
    /// The logical time of the last row, and how many rows it has.
    t_ms: Millis,
    of_time: u32,
    hasher: blake3::Hasher,
    /// Values that are not hashed yet: the hash of long pieces is several times as fast.
    pending: Vec<u8>,
}

/// Enough for the widest vectors of BLAKE3.
const PIECE_BYTES: usize = 64 << 10;

impl Partition {
    /// The value of the next row; none if there are too many.
    fn write(&mut self, row: &Row, t_ms: Millis) -> Option<Vec<u8>> {
        if self.t_ms != t_ms {
            (self.t_ms, self.of_time) = (t_ms, 0);
        }
        let from = self.pending.len();
        row.write(self.of_time, &mut self.pending);
        let value = self.pending[from..].to_vec();
        self.count = self.count.checked_add(1)?;
        self.of_time += 1;
        if self.pending.len() >= PIECE_BYTES {
            self.hash_pending();
        }
        Some(value)
    }

    fn hash_pending(&mut self) {
        self.hasher.update(&self.pending);
        self.pending.clear();
    }

    fn entry(mut self, view: View, partition: u32) -> ProgressEntry {
        self.hash_pending();
        let hash = self.hasher.finalize().to_hex()[..32].to_owned();
        ProgressEntry { view, partition, count: self.count, hash }
    }
}

#[cfg(test)]
mod tests;
