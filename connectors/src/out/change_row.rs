//! A change of the dataflow as a row. `seq` is given when rows are numbered.

use std::sync::Arc;

use cebe_schemas::change::{Change, Profile};
use cebe_schemas::row::{
    CustomerRow, ErasureRow, IdentityRow, MetricRow, QuarantineRow, Row, SeenRow, SegmentRow,
};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use serde_json::{Map, Value};

/// The row of `change`, which is true from `logical_time` on.
pub fn from_change(change: Change, logical_time: Millis, keys: &Keys) -> Row {
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
        Change::Customer { account_id, customer_id, old, new, cause } => {
            let (old, now) = (old.unwrap_or_default(), new.clone().unwrap_or_default());
            Row::Customer(CustomerRow {
                account_id: account_id.to_string(),
                customer_id: customer_id.to_string(),
                member_ids: texts(&now.member_ids),
                attributes: attributes(&now),
                team_ids: texts(&now.team_ids),
                old_member_ids: texts(&old.member_ids),
                old_attributes: attributes(&old),
                old_team_ids: texts(&old.team_ids),
                cause,
                logical_time,
                seq: 0,
                deleted: u8::from(new.is_none()),
            })
        }
        Change::Seen { account_id, customer_id, old, new, cause } => Row::Seen(SeenRow {
            account_id: account_id.to_string(),
            customer_id: customer_id.to_string(),
            first_seen: new.map(|seen| seen.first_ms),
            last_seen: new.map(|seen| seen.last_ms),
            old_first_seen: old.map(|seen| seen.first_ms),
            old_last_seen: old.map(|seen| seen.last_ms),
            cause,
            logical_time,
            seq: 0,
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
        Change::Forgotten { account_id, token, until_ms, erased } => Row::Erasure(ErasureRow {
            account_id: account_id.to_string(),
            qontak_customer_id: String::new(),
            identifier_token: keys.render(token),
            erased_until: until_ms,
            logical_time,
            seq: 0,
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
            account_id: account_id.to_string(),
            reason,
            identifier_token: token.map(|token| keys.render(token)).unwrap_or_default(),
            cluster: cluster.map(|cluster| format!("{:032x}", cluster.0)).unwrap_or_default(),
            qontak_customer_id: qontak_customer_id.to_string(),
            cause,
            logical_time,
            seq: 0,
            deleted: u8::from(!entered),
        }),
    }
}

fn text(id: Option<Arc<str>>) -> String {
    id.as_deref().unwrap_or_default().to_owned()
}

fn texts(ids: &[Arc<str>]) -> Vec<String> {
    ids.iter().map(|id| id.to_string()).collect()
}

fn attributes(profile: &Profile) -> Map<String, Value> {
    let attributes = profile.attributes.iter();
    attributes.map(|(name, value)| (name.to_string(), value.value().clone())).collect()
}
