use std::sync::Arc;

use super::object::Object;
use crate::time::Millis;

/// An accepted event. Everything personal in it is masked.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The team that published it; "" if none.
    pub team_id: Arc<str>,
    /// The publisher.
    pub source_module: Arc<str>,
    /// The event type.
    pub event_name: Arc<str>,
    /// The version of its schema.
    pub schema_version: u32,
    /// The key that makes it count once.
    pub idempotency_key: Arc<str>,
    /// The customer as named; "" if the event names none.
    pub qontak_customer_id: Arc<str>,
    /// When it happened, by its publisher.
    pub occurred_at: Millis,
    /// Its arrival: the logical time that took it in.
    pub received_at: Millis,
    /// The Kafka record's create time: where propagation is measured from.
    pub published_at: Millis,
    /// The properties as the text of a JSON object, sanitised so that a JSON column takes every
    /// accepted event.
    pub properties: String,
    /// The masked envelope, whole: the truth that `properties` is a convenience of.
    pub payload: String,
    /// Tokens of all its valid identifiers.
    pub identifier_tokens: Vec<String>,
    /// What else can be told of it, as a rebuild of the engine needs it: hashes only. Emptied with the
    /// payload.
    pub facts: String,
    /// The part of it that an erasure leaves.
    pub lasting_facts: String,
    /// The backfill that it came with; "" if it came live.
    pub backfill_job: Arc<str>,
    /// Where it was read.
    pub topic: Arc<str>,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// The logical time that took it in.
    pub logical_time: Millis,
    /// Its place in the order of arrival; unique.
    pub ordinal: u64,
}

impl EventRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("team_id", &self.team_id);
        row.text("source_module", &self.source_module);
        row.text("event_name", &self.event_name);
        row.value("schema_version", &self.schema_version);
        row.text("idempotency_key", &self.idempotency_key);
        row.text("qontak_customer_id", &self.qontak_customer_id);
        row.time("occurred_at", self.occurred_at);
        row.time("received_at", self.received_at);
        row.time("published_at", self.published_at);
        row.json("properties", &self.properties);
        row.text("payload", &self.payload);
        row.texts("identifier_tokens", &self.identifier_tokens);
        row.text("facts", &self.facts);
        row.text("lasting_facts", &self.lasting_facts);
        if !self.backfill_job.is_empty() {
            row.text("backfill_job", &self.backfill_job);
        }
        row.text("topic", &self.topic);
        row.value("partition", &self.partition);
        row.value("offset", &self.offset);
        row.time("logical_time", self.logical_time);
        row.value("ordinal", &self.ordinal);
        row.value("seq", &seq);
    }
}
