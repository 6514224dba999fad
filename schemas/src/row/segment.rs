use std::sync::Arc;

use super::object::Object;
use crate::change::Cause;
use crate::time::Millis;

/// A person entered or left a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which segment.
    pub segment_id: Arc<str>,
    /// Canonical id of the person.
    pub customer_id: Arc<str>,
    /// `entered` or `exited`.
    pub change: &'static str,
    /// Why.
    pub cause: Cause,
    /// Version of the definition in force.
    pub definition_version: u32,
    /// When.
    pub logical_time: Millis,
    /// 1 on an exit.
    pub deleted: u8,
}

impl SegmentRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("segment_id", &self.segment_id);
        row.text("customer_id", &self.customer_id);
        row.text("change", self.change);
        row.value("cause", &self.cause);
        row.value("definition_version", &self.definition_version);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
