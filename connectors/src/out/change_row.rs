//! A change of the dataflow as a row.

use std::sync::Arc;

use cebe_schemas::change::Change;
use cebe_schemas::row::{
    CustomerRow, ErasureRow, IdentityRow, MetricRow, QuarantineRow, Row, SeenRow, SegmentRow,
};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;

/// The row of `change`, which is true from `logical_time` on.
pub fn from_change(change: Change, logical_time: Millis, keys: &Keys) -> Row {
    match change {
        Change::Identity { account_id, qontak_customer_id, old, new, cause } => {
            Row::Identity(IdentityRow {
                account_id,
                qontak_customer_id,
                old_customer_id: old.unwrap_or_default(),
                deleted: u8::from(new.is_none()),
                customer_id: new.unwrap_or_default(),
                cause,
                logical_time,
            })
        }
        Change::Customer { account_id, customer_id, old, new, cause } => {
            Row::Customer(CustomerRow { account_id, customer_id, old, new, cause, logical_time })
        }
        Change::Seen { account_id, customer_id, old, new, cause } => Row::Seen(SeenRow {
            account_id,
            customer_id,
            first_seen: new.map(|seen| seen.first_ms),
            last_seen: new.map(|seen| seen.last_ms),
            old_first_seen: old.map(|seen| seen.first_ms),
            old_last_seen: old.map(|seen| seen.last_ms),
            cause,
            logical_time,
            deleted: u8::from(new.is_none()),
        }),
        Change::Segment {
            account_id,
            segment_id,
            customer_id,
            entered,
            definition_version,
            cause,
        } => Row::Segment(SegmentRow {
            account_id,
            segment_id,
            customer_id,
            change: if entered { "entered" } else { "exited" },
            cause,
            definition_version,
            logical_time,
            deleted: u8::from(!entered),
        }),
        Change::Metric { account_id, metric, group_key, old, new, cause } => {
            Row::Metric(MetricRow {
                account_id,
                metric,
                group_key,
                old_numerator: old.numerator,
                old_denominator: old.denominator,
                old_rate: old.value(),
                new_numerator: new.numerator,
                new_denominator: new.denominator,
                new_rate: new.value(),
                cause,
                logical_time,
                deleted: u8::from(new.denominator == 0),
            })
        }
        Change::Forgotten { account_id, token, until_ms, erased } => Row::Erasure(ErasureRow {
            account_id,
            qontak_customer_id: Arc::default(),
            identifier_token: keys.render(token),
            erased_until: until_ms,
            logical_time,
            deleted: u8::from(!erased),
        }),
        Change::Quarantine {
            account_id,
            reason,
            token,
            cluster,
            qontak_customer_id,
            entered,
            cause,
        } => Row::Quarantine(QuarantineRow {
            account_id,
            reason,
            identifier_token: token.map(|token| keys.render(token)).unwrap_or_default(),
            cluster: cluster.map(|cluster| format!("{:032x}", cluster.0)).unwrap_or_default(),
            qontak_customer_id,
            cause,
            logical_time,
            deleted: u8::from(!entered),
        }),
    }
}
