//! Manifests: which files make a state, as of which binding.
//!
//! What was published stands beside the facts: as of the same binding, but while bindings of another logic
//! are replayed.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::document;
use super::file::{Damage, FACTS, PUBLISHED};
use super::store::{Store, StoreError};
use crate::adapter::SavedCounters;
use crate::kafka::log_place::LogPlace;

/// So many manifests are kept at least, with the files that they name.
pub(super) const KEPT: usize = 3;
const PREFIX: &str = "manifest-";

/// A state as of a binding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of facts and keys.
    pub(super) layout: String,
    /// What else the facts rest on: see [`Keeper`](super::Keeper).
    pub(super) rests_on: String,
    /// The last binding of which everything is in it.
    pub binding: u64,
    /// The logical time of that binding.
    pub t_ms: Millis,
    /// Of which logic that binding is.
    pub logic_version: u32,
    /// The ordinal of the first record after it.
    pub next_ordinal: u64,
    /// Where that binding stands on `cebe.bindings`, and what was read by then.
    pub place: LogPlace,
    /// What the adapter had counted.
    pub(super) counters: SavedCounters,
    /// The definitions and settings in force.
    pub(super) standing: FileName,
    /// What was published last, if that is known.
    pub(super) published: Option<PublishedAt>,
    /// Where the rows are.
    pub(super) files: Files,
}

/// As of which binding it is told what was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedAt {
    /// The form of the files.
    layout: String,
    /// The last binding whose rows are in it.
    pub binding: u64,
    /// The logical time of that binding.
    pub t_ms: Millis,
}

impl PublishedAt {
    /// Everything through `binding`, whose logical time is `t_ms`.
    pub fn new(binding: u64, t_ms: Millis) -> PublishedAt {
        PublishedAt { layout: PUBLISHED.to_string(), binding, t_ms }
    }
}

/// The name of a file that is never changed: its kind, and the checksum of its content.
pub(super) type FileName = String;

/// The files of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    /// Facts, by part of the customers.
    pub(super) facts: Family,
    /// What was published, by part of the keys.
    pub(super) published: Family,
    /// Used keys, in order of ordinal.
    pub(super) keys: Vec<Segment>,
}

/// The files of rows of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Family {
    /// By part, settled: a power of two of them, or none.
    pub(super) base: Vec<Segment>,
    /// Later rows, oldest first.
    pub(super) recent: Vec<Segment>,
}

impl Family {
    pub(super) fn all(&self) -> impl Iterator<Item = &Segment> {
        self.base.iter().chain(&self.recent)
    }

    fn bytes(&self) -> u64 {
        self.all().map(|file| file.bytes).sum()
    }
}

/// Bytes of the files of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindBytes {
    /// Of facts.
    pub facts: u64,
    /// Of used keys.
    pub keys: u64,
    /// Of what was published.
    pub published: u64,
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
        self.facts.all().chain(self.published.all()).chain(&self.keys)
    }
}

/// Whether an object is one.
pub(super) fn is_manifest(name: &str) -> bool {
    name.starts_with(PREFIX)
}

impl Manifest {
    pub(super) fn name(&self) -> String {
        // Sorted by name is sorted by number.
        format!("{PREFIX}{:020}", self.binding)
    }

    /// What the adapter had counted.
    pub fn counters(&self) -> &SavedCounters {
        &self.counters
    }

    /// Whether nothing is in it of these backfills: none was read yet, or is undone in it.
    pub fn is_without(&self, jobs: &BTreeSet<Arc<str>>) -> bool {
        let mut held = self.counters.backfills().filter(|job| !job.is_undone);
        held.all(|job| !jobs.contains(job.id))
    }

    /// Whether it is from before all of these backfills.
    pub(super) fn has_read_none(&self, jobs: &BTreeSet<Arc<str>>) -> bool {
        self.counters.backfills().all(|job| !jobs.contains(job.id))
    }

    /// Everything that it names.
    pub(super) fn names(&self) -> impl Iterator<Item = &FileName> {
        self.files.all().map(|segment| &segment.name).chain([&self.standing])
    }

    /// Bytes of all files of each kind.
    pub fn sizes(&self) -> KindBytes {
        KindBytes {
            facts: self.files.facts.bytes(),
            keys: self.files.keys.iter().map(|file| file.bytes).sum(),
            published: self.files.published.bytes(),
        }
    }

    /// What was published as of it, in files that this version reads.
    pub fn published(&self) -> Option<&PublishedAt> {
        self.published.as_ref().filter(|at| at.layout == PUBLISHED.to_string())
    }

    /// Whether its facts are in a form that this version reads.
    fn has_facts(&self) -> bool {
        self.layout == FACTS.to_string()
    }

    fn read(store: &Store, name: &str) -> Result<Result<Manifest, Damage>, StoreError> {
        let read = document::read::<Manifest>(&store.get(name)?);
        let is_foreign = |of: &Manifest| !of.has_facts() && of.published().is_none();
        Ok(read.and_then(|of| if is_foreign(&of) { Err(Damage::Foreign) } else { Ok(of) }))
    }

    /// Those that are whole and rest on `rests_on`, newest first. The others are named in the log and left
    /// out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(store: &Store, rests_on: &str) -> Result<Manifests, StoreError> {
        let (mut manifests, location) = (Manifests::default(), store.location());
        for name in store.list()?.iter().rev().filter(|name| is_manifest(name)) {
            let read = match Manifest::read(store, name) {
                // Deleted since it was listed.
                Err(error) if error.is_not_found() => continue,
                read => read?,
            };
            match read {
                Ok(manifest) if manifest.rests_on != rests_on => tracing::warn!(
                    location,
                    name,
                    then = manifest.rests_on,
                    now = rests_on,
                    "a manifest is left out: it rests on other token keys or schemas"
                ),
                Ok(manifest) if manifest.has_facts() => manifests.states.push(manifest),
                Ok(manifest) => {
                    tracing::warn!(location, name, "facts are left out: {}", Damage::Foreign);
                    manifests.outputs.push(manifest);
                }
                Err(damage) => tracing::warn!(location, name, %damage, "a manifest is left out"),
            }
        }
        Ok(manifests)
    }
}

/// What can be used of the manifests of a store, each newest first.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// A start can begin there.
    pub states: Vec<Manifest>,
    /// Facts are of another version; what was published can be told.
    pub outputs: Vec<Manifest>,
}
