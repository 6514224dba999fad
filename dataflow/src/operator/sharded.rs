//! A hash map in many small pieces, so that growing never moves more than one piece at once.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::route;

const SHARDS: usize = 256;

/// One piece.
pub type Shard<K, V> = HashMap<K, V, FixedState>;

/// A map of [`SHARDS`] pieces.
pub struct Sharded<K, V>(Vec<Shard<K, V>>);

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        Sharded((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl<K: Hash + Eq, V> Sharded<K, V> {
    /// The piece that holds `key`, if anything does.
    pub fn of(&mut self, key: &K) -> &mut Shard<K, V> {
        // The low bits choose the worker.
        &mut self.0[(route(key) >> 48) as usize % SHARDS]
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0[(route(key) >> 48) as usize % SHARDS].get(key)
    }

    /// The pieces from number `from` on.
    pub fn pieces(&self, from: usize) -> &[Shard<K, V>] {
        self.0.get(from..).unwrap_or_default()
    }

    /// All entries, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().flatten()
    }
}
