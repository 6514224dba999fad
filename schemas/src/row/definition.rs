use serde::Serialize;

use crate::time::{Millis, rfc3339};

/// A definition came into force, or was removed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DefinitionRow {
    /// `segment` or `metric`.
    pub kind: &'static str,
    /// The tenant; "" for a metric that holds for every account.
    pub account_id: String,
    /// The segment's or the metric's id.
    pub id: String,
    /// Given by its author.
    pub version: u32,
    /// Given by its author; "" if none.
    pub title: String,
    /// The definition as it was given: one JSON object; that of the version before, when removed.
    pub definition: String,
    /// Who changed it.
    pub changed_by: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 when it was removed.
    pub deleted: u8,
}
