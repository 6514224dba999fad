//! A key index on disk: an LSM tree (`fjall`), because there are billions of keys and most are
//! asked for once. Bloom filters answer for a new key without reading; the block cache and the
//! write buffer are bounded.
//!
//! Key: 16 bytes. Value: each use as ordinal and arrival, 16 bytes big-endian, by ordinal. One more entry,
//! of another length, says up to which ordinal all keys are there: it is written with them, so that an
//! index that lost its end knows. One that is damaged is emptied when it is opened: the keys are kept in
//! snapshots too, and in the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, TryLockError};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Claim, Floor, KeyIndex, KeyIndexError, Use, judge, prune};

const CACHE_BYTES: u64 = 64 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;
const USE_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
const FILLED_AT_ONCE: usize = 10_000;

/// Which history the entries belong to: anything else than what was stored empties the index.
const LINEAGE: &str = "lineage";
/// Where [`KeyIndex::forget`] has been told that no replay begins before.
const FLOOR: &str = "floor";

/// The entry that says up to which ordinal all keys are there.
const NEXT_ORDINAL: &[u8] = b"next";

/// Keys on disk, and those of the current tick in memory.
pub struct DiskKeyIndex {
    store: Store,
    next_ordinal: u64,
    /// The uses of each key that this tick has asked for, and whether they have to be written.
    tick: HashMap<EventKey, (Vec<Use>, bool)>,
    /// The key after which the sweep goes on.
    swept: Option<Vec<u8>>,
    floor: Floor,
}

#[derive(Clone)]
struct Store {
    path: PathBuf,
    database: Database,
    uses: Keyspace,
    meta: Keyspace,
}

impl DiskKeyIndex {
    /// Opens the index in `path`, or makes an empty one.
    ///
    /// `lineage` names the history that ordinals refer to: the digest of the first binding and the
    /// version of the logic. `replay_from` is the ordinal at which the replay begins. An index of
    /// another lineage, or one that has already forgotten what that replay needs, is emptied: then
    /// the replay has to begin at ordinal 0 ([`DiskKeyIndex::is_empty`] tells).
    ///
    /// # Errors
    /// The store failed.
    pub fn open(
        path: &Path,
        lineage: &str,
        replay_from: u64,
    ) -> Result<DiskKeyIndex, KeyIndexError> {
        let store = Store::open_or_empty(path)?;
        let stored = store.meta.get(LINEAGE).map_err(|error| store.failed(error))?;
        let floor = store.meta.get(FLOOR).map_err(|error| store.failed(error))?;
        let mut floor = floor.and_then(|bytes| decode_floor(&bytes)).unwrap_or_default();
        if stored.as_deref() != Some(lineage.as_bytes()) || replay_from < floor.ordinal {
            store.reset(lineage).map_err(|error| store.failed(error))?;
            floor = Floor::default();
        }
        let next_ordinal = store.next_ordinal()?;
        Ok(DiskKeyIndex { store, next_ordinal, tick: HashMap::new(), swept: None, floor })
    }

    /// The same index, for an adapter that works through records again of which this one has committed all claims. It finds
    /// them as they were; what it claims besides, this one never asks for while both are used.
    pub fn beside(&self) -> DiskKeyIndex {
        // Up to where all keys are there is not its to say.
        let next_ordinal = u64::MAX;
        let (store, floor) = (self.store.clone(), self.floor);
        DiskKeyIndex { store, next_ordinal, tick: HashMap::new(), swept: None, floor }
    }

    /// The keys of all records before this ordinal are there.
    pub fn next_ordinal(&self) -> u64 {
        self.next_ordinal
    }

    /// Takes in what is known of keys from elsewhere, in order of ordinal.
    ///
    /// # Errors
    /// The store failed.
    pub fn fill(
        &mut self,
        uses: impl IntoIterator<Item = (EventKey, Use)>,
    ) -> Result<(), KeyIndexError> {
        for (key, one) in uses {
            // At a horizon of nothing each use is one more.
            self.claim(key, one.ordinal, one.arrival_ms, 0)?;
            if self.tick.len() >= FILLED_AT_ONCE {
                self.commit(one.ordinal + 1)?;
            }
        }
        Ok(())
    }

    /// Ends filling: the keys of all records before `next_ordinal` are there.
    ///
    /// # Errors
    /// The store failed.
    pub fn filled(&mut self, next_ordinal: u64) -> Result<(), KeyIndexError> {
        self.commit(next_ordinal)
    }

