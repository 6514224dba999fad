use std::sync::Arc;

use super::object::Object;
use crate::change::Cause;
use crate::time::Millis;

/// A customer id belongs to another person than before.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The member.
    pub qontak_customer_id: Arc<str>,
    /// Canonical id before; "" if the customer was not known.
    pub old_customer_id: Arc<str>,
    /// Canonical id now; "" if the customer is not known any more.
    pub customer_id: Arc<str>,
    /// Why.
    pub cause: Cause,
    /// When.
    pub logical_time: Millis,
    /// 1 if the customer is not known any more.
    pub deleted: u8,
}

impl IdentityRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("qontak_customer_id", &self.qontak_customer_id);
        row.text("old_customer_id", &self.old_customer_id);
        row.text("customer_id", &self.customer_id);
        row.value("cause", &self.cause);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
