//! What a push is answered with: Mixpanel's body, with the contract's codes in it.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::Taken;
use super::examine::Failure;
use crate::problem::Problem;

const REFUSED: &str = "some events were refused, the others are taken";

/// The answer to `POST /v1/events`, and to `/import`.
pub(crate) fn of_batch(taken: &Taken) -> Response {
    let status = status(taken);
    let mut body = json!({
        "code": status.as_u16(),
        "status": status.canonical_reason(),
        "num_records_imported": taken.put.len(),
    });
    failed(taken, &mut body);
    notes(taken, &mut body);
    if !taken.put.is_empty() {
        body["receipts"] = taken.put.iter().map(|(index, source, put)| {
            json!({"index": index, "receipt": format!("{source}:{}:{}", put.partition, put.offset)})
        }).collect();
    }
    json_body(status, &body)
}

/// The answer to `POST /v1/events:validate`.
pub(crate) fn of_dry_run(taken: &Taken) -> Response {
    let status = status(taken);
    let mut body = json!({
        "code": status.as_u16(),
        "status": status.canonical_reason(),
        "num_records_valid": taken.good,
    });
    failed(taken, &mut body);
    notes(taken, &mut body);
    json_body(status, &body)
}

/// The answer to `/track`: `1` or `0`, or the same with a reason.
pub(crate) fn of_track(outcome: Result<&Taken, Problem>, is_verbose: bool) -> Response {
    let (status, error) = match outcome {
        Ok(taken) => (status(taken), taken.failures.first().map(told)),
        Err(problem) => (problem.status(), Some(problem.detail().to_owned())),
    };
    let flag = u8::from(status == StatusCode::OK);
    if is_verbose {
        return json_body(status, &json!({"status": flag, "error": error}));
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, flag.to_string()).into_response()
}

/// A refusal of a whole request to `/import`.
pub(crate) fn of_import_problem(problem: &Problem) -> Response {
    let status = problem.status();
    let body = json!({
        "code": status.as_u16(),
        "status": status.canonical_reason(),
        "error": problem.detail(),
        "num_records_imported": 0,
        "failed_records": [],
    });
    json_body(status, &body)
}

fn status(taken: &Taken) -> StatusCode {
    if taken.failures.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

fn failed(taken: &Taken, body: &mut Value) {
    if !taken.failures.is_empty() {
        body["error"] = REFUSED.into();
        body["failed_records"] = taken.failures.iter().map(record).collect();
    }
}

/// `insert_id` is Mixpanel's name of the key.
fn record(failure: &Failure) -> Value {
    let Failure { index, key, reason, pointer, message, hint } = failure;
    let mut record = Map::new();
    record.insert("index".into(), (*index).into());
    record.insert("idempotency_key".into(), key.clone().into());
    record.insert("insert_id".into(), key.clone().into());
    record.insert("field".into(), pointer.clone().into());
    record.insert("reason".into(), (*reason).into());
    record.insert("message".into(), message.clone().into());
    if let Some(hint) = hint {
        record.insert("hint".into(), hint.clone().into());
    }
    record.into()
}

fn notes(taken: &Taken, body: &mut Value) {
    if !taken.off.is_empty() {
        let note = |source| {
            format!(
                "source {source} is off for this account: its events are skipped until they are replayed"
            )
        };
        body["notes"] = taken.off.iter().map(note).collect();
    }
}

fn told(failure: &Failure) -> String {
    let Failure { index, reason, pointer, message, hint, .. } = failure;
    let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("event {index}: {reason} at {pointer:?}: {message}{hint}")
}

fn json_body(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
