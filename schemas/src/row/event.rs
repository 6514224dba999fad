use serde::Serialize;

use crate::time::{Millis, rfc3339};

/// An accepted event. Everything personal in it is masked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventRow {
    /// The tenant.
    pub account_id: String,
    /// The team that published it; "" if none.
    pub team_id: String,
    /// The publisher.
    pub source_module: String,
    /// The event type.
    pub event_name: String,
    /// The version of its schema.
    pub schema_version: u32,
    /// The key that makes it count once.
    pub idempotency_key: String,
    /// The customer as named; "" if the event names none.
    pub qontak_customer_id: String,
    /// When it happened, by its publisher.
    #[serde(with = "rfc3339")]
    pub occurred_at: Millis,
    /// Its arrival: the logical time that took it in.
    #[serde(with = "rfc3339")]
    pub received_at: Millis,
    /// The Kafka record's create time: where propagation is measured from.
    #[serde(with = "rfc3339")]
    pub published_at: Millis,
    /// The properties, sanitised so that a JSON column takes every accepted event.
    pub properties: serde_json::Value,
    /// The masked envelope, whole: the truth that `properties` is a convenience of.
    pub payload: String,
    /// Tokens of all its valid identifiers.
    pub identifier_tokens: Vec<String>,
    /// Where it was read.
    pub topic: String,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// The logical time that took it in.
    #[serde(with = "rfc3339")]
    pub logical_time: Millis,
    /// Its place in the order of arrival; unique.
    pub ordinal: u64,
    /// Number within (view, partition, logical time).
    pub seq: u32,
}
