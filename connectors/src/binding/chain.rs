//! Which records on `cebe.bindings` count: the same answer for every reader.
//!
//! A binding is accepted if it follows the last accepted one: number + 1, its digest, a later T,
//! the next ordinal, ranges that begin where the partitions were left, and a generation that was
//! claimed and not given up since. The first of several with the same number wins and the later
//! ones are ignored, because racing engines are expected. A claim is accepted if it is the first
//! for the next generation; every binding ends all claims but that of its own generation.
//!
//! Engines append only after reading the log to its end and their own last record back, so nothing
//! else can come from them. Whatever breaks these rules otherwise, be it a gap, another digest or
//! a record that nobody can read, is damage, and an error: to go on would bind records anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::{Binding, ClaimRecord, Digest, LOGIC_VERSION, LogRecord, Range};

/// Damage to the log of bindings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChainError {
    /// A record that no engine wrote.
    #[error("cebe.bindings: cannot read the record after binding {after}: {why}")]
    Unreadable {
        /// The last accepted binding.
        after: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A binding that cannot follow the last one.
    #[error(
        "cebe.bindings is damaged: binding {number} cannot follow binding {after}: {why}; \
         restore the topic from a copy"
    )]
    Broken {
        /// The number that the record gives itself.
        number: u64,
        /// The last accepted binding.
        after: u64,
        /// Which rule it breaks.
        why: String,
    },
    /// A claim for a generation that is not the next.
    #[error("cebe.bindings is damaged: generation {generation} claimed after generation {after}")]
    Claim {
        /// The generation claimed.
        generation: u64,
        /// The last generation claimed before.
        after: u64,
    },
}

/// What a record means to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The next binding.
    Binding(Binding),
    /// The next claim.
    Claim(ClaimRecord),
    /// Somebody else was first.
    Late,
}

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last accepted binding; 0: none.
    pub number: u64,
    /// Its T; 0 before the first.
    pub t_ms: Millis,
    /// Its generation; 0 before the first.
    pub generation: u64,
    /// Its digest.
    pub digest: Digest,
    /// The ordinal that the next record gets.
    pub next_ordinal: u64,
}

/// Reads the log in order and keeps what is needed to judge the next record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chain {
    head: Head,
    genesis: Option<Digest>,
    claimed: u64,
    claims: BTreeMap<u64, String>,
    #[serde(with = "crate::pairs")]
    positions: BTreeMap<(Arc<str>, i32), i64>,
}

impl Default for Chain {
    fn default() -> Self {
        let head =
            Head { number: 0, t_ms: 0, generation: 0, digest: Digest::NONE, next_ordinal: 0 };
        Chain {
            head,
            genesis: None,
            claimed: 0,
            claims: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }
}

impl Chain {
    /// Takes in the next record of the topic.
    ///
    /// # Errors
    /// [`ChainError`]: the topic is damaged, nothing after it can be trusted.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Reading, ChainError> {
        let record = LogRecord::from_bytes(bytes)
            .map_err(|why| ChainError::Unreadable { after: self.head.number, why })?;
        match record {
            LogRecord::Claim(claim) => self.read_claim(claim),
            LogRecord::Binding(binding) => self.read_binding(binding, Digest::of(bytes)),
        }
    }

    /// The binding that would follow now.
    pub fn next(&self, t_ms: Millis, generation: u64, ranges: Vec<Range>) -> Binding {
        Binding {
            number: self.head.number + 1,
            t_ms,
            generation,
            logic_version: LOGIC_VERSION,
            previous: self.head.digest,
            first_ordinal: self.head.next_ordinal,
            ranges,
        }
    }

    /// The last accepted binding.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Digest of the first binding: what tells this history from every other.
    pub fn genesis(&self) -> Option<Digest> {
        self.genesis
    }

    /// Where the next range of each partition begins.
    pub fn positions(&self) -> &BTreeMap<(Arc<str>, i32), i64> {
        &self.positions
    }

    /// The last generation claimed; 0: none.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    /// Who claimed `generation`, while that claim stands.
    pub fn engine(&self, generation: u64) -> Option<&str> {
        self.claims.get(&generation).map(String::as_str)
    }

    fn read_claim(&mut self, claim: ClaimRecord) -> Result<Reading, ChainError> {
        let after = self.claimed;
        if claim.generation <= after {
            return Ok(Reading::Late);
        }
        if Some(claim.generation) != after.checked_add(1) {
            return Err(ChainError::Claim { generation: claim.generation, after });
        }
        self.claimed = claim.generation;
        self.claims.insert(claim.generation, claim.engine.clone());
        Ok(Reading::Claim(claim))
    }

    fn read_binding(&mut self, binding: Binding, digest: Digest) -> Result<Reading, ChainError> {
        if binding.number <= self.head.number {
            return Ok(Reading::Late);
        }
        let next_ordinal = self.check(&binding).map_err(|why| ChainError::Broken {
            number: binding.number,
            after: self.head.number,
            why,
        })?;
        for range in &binding.ranges {
            self.positions.insert((range.topic.clone(), range.partition), range.to);
        }
        // Whoever else has claimed reads this binding before it appends, and stops.
        self.claims.retain(|generation, _| *generation == binding.generation);
        self.genesis.get_or_insert(digest);
        self.head = Head {
            number: binding.number,
            t_ms: binding.t_ms,
            generation: binding.generation,
            digest,
            next_ordinal,
        };
        Ok(Reading::Binding(binding))
    }

    /// The ordinal after the binding, or the rule that it breaks.
    fn check(&self, binding: &Binding) -> Result<u64, String> {
        let head = &self.head;
        if binding.number - 1 != head.number {
            return Err("bindings between them are missing".to_owned());
        }
        if binding.previous != head.digest {
            return Err(format!("it names {} as the one before it", binding.previous));
        }
        if binding.t_ms <= head.t_ms {
            return Err(format!("its T {} is not after {}", binding.t_ms, head.t_ms));
        }
        if !self.claims.contains_key(&binding.generation) {
            return Err(format!("generation {} may not append", binding.generation));
        }
        if binding.first_ordinal != head.next_ordinal {
            return Err(format!("its first ordinal is not {}", head.next_ordinal));
        }
        self.check_ranges(&binding.ranges)?;
        let records = binding.ranges.iter().try_fold(0u64, |sum, r| sum.checked_add(r.records));
        records
            .and_then(|records| head.next_ordinal.checked_add(records))
            .ok_or_else(|| "it counts more records than there are ordinals".to_owned())
    }

    fn check_ranges(&self, ranges: &[Range]) -> Result<(), String> {
        let place = |range: &Range| (range.topic.clone(), range.partition);
        if !ranges.iter().map(place).is_sorted_by(|a, b| a < b) {
            return Err("its ranges are not sorted by topic and partition".to_owned());
        }
        for range in ranges {
            let Range { topic, partition, from, to, records } = range;
            // A partition that is new may have lost records before anybody read it.
            let start = self.positions.get(&place(range)).copied().unwrap_or(*from.max(&0));
            if *from != start {
                return Err(format!("{topic}/{partition} goes on at {start} and not at {from}"));
            }
            let width = to.saturating_sub(*from);
            if *records == 0 || i64::try_from(*records).map_or(true, |records| records > width) {
                return Err(format!(
                    "{topic}/{partition}: {records} records do not fit into offsets {from} to {to}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
