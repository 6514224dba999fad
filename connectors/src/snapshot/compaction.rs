//! Merges files beside the keeping of facts, a step at a time: a few recent files with each part of the
//! base, so that what is overruled or erased goes, and the number of files stays small.

use super::content::Content;
use super::manifest::{Family, Files, Segment};
use super::reading::ReadError;
use super::store::Store;
use super::{file, keys};
use crate::fault;

/// When files are merged, and how large they become.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Recent files are merged with the base once they are a quarter of it and have this size.
    pub recent_bytes_min: u64,
    /// More recent files are merged sooner, with each other while the base is large. So are more small
    /// key files.
    pub recent_files_max: usize,
    /// The base is split into parts of about this size.
    pub part_bytes: u64,
    /// Key files below this size are small.
    pub keys_bytes: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            recent_bytes_min: 32 << 20,
            recent_files_max: 24,
            part_bytes: 64 << 20,
            keys_bytes: 16 << 20,
        }
    }
}

/// A merge under way.
pub(super) struct Compaction<C> {
    /// Merged, oldest first.
    recent: Vec<Segment>,
    /// Their rows, by part.
    split: Vec<C>,
    /// The parts of before; none: recent files are merged with each other only.
    base: Option<Vec<Segment>>,
    /// How many parts there will be.
    parts: usize,
    written: Vec<Segment>,
}

impl<C: Content> Compaction<C> {
    /// What is to be merged of `files`, if it is time.
    pub(super) fn due(files: &Family, sizes: &Sizes) -> Option<Compaction<C>> {
        let bytes = |segments: &[Segment]| segments.iter().map(|each| each.bytes).sum::<u64>();
        let (base, recent) = (bytes(&files.base), bytes(&files.recent));
        let is_large = recent >= base / 4;
        let is_enough = is_large && recent >= sizes.recent_bytes_min;
        if !is_enough && files.recent.len() <= sizes.recent_files_max {
            return None;
        }
        let parts = (base + recent).div_ceil(sizes.part_bytes).next_power_of_two() as usize;
        let (base, parts) = match is_large {
            true => (Some(files.base.clone()), parts.max(files.base.len())),
            false => (None, 1),
        };
        let recent = files.recent.clone();
        Some(Compaction { recent, split: Vec::new(), base, parts, written: Vec::new() })
    }

    /// What it has written so far.
    pub(super) fn written(&self) -> &[Segment] {
        &self.written
    }

    /// Does a part of the work; whether more is to be done.
    pub(super) fn step(&mut self, store: &Store) -> Result<bool, ReadError> {
        if self.split.is_empty() {
            let mut recent = C::default();
            for segment in &self.recent {
                recent.append(segment.rows(store)?);
            }
            self.split = recent.split(self.parts);
            return Ok(true);
        }
        let done = self.written.len();
        let mut merged: Vec<C> = match &self.base {
            // One part of before is one or several of now.
            Some(base) if !base.is_empty() => {
                let each = self.parts / base.len();
                let part = base[done / each].rows::<C>(store)?.split(self.parts);
                part.into_iter().skip(done).take(each).collect()
            }
            _ => vec![C::default()],
        };
        for (rows, at) in merged.iter_mut().zip(done..) {
            rows.append(std::mem::take(&mut self.split[at]));
            rows.settle(self.base.is_some());
            let bytes = rows.to_bytes();
            let segment = Segment {
                name: file::name(C::KIND, &bytes),
                bytes: bytes.len() as u64,
                next_ordinal: 0,
            };
            store.put(&segment.name, bytes.into())?;
            fault::point("mid_compaction");
            self.written.push(segment);
        }
        Ok(self.written.len() < self.parts)
    }

    /// Puts what was written in the place of what was merged.
    pub(super) fn apply(self, files: &mut Family) {
        files.recent.retain(|segment| !self.recent.contains(segment));
        match self.base {
            Some(_) => files.base = self.written,
            None => files.recent.splice(0..0, self.written).for_each(drop),
        }
    }
}

/// Merges the latest key files, once there are many small ones.
pub(super) fn merge_keys(files: &mut Files, sizes: &Sizes, store: &Store) -> Result<(), ReadError> {
    let is_small = |segment: &&Segment| segment.bytes < sizes.keys_bytes;
    let small = files.keys.iter().rev().take_while(is_small).count();
    if small <= sizes.recent_files_max {
        return Ok(());
    }
    let from = files.keys.len() - small;
    let mut used = Vec::new();
    for segment in &files.keys[from..] {
        used.append(&mut segment.keys(store)?);
    }
    let next_ordinal = files.keys.last().map_or(0, |segment| segment.next_ordinal);
    let bytes = keys::to_bytes(&used);
    let segment =
        Segment { name: file::name("keys", &bytes), bytes: bytes.len() as u64, next_ordinal };
    store.put(&segment.name, bytes.into())?;
    files.keys.splice(from.., [segment]).for_each(drop);
    Ok(())
}
