use serde::Serialize;

use crate::time::{Millis, rfc3339};

/// All records ever read from one partition, by verdict, as of a logical time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LedgerRow {
    /// The topic read.
    pub topic: String,
    /// The partition read.
    pub partition: i32,
    /// Records that the bindings counted, before any verdict.
    pub records_read: u64,
    /// Taken in.
    pub accepted: u64,
    /// Had been taken in before.
    pub duplicate: u64,
    /// Not taken in.
    pub rejected: u64,
    /// Excluded by the flag of the source.
    pub skipped: u64,
    /// Offsets `[from, to)` of the records skipped at this logical time, in order. Every offset in
    /// them is a record.
    pub skipped_ranges: Vec<(i64, i64)>,
    /// As of.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
}
