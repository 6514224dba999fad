use serde::Serialize;

use crate::change::{Cause, Quarantine};
use crate::time::{Millis, rfc3339};

/// A customer is kept from being linked, or no longer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuarantineRow {
    /// The tenant.
    pub account_id: String,
    /// Which protection.
    pub reason: Quarantine,
    /// The identifier that too many hold; "" for a person of too many members.
    pub identifier_token: String,
    /// Tells persons of too many members from each other; "" for an identifier.
    pub cluster: String,
    /// One holder, or one member.
    pub qontak_customer_id: String,
    /// Why.
    pub cause: Cause,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 when that ended.
    pub deleted: u8,
}
