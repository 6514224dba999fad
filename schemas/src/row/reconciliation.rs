use std::sync::Arc;

use super::object::Object;
use crate::time::Millis;

/// What a source says that it emitted in an hour, and what was read of it, as of a logical time.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconciliationRow {
    /// The publisher.
    pub source_module: Arc<str>,
    /// The beginning of the hour.
    pub hour: Millis,
    /// The source's own count; none: it has not come.
    pub emitted: Option<u64>,
    /// Records read whose create time lies in the hour.
    pub read: u64,
    /// As of.
    pub logical_time: Millis,
}

impl ReconciliationRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("source_module", &self.source_module);
        row.time("hour", self.hour);
        row.value("emitted", &self.emitted);
        row.value("read", &self.read);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
    }
}
