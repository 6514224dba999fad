//! A change of the dataflow as a row. `seq` is given when rows are numbered.

use std::sync::Arc;

use cebe_schemas::change::Change;
use cebe_schemas::row::{IdentityRow, MetricRow, Row, SegmentRow};
use cebe_schemas::time::Millis;

/// The row of `change`, which is true from `logical_time` on.
pub fn from_change(change: Change, logical_time: Millis) -> Row {
    match change {
        Change::Identity { account_id, qontak_customer_id, old, new, cause } => {
            Row::Identity(IdentityRow {
                account_id: account_id.to_string(),
                qontak_customer_id: qontak_customer_id.to_string(),
                old_customer_id: text(old),
                deleted: u8::from(new.is_none()),
                customer_id: text(new),
                cause,
                logical_time,
                seq: 0,
            })
        }
        Change::Segment {
            account_id,
            segment_id,
            customer_id,
            entered,
            definition_version,
            cause,
        } => Row::Segment(SegmentRow {
            account_id: account_id.to_string(),
            segment_id: segment_id.to_string(),
            customer_id: customer_id.to_string(),
            change: if entered { "entered" } else { "exited" },
            cause,
            definition_version,
            logical_time,
            seq: 0,
            deleted: u8::from(!entered),
        }),
        Change::Metric { account_id, metric, group_key, old, new, cause } => {
            Row::Metric(MetricRow {
                account_id: account_id.to_string(),
                metric: metric.to_string(),
                group_key: group_key.to_string(),
                old_numerator: old.numerator,
                old_denominator: old.denominator,
                old_rate: old.value(),
                new_numerator: new.numerator,
                new_denominator: new.denominator,
                new_rate: new.value(),
                cause,
                logical_time,
                seq: 0,
                deleted: u8::from(new.denominator == 0),
            })
        }
    }
}

fn text(id: Option<Arc<str>>) -> String {
    id.as_deref().unwrap_or_default().to_owned()
}
