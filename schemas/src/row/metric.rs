use serde::Serialize;

use crate::change::Cause;
use crate::time::{Millis, rfc3339};

/// A rate moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricRow {
    /// The tenant.
    pub account_id: String,
    /// Which metric.
    pub metric: String,
    /// Which group.
    pub group_key: String,
    /// Persons before.
    pub old_numerator: u64,
    /// Persons before.
    pub old_denominator: u64,
    /// Null while nobody was in the denominator.
    pub old_rate: Option<f64>,
    /// Persons now.
    pub new_numerator: u64,
    /// Persons now.
    pub new_denominator: u64,
    /// Null while nobody is in the denominator.
    pub new_rate: Option<f64>,
    /// Why.
    pub cause: Cause,
    /// When.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Number within (view, partition, logical time).
    pub seq: u32,
    /// 1 when the denominator is 0 now.
    pub deleted: u8,
}
