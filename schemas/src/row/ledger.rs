use std::sync::Arc;

use super::object::Object;
use crate::time::Millis;

/// All records ever read from one partition, by verdict, as of a logical time.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    /// The topic read.
    pub topic: Arc<str>,
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
    pub logical_time: Millis,
}

impl LedgerRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("topic", &self.topic);
        row.value("partition", &self.partition);
        row.value("records_read", &self.records_read);
        row.value("accepted", &self.accepted);
        row.value("duplicate", &self.duplicate);
        row.value("rejected", &self.rejected);
        row.value("skipped", &self.skipped);
        row.value("skipped_ranges", &self.skipped_ranges);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
    }
}
