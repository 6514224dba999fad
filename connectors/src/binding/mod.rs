//! Bindings: which records belong to which logical time (architecture §2).
//!
//! A binding is one record on `cebe.bindings`, canonical JSON: fields in the order in which they
//! are declared here, no white space, nothing unknown. It names half-open ranges of offsets and,
//! because transactions and compaction leave gaps, how many records each holds: a count is never
//! `to − from`. `to` is the offset of the last bound record + 1, so a range always ends in a record.
//!
//! * [`chain`]: which of the records on the topic count.
//! * [`claim`]: how an engine comes to be the one that appends, and how it learns that it is not.

pub mod chain;
pub mod claim;

use std::fmt;
use std::sync::Arc;

use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use crate::fault;

/// The version of the rules that turn bound records into outputs. It is part of each binding: a
/// replay under other rules may not be compared with what was published. Raise it with every change of what
/// is published of the same records; and [`FACTS_VERSION`](crate::snapshot::FACTS_VERSION) too if it is the
/// adapter that changes. The first start then publishes the differences (ADR 0022).
pub const LOGIC_VERSION: u32 = 7;

/// The logic of this process: [`LOGIC_VERSION`], unless it is to pass for the version before.
pub fn logic_version() -> u32 {
    LOGIC_VERSION - u32::from(fault::is_older_logic())
}

/// BLAKE3 of the bytes of a record on `cebe.bindings`; 64 hex digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the first binding names as its previous one.
    pub const NONE: Digest = Digest([0; 32]);

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = blake3::HexError;

    fn try_from(hex: String) -> Result<Digest, blake3::HexError> {
        blake3::Hash::from_hex(hex).map(|hash| Digest(*hash.as_bytes()))
    }
}

/// The records of one partition that belong to a binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Where the binding before ended, or where the partition began when it was first seen.
    pub from: i64,
    /// Offset of the last bound record + 1.
    pub to: i64,
    /// How many records lie in between; at least 1.
    pub records: u64,
}

/// One logical time and the records that it takes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// 1, 2, 3, …
    pub number: u64,
    /// The logical time T: greater than that of every binding before.
    pub t_ms: Millis,
    /// The engine that appended it, by the number of its claim.
    pub generation: u64,
    /// [`LOGIC_VERSION`] of that engine.
    pub logic_version: u32,
    /// Digest of the binding before, or [`Digest::NONE`].
    pub previous: Digest,
    /// Ordinal of the first record; the others follow in the order of topic, partition, offset.
    pub first_ordinal: u64,
    /// Sorted by topic and partition, each at most once; may be none: time passes without records.
    pub ranges: Vec<Range>,
}

impl Binding {
    /// How many records it takes in.
    pub fn records(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.records))
    }
}

/// A starting engine says that it wants to be the one that appends bindings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// One more than the last generation claimed.
    pub generation: u64,
    /// The engine's id, unique for each start of a process; for people and messages.
    pub engine: String,
}

/// A record on `cebe.bindings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogRecord {
    /// An engine starts.
    Claim(ClaimRecord),
    /// A logical time.
    Binding(Binding),
}

impl LogRecord {
    /// Its canonical bytes.
    ///
    /// # Errors
    /// None in practice: nothing in a record can fail to be JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The record that `bytes` are the canonical form of.
    ///
    /// # Errors
    /// Says what is wrong: not JSON, not of this shape, or not canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<LogRecord, String> {
        let record: LogRecord = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match record.to_bytes() {
            Ok(canonical) if canonical == bytes => Ok(record),
            _ => Err("it is not in canonical form".to_owned()),
        }
    }
}
