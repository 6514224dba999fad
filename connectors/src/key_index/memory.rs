//! A key index in memory.

use std::collections::HashMap;

use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;

use super::{Claim, Floor, KeyIndex, KeyIndexError, Use, judge, prune};

/// All keys in one map.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeyIndex {
    uses: HashMap<EventKey, Vec<Use>>,
}

impl MemoryKeyIndex {
    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.uses.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty()
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
        let uses = self.uses.entry(key).or_insert_with(|| Vec::with_capacity(1));
        let (claim, place) = judge(uses, ordinal, arrival_ms, horizon_ms);
        if let Some(at) = place {
            uses.insert(at, Use { ordinal, arrival_ms });
        }
        Ok(claim)
    }

    fn commit(&mut self) -> Result<(), KeyIndexError> {
        Ok(())
    }

    fn forget(
        &mut self,
        floor: Floor,
        horizon_ms: Millis,
        _limit: usize,
    ) -> Result<usize, KeyIndexError> {
        let mut dropped = 0;
        self.uses.retain(|_, uses| {
            dropped += prune(uses, floor, horizon_ms);
            !uses.is_empty()
        });
        Ok(dropped)
    }
}
