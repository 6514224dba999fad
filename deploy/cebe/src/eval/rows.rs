//! The columns of the analysts' views, in the order in which they are documented.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::change::{Cause, Quarantine};
use cebe_schemas::time::{Millis, rfc3339, rfc3339_option};
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Debug, PartialEq, Serialize)]
pub struct Identity<'v> {
    pub account_id: &'v str,
    pub qontak_customer_id: &'v str,
    pub customer_id: &'v str,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Customer<'v> {
    pub account_id: &'v str,
    pub customer_id: &'v str,
    pub member_ids: &'v [Arc<str>],
    pub attributes: Map<String, Value>,
    pub team_ids: &'v [Arc<str>],
    #[serde(with = "rfc3339_option")]
    pub first_seen: Option<Millis>,
    #[serde(with = "rfc3339_option")]
    pub last_seen: Option<Millis>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct SegmentMember<'v> {
    pub account_id: &'v str,
    pub segment_id: &'v str,
    pub customer_id: &'v str,
    #[serde(with = "rfc3339")]
    pub entered_at: Millis,
    pub definition_version: u32,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct SegmentChange {
    pub account_id: Arc<str>,
    pub segment_id: Arc<str>,
    pub customer_id: Arc<str>,
    pub change: &'static str,
    pub cause: Cause,
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    pub definition_version: u32,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct MetricValue<'v> {
    pub account_id: &'v str,
    pub metric: &'v str,
    pub group_key: &'v str,
    pub numerator: u64,
    pub denominator: u64,
    pub rate: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct MetricChange {
    pub account_id: Arc<str>,
    pub metric: Arc<str>,
    pub group_key: Arc<str>,
    pub old_numerator: u64,
    pub old_denominator: u64,
    pub old_rate: Option<f64>,
    pub new_numerator: u64,
    pub new_denominator: u64,
    pub new_rate: Option<f64>,
    pub cause: Cause,
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Quarantined<'v> {
    pub account_id: &'v str,
    pub reason: Quarantine,
    pub identifier_token: &'v str,
    pub customer_ids: Vec<&'v str>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct RejectedEvent<'v> {
    pub topic: &'v str,
    pub partition: i32,
    pub offset: i64,
    pub account_id: &'v str,
    pub source_module: &'v str,
    pub event_name: &'v str,
    pub reason: &'v str,
    pub pointer: &'v str,
    pub message: &'v str,
    pub payload: &'v str,
    #[serde(with = "rfc3339")]
    pub received_at: Millis,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Reconciled<'v> {
    pub source_module: &'v str,
    #[serde(with = "rfc3339")]
    pub hour: Millis,
    pub emitted: Option<u64>,
    pub read: u64,
    pub difference: Option<i64>,
    pub status: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Ledger<'v> {
    pub topic: &'v str,
    pub partition: i32,
    pub records_read: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub difference: u64,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Backfilled<'v> {
    pub source_module: &'v str,
    pub job: &'v str,
    pub records_read: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub rejected_by_reason: BTreeMap<String, u64>,
    #[serde(with = "rfc3339_option")]
    pub undone_at: Option<Millis>,
}
