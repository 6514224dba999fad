use std::sync::Arc;

use super::object::Object;
use crate::change::{Cause, Quarantine};
use crate::time::Millis;

/// A customer is kept from being linked, or no longer.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarantineRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which protection.
    pub reason: Quarantine,
    /// The identifier that too many hold; "" for a person of too many members.
    pub identifier_token: String,
    /// Tells persons of too many members from each other; "" for an identifier.
    pub cluster: String,
    /// One holder, or one member.
    pub qontak_customer_id: Arc<str>,
    /// Why.
    pub cause: Cause,
    /// When.
    pub logical_time: Millis,
    /// 1 when that ended.
    pub deleted: u8,
}

impl QuarantineRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.value("reason", &self.reason);
        row.text("identifier_token", &self.identifier_token);
        row.text("cluster", &self.cluster);
        row.text("qontak_customer_id", &self.qontak_customer_id);
        row.value("cause", &self.cause);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
