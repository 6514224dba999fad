use serde::Serialize;

use crate::change::Cause;
use crate::time::{Millis, rfc3339};

/// A customer id belongs to another person than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdentityRow {
    /// The tenant.
    pub account_id: String,
    /// The member.
    pub qontak_customer_id: String,
    /// Canonical id before; "" if the customer was not known.
    pub old_customer_id: String,
    /// Canonical id now; "" if the customer is not known any more.
    pub customer_id: String,
    /// Why.
    pub cause: Cause,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 if the customer is not known any more.
    pub deleted: u8,
}
