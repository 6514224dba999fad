use std::sync::Arc;

use super::object::Object;
use crate::change::Cause;
use crate::time::Millis;

/// The first or the last event of a person is another than before.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Canonical id of the person.
    pub customer_id: Arc<str>,
    /// When the earliest of its events happened; none: it has no event any more.
    pub first_seen: Option<Millis>,
    /// When the latest of its events happened.
    pub last_seen: Option<Millis>,
    /// Before.
    pub old_first_seen: Option<Millis>,
    /// Before.
    pub old_last_seen: Option<Millis>,
    /// Why.
    pub cause: Cause,
    /// When.
    pub logical_time: Millis,
    /// 1 if it has no event any more.
    pub deleted: u8,
}

impl SeenRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("customer_id", &self.customer_id);
        row.time_option("first_seen", self.first_seen);
        row.time_option("last_seen", self.last_seen);
        row.time_option("old_first_seen", self.old_first_seen);
        row.time_option("old_last_seen", self.old_last_seen);
        row.value("cause", &self.cause);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
