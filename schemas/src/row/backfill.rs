use std::sync::Arc;

use super::object::Object;
use crate::time::Millis;

/// All records read of one backfill, by verdict, as of a logical time.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillRow {
    /// The publisher.
    pub source_module: Arc<str>,
    /// The job; "" for what others have published to the lane.
    pub job: Arc<str>,
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
    /// Those rejected, by reason: sorted.
    pub rejected_by_reason: Vec<(String, u64)>,
    /// When it was undone; none: what was taken in counts.
    pub undone_at: Option<Millis>,
    /// As of.
    pub logical_time: Millis,
}

impl BackfillRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("source_module", &self.source_module);
        row.text("job", &self.job);
        row.value("records_read", &self.records_read);
        row.value("accepted", &self.accepted);
        row.value("duplicate", &self.duplicate);
        row.value("rejected", &self.rejected);
        row.value("skipped", &self.skipped);
        let reasons: Vec<_> =
            self.rejected_by_reason.iter().map(|(name, n)| (&**name, n.to_string())).collect();
        row.object("rejected_by_reason", reasons.iter().map(|(name, n)| (*name, &**n)));
        if let Some(undone_at) = self.undone_at {
            row.time("undone_at", undone_at);
        }
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
    }
}
