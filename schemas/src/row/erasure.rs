use serde::Serialize;

use crate::time::{Millis, rfc3339};

/// What happened by a time to a customer, or to those who named an identifier and no customer, is
/// erased: events of theirs keep a row without payload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErasureRow {
    /// The tenant.
    pub account_id: String,
    /// The customer; "" for an identifier.
    pub qontak_customer_id: String,
    /// The identifier that the customer had named, and no remaining one by then; "" for a customer.
    pub identifier_token: String,
    /// Until when; inclusive.
    #[serde(with = "rfc3339")]
    pub erased_until: Millis,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 when a remaining customer turns out to have named the identifier by then.
    pub deleted: u8,
}
