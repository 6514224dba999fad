//! A state from its files.

use std::sync::mpsc::sync_channel;

use cebe_schemas::change::Membership;
use cebe_schemas::fact::TickInput;

use super::content::Content;
use super::document;
use super::facts::Facts;
use super::file::{self, Damage};
use super::keys::{self, Used};
use super::manifest::{Manifest, Segment};
use super::published::Published;
use super::store::{Store, StoreError};
use crate::adapter::{SavedAdapter, SavedStanding};

/// So many facts are handed over at once.
const PIECE_ROWS: usize = 50_000;
/// So many pieces are read ahead.
const AHEAD: usize = 2;

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

    pub(super) fn rows<C: Content>(&self, store: &Store) -> Result<C, ReadError> {
        let bytes = self.bytes(C::KIND, store)?;
        C::from_bytes(bytes).map_err(|damage| self.damaged(damage))
    }

    pub(super) fn keys(&self, store: &Store) -> Result<Vec<Used>, ReadError> {
        let bytes = self.bytes("keys", store)?;
        keys::from_bytes(bytes).map_err(|damage| self.damaged(damage))
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
    pieces: Vec<Facts>,
}

impl<'s> Snapshot<'s> {
    /// Begins with the recent files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn open(store: &'s Store, manifest: &'s Manifest) -> Result<Snapshot<'s>, ReadError> {
        let mut recent = Facts::default();
        for segment in &manifest.files.facts.recent {
            recent.append(segment.rows(store)?);
        }
        let recent = recent.split(manifest.files.facts.base.len().max(1));
        Ok(Snapshot { store, manifest, recent, next_part: 0, pieces: Vec::new() })
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

    /// Hands all facts to `take_in`, piece by piece, and returns the entries and exits among them. The
    /// next pieces are read meanwhile, by a thread.
    ///
    /// # Errors
    /// A file cannot be used, or `take_in` fails.
    pub fn facts<E: From<ReadError>>(
        mut self,
        mut take_in: impl FnMut(TickInput) -> Result<(), E>,
    ) -> Result<Vec<Membership>, E> {
        std::thread::scope(|scope| {
            let (sender, pieces) = sync_channel(AHEAD);
            scope.spawn(move || {
                loop {
                    let piece = self.next_piece().transpose();
                    let is_last = !matches!(piece, Some(Ok(_)));
                    // Nobody listens any more if taking in has failed.
                    if piece.is_some_and(|piece| sender.send(piece).is_err()) || is_last {
                        break;
                    }
                }
            });
            let mut memberships = Vec::new();
            for piece in pieces {
                let Facts { told, memberships: mut more } = piece?;
                memberships.append(&mut more);
                take_in(told)?;
            }
            Ok(memberships)
        })
    }

    fn next_piece(&mut self) -> Result<Option<Facts>, ReadError> {
        loop {
            if let Some(piece) = self.pieces.pop() {
                return Ok(Some(piece));
            }
            if self.next_part == self.recent.len() {
                return Ok(None);
            }
            let mut facts = match self.manifest.files.facts.base.get(self.next_part) {
                Some(segment) => segment.rows(self.store)?,
                None => Facts::default(),
            };
            let recent = std::mem::take(&mut self.recent[self.next_part]);
            self.next_part += 1;
            // A part of the base is settled.
            if !recent.is_empty() {
                facts.append(recent);
                facts.settle(true);
            }
            self.pieces = pieces(facts, self.recent.len());
        }
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

/// Hands over what was published as of `manifest`, and after that `later`, the last row of each key that has
/// a value, part by part.
///
/// # Errors
/// A file cannot be used, or `take_in` fails.
pub fn published<E: From<ReadError>>(
    store: &Store,
    manifest: Option<&Manifest>,
    later: Published,
    mut take_in: impl FnMut(Published) -> Result<(), E>,
) -> Result<(), E> {
    let family = manifest.map(|manifest| manifest.files.published.clone()).unwrap_or_default();
    let mut recent = Published::default();
    for segment in &family.recent {
        recent.append(segment.rows(store)?);
    }
    recent.append(later);
    for (at, recent) in recent.split(family.base.len().max(1)).into_iter().enumerate() {
        let mut part = match family.base.get(at) {
            Some(segment) => segment.rows(store)?,
            None => Published::default(),
        };
        part.append(recent);
        part.settle(true);
        take_in(part)?;
    }
    Ok(())
}

/// The facts of one of `parts` in pieces, those of one customer together.
fn pieces(facts: Facts, parts: usize) -> Vec<Facts> {
    let pieces = facts.len().div_ceil(PIECE_ROWS).next_power_of_two();
    let mut pieces = facts.split(parts * pieces);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
