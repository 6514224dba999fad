use serde::Serialize;
use serde_json::{Map, Value};

use crate::change::Cause;
use crate::time::{Millis, rfc3339};

/// The profile of a person is another than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CustomerRow {
    /// The tenant.
    pub account_id: String,
    /// Canonical id of the person.
    pub customer_id: String,
    /// All customer ids of the person, shortlex.
    pub member_ids: Vec<String>,
    /// Attribute → value; personal values are masked.
    pub attributes: Map<String, Value>,
    /// The teams of its events, sorted.
    pub team_ids: Vec<String>,
    /// Before; empty if there was no such person.
    pub old_member_ids: Vec<String>,
    /// Before.
    pub old_attributes: Map<String, Value>,
    /// Before.
    pub old_team_ids: Vec<String>,
    /// Why.
    pub cause: Cause,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 if there is no such person any more.
    pub deleted: u8,
}
