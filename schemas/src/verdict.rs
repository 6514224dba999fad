//! What becomes of a record (product §9.1).

use std::sync::Arc;

use crate::fact::{AttributeValue, Identifier};
use crate::id::{EventKey, EventType};
use crate::time::Millis;

mod judge;
pub mod stored;

pub use judge::Judge;

/// Whether `record` is a JSON object, by the rules that make any other `malformed_json`.
pub fn is_readable(record: &[u8]) -> bool {
    matches!(crate::json::parse(record), Ok(crate::json::Node::Object(_)))
}

/// What one record is, before dedup.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Excluded by the flag of its source.
    Skipped,
    /// Not taken in.
    Rejected(Box<Rejection>),
    /// Taken in, unless it is a duplicate.
    Valid(Box<ValidEvent>),
}

/// Why a record is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stable code.
    pub reason: Reason,
    /// JSON pointer of the field; "" for the whole record.
    pub pointer: String,
    /// What is wrong, without any value of the record.
    pub message: String,
    /// The tenant, where it could be read, else "".
    pub account_id: String,
    /// The event type, where it could be read, masked, else "".
    pub event_name: String,
    /// The record, masked; `{"bytes": N, "keyed_hash": "…"}` where it could not be.
    pub payload: String,
}

/// The stable codes of rejection, in order of precedence. Duplicates are found later, by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// More than 65,536 bytes.
    Oversized,
    /// Not a JSON object.
    MalformedJson,
    /// A field is missing or wrong.
    SchemaViolation,
    /// No such event type of this source.
    UnknownEvent,
    /// The event type has no such version.
    UnsupportedVersion,
    /// Neither a customer id nor identifiers.
    MissingIdentity,
    /// It claims to happen more than 5 minutes after its arrival.
    FutureEvent,
    /// It happened before the retention.
    TooOld,
}

impl Reason {
    /// The code in tables, topics and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Oversized => "oversized",
            Reason::MalformedJson => "malformed_json",
            Reason::SchemaViolation => "schema_violation",
            Reason::UnknownEvent => "unknown_event",
            Reason::UnsupportedVersion => "unsupported_version",
            Reason::MissingIdentity => "missing_identity",
            Reason::FutureEvent => "future_event",
            Reason::TooOld => "too_old",
        }
    }
}

/// A valid event: everything that identity, segments, rates and tables need of it. Nothing
/// personal is left in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidEvent {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The team that published it.
    pub team_id: Option<Arc<str>>,
    /// The publisher.
    pub source_module: Arc<str>,
    /// The event type.
    pub event_name: Arc<str>,
    /// The version of its schema.
    pub schema_version: u32,
    /// The key that makes it count once; hashed if the keys of its source carry personal data.
    pub idempotency_key: Arc<str>,
    /// The dedup key, always of the key as published: hashing keys later changes no duplicate.
    pub event_key: EventKey,
    /// The customer as named.
    pub qontak_customer_id: Option<Arc<str>>,
    /// When it happened, by its publisher.
    pub occurred_at_ms: Millis,
    /// Its type as the dataflow knows it.
    pub event: EventType,
    /// The broadcast or campaign that it names.
    pub group: Option<Arc<str>>,
    /// The valid ones of its `identifiers`, sorted, each once.
    pub identifiers: Vec<Identifier>,
    /// What `customer.created/updated` says of the customer: its properties.
    pub attributes: Vec<Attribute>,
    /// `segment_id` of `segment.entered/exited`.
    pub segment_id: Option<Arc<str>>,
    /// `into` of `customer.merged`, `from` of `customer.unmerged`.
    pub other_customer: Option<Arc<str>>,
    /// The masked envelope: compact JSON, keys sorted, each once.
    pub payload: String,
    /// The masked properties, sanitised for a JSON column: the text of an object.
    pub properties: String,
}

/// What an event says about one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Arc<str>,
    /// Masked; none: it is cleared (JSON `null`).
    pub value: Option<Arc<AttributeValue>>,
    /// What the value identifies, where it does: `phone` and `email`.
    pub identifier: Option<Identifier>,
}
