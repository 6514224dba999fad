use std::sync::Arc;

use super::object::Object;
use crate::time::Millis;

/// A record that was not taken in, and why.
#[derive(Clone, Debug, PartialEq)]
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
    /// The backfill that it came with; "" if it came live.
    pub backfill_job: Arc<str>,
    /// Its arrival.
    pub received_at: Millis,
    /// The logical time that took it in.
    pub logical_time: Millis,
    /// Its place in the order of arrival; unique.
    pub ordinal: u64,
}

impl RejectedRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("topic", &self.topic);
        row.value("partition", &self.partition);
        row.value("offset", &self.offset);
        row.text("account_id", &self.account_id);
        row.text("source_module", &self.source_module);
        row.text("event_name", &self.event_name);
        row.text("reason", &self.reason);
        row.text("pointer", &self.pointer);
        row.text("message", &self.message);
        row.text("payload", &self.payload);
        if !self.backfill_job.is_empty() {
            row.text("backfill_job", &self.backfill_job);
        }
        row.time("received_at", self.received_at);
        row.time("logical_time", self.logical_time);
        row.value("ordinal", &self.ordinal);
        row.value("seq", &seq);
    }
}
