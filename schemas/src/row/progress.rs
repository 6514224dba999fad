use serde::{Deserialize, Serialize};

use crate::time::{Millis, rfc3339};
use crate::view::View;

/// The commit record of one tick: everything through T is out, and this is what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The T of the tick.
    #[serde(with = "rfc3339")]
    pub through: Millis,
    /// The number of the binding.
    pub binding: u64,
    /// The engine that wrote it.
    pub generation: u64,
    /// One for each (view, partition) that the tick wrote to, in that order.
    pub entries: Vec<ProgressEntry>,
}

/// What one tick wrote to one partition of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressEntry {
    /// The view.
    pub view: View,
    /// The partition of its topic.
    pub partition: u32,
    /// How many records.
    pub count: u32,
    /// BLAKE3 of their values in order, the first 16 bytes in hex.
    pub hash: String,
}
