use std::sync::Arc;

use super::object::Object;
use crate::time::Millis;

/// What happened by a time to a customer, or to those who named an identifier and no customer, is
/// erased: events of theirs keep a row without payload.
#[derive(Clone, Debug, PartialEq)]
pub struct ErasureRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The customer; "" for an identifier.
    pub qontak_customer_id: Arc<str>,
    /// The identifier that the customer had named, and no remaining one by then; "" for a customer.
    pub identifier_token: String,
    /// Until when; inclusive.
    pub erased_until: Millis,
    /// When.
    pub logical_time: Millis,
    /// 1 when a remaining customer turns out to have named the identifier by then.
    pub deleted: u8,
}

impl ErasureRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("qontak_customer_id", &self.qontak_customer_id);
        row.text("identifier_token", &self.identifier_token);
        row.time("erased_until", self.erased_until);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
