//! Bodies that no struct of this crate writes or reads, for the document alone: events are judged as they come, and rows
//! go out as ClickHouse writes them.
#![expect(dead_code, reason = "only the schemas are used")]

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::push::answer;

/// An event. Fields that are not named here are kept, and `null` is the same as absent. It names a customer, or
/// identifiers. At most 64 KiB.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"event_name": "broadcast.replied", "schema_version": 1, "source_module": "broadcast",
    "idempotency_key": "7f3a0c52-reply", "account_id": "acc-17", "team_id": "team-3",
    "qontak_customer_id": "1048576", "identifiers": [{"type": "phone", "value": "0812-3456-7890"}],
    "occurred_at": "2026-11-23T04:31:00.123Z", "properties": {"broadcast_id": "b-204"}}))]
pub(crate) struct Event {
    /// Its type, which the catalogue has for this source.
    #[schema(min_length = 1)]
    event_name: String,
    /// A version of that type.
    #[schema(minimum = 1)]
    schema_version: u32,
    /// Who publishes it.
    #[schema(min_length = 1)]
    source_module: String,
    /// One event a source: what comes again under the same key is a duplicate. No personal data. 1 to 128 bytes.
    #[schema(min_length = 1, max_length = 128)]
    idempotency_key: String,
    /// The tenant.
    #[schema(min_length = 1, max_length = 64)]
    account_id: String,
    #[schema(min_length = 1, max_length = 64)]
    team_id: Option<String>,
    /// The customer.
    #[schema(min_length = 1, max_length = 64)]
    qontak_customer_id: Option<String>,
    identifiers: Option<Vec<Identifier>>,
    occurred_at: OccurredAt,
    /// What the event type asks for, and anything else: at most 255, nested 5 deep.
    properties: Option<BTreeMap<String, Value>>,
}

/// Something by which a customer is known.
#[derive(Serialize, ToSchema)]
struct Identifier {
    /// `phone`, `email`, `device`, or any other.
    #[schema(min_length = 1)]
    r#type: String,
    value: String,
}

/// When it happened: no more than 5 minutes ahead, and no longer ago than the retention.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum OccurredAt {
    /// RFC 3339 with an offset.
    #[schema(value_type = String, format = DateTime)]
    Text(String),
    /// Milliseconds since 1970.
    Millis(i64),
}

/// Events.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Events {
    Batch(EventBatch),
    One(Box<Event>),
}

/// A batch.
#[derive(Serialize, ToSchema)]
#[schema(min_items = 1, max_items = 2000)]
pub(crate) struct EventBatch(Vec<Event>);

/// An event as Mixpanel's clients send it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"event": "broadcast.read", "properties": {"token": "acc-17", "distinct_id": "1048576",
    "time": 1_795_408_260, "$insert_id": "7f3a0c52-read", "broadcast_id": "b-204"}}))]
pub(crate) struct MixpanelEvent {
    /// Our `event_name`.
    #[schema(min_length = 1)]
    event: String,
    /// `token`, `distinct_id` or `$user_id`, `time`, `$insert_id`, and those of the event.
    properties: BTreeMap<String, Value>,
}

/// Events of Mixpanel's.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum MixpanelEvents {
    Batch(MixpanelBatch),
    One(MixpanelEvent),
}

/// A batch.
#[derive(Serialize, ToSchema)]
#[schema(min_items = 1, max_items = 2000)]
pub(crate) struct MixpanelBatch(Vec<MixpanelEvent>);

/// What is known of somebody, as Mixpanel's clients send it. Operations other than `$set` and `$unset` are refused.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"$token": "acc-17", "$distinct_id": "1048576", "$time": 1_795_408_260,
    "$set": {"$email": "budi@example.id", "tier": "gold"}}))]
pub(crate) struct MixpanelProfile {
    /// The customer.
    #[serde(rename = "$distinct_id")]
    #[schema(min_length = 1, max_length = 64)]
    distinct_id: String,
    /// As of events.
    #[serde(rename = "$token")]
    token: Option<String>,
    /// When it was known: seconds or milliseconds since 1970.
    #[serde(rename = "$time")]
    time: Option<i64>,
    /// Attributes.
    #[serde(rename = "$set")]
    set: Option<BTreeMap<String, Value>>,
    /// Names of attributes that are cleared.
    #[serde(rename = "$unset")]
    unset: Option<Vec<String>>,
}

/// Profiles of Mixpanel's.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum MixpanelProfiles {
    Batch(MixpanelProfileBatch),
    One(MixpanelProfile),
}

/// A batch.
#[derive(Serialize, ToSchema)]
#[schema(min_items = 1, max_items = 2000)]
pub(crate) struct MixpanelProfileBatch(Vec<MixpanelProfile>);

/// What `/import` answers: a form, or `data` in the address, as `/track`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ImportAnswer {
    Batch(answer::Batch),
    Form(answer::Verbose),
}

/// A form of Mixpanel's clients.
#[derive(ToSchema)]
pub(crate) struct MixpanelForm {
    /// An event, or an array of them: JSON, or JSON in base64.
    data: String,
    /// A key, instead of `Authorization`.
    api_key: Option<String>,
    /// 1: answer JSON.
    verbose: Option<u8>,
}
