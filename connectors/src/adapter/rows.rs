//! Rows of accepted and rejected records.

use cebe_schemas::control::ControlError;
use cebe_schemas::count::CountError;
use cebe_schemas::id::Token;
use cebe_schemas::row::{ErasureRow, EventRow, RejectedRow};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::stored::{Derived, Kept};
use cebe_schemas::verdict::{Reason, Rejection, ValidEvent};

use super::Placed;
use crate::kafka::source::Record;

/// The row of `event`, in which the definitions in force have `derived` these facts.
pub(super) fn accepted(
    event: ValidEvent,
    derived: Vec<Derived>,
    placed: &Placed,
    keys: &Keys,
) -> EventRow {
    let Kept { facts, lasting_facts } = Kept::of(&event, derived, keys);
    let attributes = event.attributes.iter().filter_map(|attribute| attribute.identifier);
    let identifiers = event.identifiers.iter().copied().chain(attributes);
    let mut tokens: Vec<Token> = identifiers.map(|identifier| identifier.token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    EventRow {
        account_id: event.account_id,
        team_id: event.team_id.unwrap_or_default(),
        source_module: event.source_module,
        event_name: event.event_name,
        schema_version: event.schema_version,
        idempotency_key: event.idempotency_key,
        qontak_customer_id: event.qontak_customer_id.unwrap_or_default(),
        occurred_at: event.occurred_at_ms,
        received_at: placed.t_ms,
        published_at: placed.published_ms,
        properties: event.properties,
        payload: event.payload,
        identifier_tokens: tokens.into_iter().map(|token| keys.render(token)).collect(),
        facts,
        lasting_facts,
        backfill_job: placed.job.clone(),
        topic: placed.topic.clone(),
        partition: placed.partition,
        offset: placed.offset,
        logical_time: placed.t_ms,
        ordinal: placed.record_ordinal,
    }
}

/// That a customer is erased.
pub(super) fn erasure(event: &ValidEvent, logical_time: Millis) -> ErasureRow {
    ErasureRow {
        account_id: event.account_id.clone(),
        qontak_customer_id: event.qontak_customer_id.clone().unwrap_or_default(),
        identifier_token: String::new(),
        erased_until: event.occurred_at_ms,
        logical_time,
        deleted: 0,
    }
}

pub(super) fn rejected(rejection: Rejection, source: &str, placed: &Placed) -> RejectedRow {
    RejectedRow {
        topic: placed.topic.to_string(),
        partition: placed.partition,
        offset: placed.offset,
        account_id: rejection.account_id,
        source_module: source.to_owned(),
        event_name: rejection.event_name,
        reason: rejection.reason.as_str().to_owned(),
        pointer: rejection.pointer,
        message: rejection.message,
        payload: rejection.payload,
        backfill_job: placed.job.clone(),
        received_at: placed.t_ms,
        logical_time: placed.t_ms,
        ordinal: placed.record_ordinal,
    }
}

/// A control record without effect.
pub(super) fn refused_control(
    error: &ControlError,
    record: &Record,
    placed: &Placed,
    keys: &Keys,
) -> RejectedRow {
    let (reason, pointer) = match error {
        ControlError::NotJson { .. } => (Reason::MalformedJson, String::new()),
        ControlError::Invalid { pointer, .. } => (Reason::SchemaViolation, pointer.clone()),
    };
    refused(reason, pointer, error.to_string(), record, placed, keys)
}

/// A source's count without effect.
pub(super) fn refused_count(
    error: &CountError,
    record: &Record,
    placed: &Placed,
    keys: &Keys,
) -> RejectedRow {
    let CountError { reason, pointer, message } = error;
    refused(*reason, (*pointer).to_owned(), (*message).to_owned(), record, placed, keys)
}

/// A record that is no event. It may hold anything, so only its size and keyed hash are kept.
fn refused(
    reason: Reason,
    pointer: String,
    message: String,
    record: &Record,
    placed: &Placed,
    keys: &Keys,
) -> RejectedRow {
    let payload = serde_json::json!({
        "bytes": record.payload.len(),
        "keyed_hash": keys.record_hash(&record.payload),
    });
    let rejection = Rejection {
        reason,
        pointer,
        message,
        account_id: String::new(),
        event_name: String::new(),
        payload: payload.to_string(),
    };
    rejected(rejection, "", placed)
}
