//! A key index in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;

use super::{Claim, Floor, KeyIndex, KeyIndexError, Use, judge, prune};

/// So many maps, that none is ever large enough for its growth to hold up a tick.
const SHARDS: usize = 256;

/// All keys in maps.
#[derive(Clone, Debug)]
pub struct MemoryKeyIndex {
    /// By the first byte of the key: the keys that were used once.
    once: Vec<Keys<Use>>,
    /// The few that were used again, after the horizon.
    again: Keys<Vec<Use>>,
}

type Keys<V> = HashMap<EventKey, V, BuildHasherDefault<KeyHasher>>;

impl Default for MemoryKeyIndex {
    fn default() -> MemoryKeyIndex {
        MemoryKeyIndex { once: vec![Keys::default(); SHARDS], again: Keys::default() }
    }
}

impl MemoryKeyIndex {
    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.once.iter().map(HashMap::len).sum::<usize>() + self.again.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl KeyIndex for MemoryKeyIndex {
    fn claim(
        &mut self,
        key: EventKey,
        ordinal: u64,
        arrival_ms: Millis,
        horizon_ms: Millis,
    ) -> Result<Claim, KeyIndexError> {
        let new = Use { ordinal, arrival_ms };
        // Most often there are none, and none is looked for.
        if let Some(uses) = self.again.get_mut(&key) {
            let (claim, place) = judge(uses, ordinal, arrival_ms, horizon_ms);
            if let Some(at) = place {
                uses.insert(at, new);
            }
            return Ok(claim);
        }
        match self.once[(key.0 >> 120) as usize].entry(key) {
            Entry::Vacant(free) => {
                free.insert(new);
                Ok(Claim::First)
            }
            Entry::Occupied(held) => {
                let (claim, place) = judge(&[*held.get()], ordinal, arrival_ms, horizon_ms);
                if let Some(at) = place {
                    let mut uses = vec![held.remove()];
                    uses.insert(at, new);
                    self.again.insert(key, uses);
                }
                Ok(claim)
            }
        }
    }

    fn commit(&mut self, _: u64) -> Result<(), KeyIndexError> {
        Ok(())
    }

    fn forget(
        &mut self,
        floor: Floor,
        horizon_ms: Millis,
        _limit: usize,
    ) -> Result<usize, KeyIndexError> {
        let mut dropped = 0;
        for keys in &mut self.once {
            keys.retain(|_, only| {
                let gone = prune(&mut vec![*only], floor, horizon_ms);
                dropped += gone;
                gone == 0
            });
        }
        self.again.retain(|_, uses| {
            dropped += prune(uses, floor, horizon_ms);
            !uses.is_empty()
        });
        Ok(dropped)
    }
}

/// Keys are keyed hashes already: their low half is theirs.
#[derive(Clone, Copy, Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
