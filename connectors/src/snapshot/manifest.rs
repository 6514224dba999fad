//! Manifests: which files make a state, as of which binding.

use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::document;
use super::file::{Damage, layout};
use super::store::{Store, StoreError};
use crate::adapter::SavedCounters;
use crate::kafka::log_place::LogPlace;

/// So many manifests are kept, with the files that they name.
pub(super) const KEPT: usize = 3;
const PREFIX: &str = "manifest-";

/// A state as of a binding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of all files that it names.
    pub(super) layout: String,
    /// What else the facts rest on: see [`Keeper`](super::Keeper).
    pub(super) rests_on: String,
    /// The last binding of which everything is in it.
    pub binding: u64,
    /// The logical time of that binding.
    pub t_ms: Millis,
    /// The ordinal of the first record after it.
    pub next_ordinal: u64,
    /// Where that binding stands on `cebe.bindings`, and what was read by then.
    pub place: LogPlace,
    /// What the adapter had counted.
    pub(super) counters: SavedCounters,
    /// The definitions and settings in force.
    pub(super) standing: FileName,
    /// Where the facts are.
    pub(super) files: Files,
}

/// The name of a file that is never changed: its kind, and the checksum of its content.
pub(super) type FileName = String;

/// The files of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    /// Facts by part of the customers, settled: a power of two of them, or none.
    pub(super) base: Vec<Segment>,
    /// Later facts, in the order in which they were told.
    pub(super) recent: Vec<Segment>,
    /// Used keys, in order of ordinal.
    pub(super) keys: Vec<Segment>,
}

/// A file of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) name: FileName,
    pub(super) bytes: u64,
    /// Of keys, the ordinal after the last.
    pub(super) next_ordinal: u64,
}

impl Files {
    pub(super) fn all(&self) -> impl Iterator<Item = &Segment> {
        self.base.iter().chain(&self.recent).chain(&self.keys)
    }
}

impl Manifest {
    pub(super) fn name(&self) -> String {
        // Sorted by name is sorted by number.
        format!("{PREFIX}{:020}", self.binding)
    }

    /// Everything that it names.
    pub(super) fn names(&self) -> impl Iterator<Item = &FileName> {
        self.files.all().map(|segment| &segment.name).chain([&self.standing])
    }

    /// Bytes of all files of facts, and of all files of keys.
    pub fn sizes_bytes(&self) -> (u64, u64) {
        let sum = |files: &[Segment]| files.iter().map(|file| file.bytes).sum::<u64>();
        (sum(&self.files.base) + sum(&self.files.recent), sum(&self.files.keys))
    }

    fn read(store: &Store, name: &str) -> Result<Result<Manifest, Damage>, StoreError> {
        let read = document::read::<Manifest>(&store.get(name)?);
        Ok(read.and_then(|manifest| match manifest.layout == layout() {
            true => Ok(manifest),
            false => Err(Damage::Foreign),
        }))
    }

    /// Those that are whole and rest on `rests_on`, newest first. The others are named in the log and left
    /// out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(store: &Store, rests_on: &str) -> Result<Vec<Manifest>, StoreError> {
        let mut manifests = Vec::new();
        for name in store.list()?.iter().rev().filter(|name| name.starts_with(PREFIX)) {
            let location = store.location();
            let read = match Manifest::read(store, name) {
                // Deleted since it was listed.
                Err(error) if error.is_not_found() => continue,
                read => read?,
            };
            match read {
                Ok(manifest) if manifest.rests_on == rests_on => manifests.push(manifest),
                Ok(manifest) => tracing::warn!(
                    location,
                    name,
                    then = manifest.rests_on,
                    now = rests_on,
                    "a manifest is left out: it rests on other token keys or schemas"
                ),
                Err(damage) => tracing::warn!(location, name, %damage, "a manifest is left out"),
            }
        }
        Ok(manifests)
    }
}
