use std::sync::Arc;

use super::object::Object;
use crate::change::Cause;
use crate::time::Millis;

/// A rate moved.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which metric.
    pub metric: Arc<str>,
    /// Which group.
    pub group_key: Arc<str>,
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
    pub logical_time: Millis,
    /// 1 when the denominator is 0 now.
    pub deleted: u8,
}

impl MetricRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("metric", &self.metric);
        row.text("group_key", &self.group_key);
        row.value("old_numerator", &self.old_numerator);
        row.value("old_denominator", &self.old_denominator);
        row.value("old_rate", &self.old_rate);
        row.value("new_numerator", &self.new_numerator);
        row.value("new_denominator", &self.new_denominator);
        row.value("new_rate", &self.new_rate);
        row.value("cause", &self.cause);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
