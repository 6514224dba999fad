use serde::Serialize;

use crate::time::{Millis, rfc3339};

/// A record that was not taken in, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RejectedRow {
    /// Where it was read.
    pub topic: String,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// The tenant, where it could be read, else "".
    pub account_id: String,
    /// The publisher: the topic's suffix.
    pub source_module: String,
    /// The event type, where it could be read, else "".
    pub event_name: String,
    /// The stable reason code.
    pub reason: String,
    /// JSON pointer of the field; "" for the whole record.
    pub pointer: String,
    /// What is wrong, in words, without any value of the record.
    pub message: String,
    /// The record, masked; for `malformed_json` and `oversized` its size and keyed hash.
    pub payload: String,
    /// Its arrival.
    #[serde(with = "rfc3339")]
    pub received_at: Millis,
    /// The logical time that took it in.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Its place in the order of arrival; unique.
    pub ordinal: u64,
    /// Number within (view, partition, logical time).
    pub seq: u32,
}