    /// Moves what is in memory into tables.
    #[cfg(test)]
    pub(super) fn flush(&self) -> Result<(), KeyIndexError> {
        self.store.uses.rotate_memtable_and_wait().map_err(|error| self.store.failed(error))
    }

    /// Whether it holds no key.
    ///
    /// # Errors
    /// The store failed.
    pub fn is_empty(&self) -> Result<bool, KeyIndexError> {
        self.store.uses.is_empty().map_err(|error| self.store.failed(error))
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// The store failed.
    pub fn disk_bytes(&self) -> Result<u64, KeyIndexError> {
        self.store.database.disk_space().map_err(|error| self.store.failed(error))
    }
}

impl Store {
    /// Opens it; what is there is thrown away if it is damaged, or was found to be. The mark stands while it
    /// is being opened: what ends the process then is found by the next start.
    fn open_or_empty(path: &Path) -> Result<Store, KeyIndexError> {
        let failed = |error: std::io::Error| KeyIndexError::Store {
            path: path.display().to_string(),
            error: error.into(),
        };
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        let mark_path = doubt_mark(path);
        let is_doubtful = mark_path.exists();
        let mark = File::create(&mark_path).map_err(failed)?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let (path, error) = (path.display().to_string(), fjall::Error::Locked);
                return Err(KeyIndexError::Store { path, error });
            }
        }
        if is_doubtful && path.exists() {
            tracing::warn!(path = %path.display(), "the key index was damaged; it is made anew");
            std::fs::remove_dir_all(path).map_err(failed)?;
        }
        let opened = match Store::open(path) {
            Err(KeyIndexError::Store { error, .. }) if is_damage(&error) => {
                tracing::warn!(path = %path.display(), %error, "the key index is damaged; it is made anew");
                std::fs::remove_dir_all(path).map_err(failed)?;
                Store::open(path)
            }
            opened => opened,
        };
        std::fs::remove_file(&mark_path).map_err(failed)?;
        opened
    }

    fn next_ordinal(&self) -> Result<u64, KeyIndexError> {
        let stored = self.uses.get(NEXT_ORDINAL).map_err(|error| self.failed(error))?;
        let Some(stored) = stored else { return Ok(0) };
        let bytes = <[u8; 8]>::try_from(&*stored).map_err(|_| self.damaged())?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn open(path: &Path) -> Result<Store, KeyIndexError> {
        let at = |error| KeyIndexError::Store { path: path.display().to_string(), error };
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(at)?;
        let options = KeyspaceCreateOptions::default;
        let memtable = || options().max_memtable_size(MEMTABLE_BYTES);
        let uses = database.keyspace("uses", memtable).map_err(at)?;
        let meta = database.keyspace("meta", options).map_err(at)?;
        Ok(Store { path: path.to_owned(), database, uses, meta })
    }

    fn reset(&self, lineage: &str) -> Result<(), fjall::Error> {
        self.uses.clear()?;
        self.meta.clear()?;
        self.meta.insert(LINEAGE, lineage)?;
        self.database.persist(PersistMode::SyncAll)
    }

    fn load(&self, key: EventKey) -> Result<Vec<Use>, KeyIndexError> {
        match self.uses.get(key.0.to_be_bytes()).map_err(|error| self.failed(error))? {
            None => Ok(Vec::new()),
            Some(bytes) => decode(&bytes).ok_or_else(|| self.damaged()),
        }
    }

    fn failed(&self, error: fjall::Error) -> KeyIndexError {
        if is_damage(&error) {
            self.mark_damaged();
        }
        KeyIndexError::Store { path: self.path.display().to_string(), error }
    }

    fn damaged(&self) -> KeyIndexError {
        self.mark_damaged();
        KeyIndexError::Damaged { path: self.path.display().to_string() }
    }
}

impl Store {
    /// The next start empties it.
    fn mark_damaged(&self) {
        if let Err(error) = File::create(doubt_mark(&self.path)) {
            tracing::warn!(%error, path = %self.path.display(), "delete this directory: it is damaged");
        }
    }
}

/// Says that an index has to be emptied.
fn doubt_mark(path: &Path) -> PathBuf {
    path.with_extension("doubtful")
}

