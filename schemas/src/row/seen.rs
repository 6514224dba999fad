use serde::Serialize;

use crate::change::Cause;
use crate::time::{Millis, rfc3339, rfc3339_option};

/// The first or the last event of a person is another than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeenRow {
    /// The tenant.
    pub account_id: String,
    /// Canonical id of the person.
    pub customer_id: String,
    /// When the earliest of its events happened; none: it has no event any more.
    #[serde(with = "rfc3339_option")]
    pub first_seen: Option<Millis>,
    /// When the latest of its events happened.
    #[serde(with = "rfc3339_option")]
    pub last_seen: Option<Millis>,
    /// Before.
    #[serde(with = "rfc3339_option")]
    pub old_first_seen: Option<Millis>,
    /// Before.
    #[serde(with = "rfc3339_option")]
    pub old_last_seen: Option<Millis>,
    /// Why.
    pub cause: Cause,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 if it has no event any more.
    pub deleted: u8,
}
