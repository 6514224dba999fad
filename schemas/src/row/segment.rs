use serde::Serialize;

use crate::change::Cause;
use crate::time::{Millis, rfc3339};

/// A person entered or left a segment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentRow {
    /// The tenant.
    pub account_id: String,
    /// Which segment.
    pub segment_id: String,
    /// Canonical id of the person.
    pub customer_id: String,
    /// `entered` or `exited`.
    pub change: &'static str,
    /// Why.
    pub cause: Cause,
    /// Version of the definition in force.
    pub definition_version: u32,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 on an exit.
    pub deleted: u8,
}