/// Whether the files are not what was written; else something is the matter with the machine.
fn is_damage(error: &fjall::Error) -> bool {
    use std::io::ErrorKind::{
        Interrupted, OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        TimedOut,
    };
    const OF_THE_MACHINE: [std::io::ErrorKind; 7] = [
        Interrupted,
        OutOfMemory,
        PermissionDenied,
        QuotaExceeded,
        ReadOnlyFilesystem,
        StorageFull,
        TimedOut,
    ];
    if matches!(
        error,
        fjall::Error::Locked | fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted
    ) {
        return false;
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(each) = cause {
        if let Some(error) = each.downcast_ref::<std::io::Error>() {
            return !OF_THE_MACHINE.contains(&error.kind());
        }
        cause = each.source();
    }
    true
}

impl KeyIndex for DiskKeyIndex {
    fn claim(
        &mut self,
        key: EventKey,
        ordinal: u64,
        arrival_ms: Millis,
        horizon_ms: Millis,
    ) -> Result<Claim, KeyIndexError> {
        let (uses, changed) = match self.tick.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((self.store.load(key)?, false)),
        };
        let (claim, place) = judge(uses, ordinal, arrival_ms, horizon_ms);
        if let Some(at) = place {
            uses.insert(at, Use { ordinal, arrival_ms });
            *changed = true;
        }
        Ok(claim)
    }

    fn commit(&mut self, next_ordinal: u64) -> Result<(), KeyIndexError> {
        // After a replay began further back, what was there is there still.
        let is_new = next_ordinal > self.next_ordinal;
        if self.tick.is_empty() && !is_new {
            return Ok(());
        }
        let mut batch = self.store.database.batch();
        if is_new {
            self.next_ordinal = next_ordinal;
            batch.insert(&self.store.uses, NEXT_ORDINAL, next_ordinal.to_be_bytes());
        }
        for (key, (uses, changed)) in self.tick.drain() {
            if changed {
                batch.insert(&self.store.uses, key.0.to_be_bytes(), encode(&uses));
            }
        }
        // To the operating system: the death of the process loses nothing.
        let batch = batch.durability(Some(PersistMode::Buffer));
        batch.commit().map_err(|error| self.store.failed(error))
    }

    fn forget(
        &mut self,
        floor: Floor,
        horizon_ms: Millis,
        limit: usize,
    ) -> Result<usize, KeyIndexError> {
        let Store { database, uses: keys, meta, .. } = &self.store;
        let start = self.swept.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut batch = database.batch();
        let (mut dropped, mut last) = (0, None);
        for (seen, entry) in keys.range((start, Bound::Unbounded)).take(limit).enumerate() {
            let (key, value) = entry.into_inner().map_err(|error| self.store.failed(error))?;
            last = (seen + 1 == limit).then(|| key.to_vec());
            if key.len() != KEY_BYTES {
                continue;
            }
            let mut uses = decode(&value).ok_or_else(|| self.store.damaged())?;
            let pruned = prune(&mut uses, floor, horizon_ms);
            if uses.is_empty() {
                batch.remove(keys, key.clone());
            } else if pruned > 0 {
                batch.insert(keys, key.clone(), encode(&uses));
            }
            dropped += pruned;
        }
        if floor.ordinal > self.floor.ordinal {
            self.floor = floor;
            batch.insert(meta, FLOOR, encode_use(floor.ordinal, floor.t_ms));
        }
        self.swept = last;
        batch.commit().map_err(|error| self.store.failed(error))?;
        Ok(dropped)
    }
}

fn encode_use(ordinal: u64, t_ms: Millis) -> [u8; USE_BYTES] {
    let mut bytes = [0; USE_BYTES];
    bytes[..8].copy_from_slice(&ordinal.to_be_bytes());
    bytes[8..].copy_from_slice(&t_ms.to_be_bytes());
    bytes
}

fn encode(uses: &[Use]) -> Vec<u8> {
    uses.iter().flat_map(|one| encode_use(one.ordinal, one.arrival_ms)).collect()
}

fn decode_use(bytes: &[u8]) -> Option<Use> {
    let (ordinal, arrival) = bytes.split_at_checked(8)?;
    Some(Use {
        ordinal: u64::from_be_bytes(ordinal.try_into().ok()?),
        arrival_ms: i64::from_be_bytes(arrival.try_into().ok()?),
    })
}

/// The uses, unless these bytes cannot have been written by [`encode`].
fn decode(bytes: &[u8]) -> Option<Vec<Use>> {
    let uses: Vec<Use> = bytes.chunks(USE_BYTES).map(decode_use).collect::<Option<_>>()?;
    uses.is_sorted_by(|a, b| a.ordinal < b.ordinal).then_some(uses)
}

fn decode_floor(bytes: &[u8]) -> Option<Floor> {
    decode_use(bytes).map(|one| Floor { ordinal: one.ordinal, t_ms: one.arrival_ms })
}
