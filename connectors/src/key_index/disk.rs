//! A key index on disk: an LSM tree (`fjall`), because there are billions of keys and most are
//! asked for once. Bloom filters answer for a new key without reading; the block cache and the
//! write buffer are bounded.
//!
//! Key: 16 bytes. Value: each use as ordinal and arrival, 16 bytes big-endian, by ordinal.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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

/// Which history the entries belong to: anything else than what was stored empties the index.
const LINEAGE: &str = "lineage";
/// Where [`KeyIndex::forget`] has been told that no replay begins before.
const FLOOR: &str = "floor";

/// Keys on disk, and those of the current tick in memory.
pub struct DiskKeyIndex {
    store: Store,
    /// The uses of each key that this tick has asked for, and whether they have to be written.
    tick: HashMap<EventKey, (Vec<Use>, bool)>,
    /// The key after which the sweep goes on.
    swept: Option<Vec<u8>>,
    floor: Floor,
}

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
        let store = Store::open(path)?;
        let stored = store.meta.get(LINEAGE).map_err(|error| store.failed(error))?;
        let floor = store.meta.get(FLOOR).map_err(|error| store.failed(error))?;
        let mut floor = floor.and_then(|bytes| decode_floor(&bytes)).unwrap_or_default();
        if stored.as_deref() != Some(lineage.as_bytes()) || replay_from < floor.ordinal {
            store.reset(lineage).map_err(|error| store.failed(error))?;
            floor = Floor::default();
        }
        Ok(DiskKeyIndex { store, tick: HashMap::new(), swept: None, floor })
    }

    /// Whether it holds no key.
    ///
    /// # Errors
    /// The store failed.
    pub fn is_empty(&self) -> Result<bool, KeyIndexError> {
        self.store.uses.is_empty().map_err(|error| self.store.failed(error))
    }

    /// Makes everything committed survive the loss of power too: before a snapshot that replays
    /// will begin at.
    ///
    /// # Errors
    /// The store failed.
    pub fn persist(&mut self) -> Result<(), KeyIndexError> {
        let persisted = self.store.database.persist(PersistMode::SyncAll);
        persisted.map_err(|error| self.store.failed(error))
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
        KeyIndexError::Store { path: self.path.display().to_string(), error }
    }

    fn damaged(&self) -> KeyIndexError {
        KeyIndexError::Damaged { path: self.path.display().to_string() }
    }
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

    fn commit(&mut self) -> Result<(), KeyIndexError> {
        let mut batch = self.store.database.batch();
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
            let mut uses = decode(&value).ok_or_else(|| self.store.damaged())?;
            let pruned = prune(&mut uses, floor, horizon_ms);
            if uses.is_empty() {
                batch.remove(keys, key.clone());
            } else if pruned > 0 {
                batch.insert(keys, key.clone(), encode(&uses));
            }
            dropped += pruned;
            last = (seen + 1 == limit).then(|| key.to_vec());
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
