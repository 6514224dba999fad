//! A state from its files.

use cebe_schemas::change::Membership;
use cebe_schemas::fact::TickInput;

use super::document;
use super::facts::Facts;
use super::file::{self, Damage};
use super::keys::{self, Used};
use super::manifest::{Manifest, Segment};
use super::store::{Store, StoreError};
use crate::adapter::{SavedAdapter, SavedStanding};

/// So many facts are handed over at once.
const CHUNK_ROWS: usize = 200_000;

/// A file that a manifest names cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is not what was written.
    #[error("snapshots: {name}: {damage}")]
    Damaged {
        /// The file.
        name: String,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl Segment {
    /// The content, if it is the one that the name stands for.
    fn bytes(&self, kind: &str, store: &Store) -> Result<Vec<u8>, ReadError> {
        let bytes = store.get(&self.name)?;
        match bytes.len() as u64 == self.bytes && file::name(kind, &bytes) == self.name {
            true => Ok(bytes),
            false => Err(self.damaged(Damage::Torn)),
        }
    }

    pub(super) fn facts(&self, store: &Store) -> Result<Facts, ReadError> {
        let bytes = self.bytes("facts", store)?;
        Facts::from_bytes(&bytes).map_err(|damage| self.damaged(damage))
    }

    pub(super) fn keys(&self, store: &Store) -> Result<Vec<Used>, ReadError> {
        let bytes = self.bytes("keys", store)?;
        keys::from_bytes(&bytes).map_err(|damage| self.damaged(damage))
    }

    fn damaged(&self, damage: Damage) -> ReadError {
        ReadError::Damaged { name: self.name.clone(), damage }
    }
}

/// A state that is being read.
pub struct Snapshot<'s> {
    store: &'s Store,
    manifest: &'s Manifest,
    /// Facts that are not handed over yet, by part.
    recent: Vec<Facts>,
    next_part: usize,
    chunks: Vec<Facts>,
    /// All entries and exits so far.
    memberships: Vec<Membership>,
}

impl<'s> Snapshot<'s> {
    /// Begins with the recent files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn open(store: &'s Store, manifest: &'s Manifest) -> Result<Snapshot<'s>, ReadError> {
        let mut recent = Facts::default();
        for segment in &manifest.files.recent {
            recent.append(segment.facts(store)?);
        }
        let recent = recent.split(manifest.files.base.len().max(1));
        let (chunks, memberships) = (Vec::new(), Vec::new());
        Ok(Snapshot { store, manifest, recent, next_part: 0, chunks, memberships })
    }

    /// The adapter as it was.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn adapter(&self) -> Result<SavedAdapter, ReadError> {
        let name = &self.manifest.standing;
        let standing = document::read::<SavedStanding>(&self.store.get(name)?);
        let standing =
            standing.map_err(|damage| ReadError::Damaged { name: name.clone(), damage })?;
        Ok(SavedAdapter { standing, counters: self.manifest.counters.clone() })
    }

    /// The next facts; none: these were all.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn next_facts(&mut self) -> Result<Option<TickInput>, ReadError> {
        loop {
            if let Some(chunk) = self.chunks.pop() {
                self.memberships.extend(chunk.memberships);
                return Ok(Some(chunk.told));
            }
            if self.next_part == self.recent.len() {
                return Ok(None);
            }
            let mut facts = match self.manifest.files.base.get(self.next_part) {
                Some(segment) => segment.facts(self.store)?,
                None => Facts::default(),
            };
            facts.append(std::mem::take(&mut self.recent[self.next_part]));
            self.next_part += 1;
            facts.settle(true);
            self.chunks = chunks(facts, self.recent.len());
        }
    }

    /// Who belongs to which segment, after all facts have been read.
    pub fn memberships(&self) -> &[Membership] {
        &self.memberships
    }

    /// How much of it has been read, from 0 to 1.
    pub fn progress(&self) -> f64 {
        self.next_part as f64 / self.recent.len() as f64
    }

    /// The keys that were used from `ordinal` on.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn keys_from(
        &self,
        ordinal: u64,
    ) -> impl Iterator<Item = Result<Vec<Used>, ReadError>> + use<'s> {
        let store = self.store;
        let files = self.manifest.files.keys.iter();
        files.filter(move |file| file.next_ordinal > ordinal).map(move |file| {
            let mut keys = file.keys(store)?;
            keys.retain(|(_, one)| one.ordinal >= ordinal);
            Ok(keys)
        })
    }
}

/// The facts of one of `parts` in pieces that are about as large as wanted, those of one customer together.
fn chunks(facts: Facts, parts: usize) -> Vec<Facts> {
    let pieces = facts.len().div_ceil(CHUNK_ROWS).next_power_of_two();
    let mut chunks = facts.split(parts * pieces);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}
