//! What a push is answered with: Mixpanel's body, with the contract's codes in it.

use std::sync::Arc;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::examine::Failure;
use super::{Put, Taken};
use crate::problem::Problem;

const REFUSED: &str = "some events were refused, the others are taken";

/// What became of a batch.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": 200, "status": "OK", "num_records_imported": 1,
    "receipts": [{"index": 0, "receipt": "broadcast:3:17"}]}))]
pub(crate) struct Batch {
    /// The status of HTTP.
    code: u16,
    /// Its name.
    status: &'static str,
    /// How many are taken.
    num_records_imported: usize,
    #[serde(flatten)]
    refused: Refused,
    /// Where each that is taken was put, by its place in the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<Receipt>,
}

/// What would become of a batch.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": 200, "status": "OK", "num_records_valid": 1}))]
pub(crate) struct DryRun {
    /// The status of HTTP.
    code: u16,
    /// Its name.
    status: &'static str,
    /// How many are right.
    num_records_valid: usize,
    #[serde(flatten)]
    refused: Refused,
}

#[derive(Serialize, ToSchema)]
struct Refused {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// Those that are refused, if any are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failed_records: Option<Vec<FailedRecord>>,
    /// What else its sender should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// An event that is refused.
#[derive(Serialize, ToSchema)]
struct FailedRecord {
    /// Its place in the request.
    index: usize,
    /// Where it can be read.
    idempotency_key: Option<String>,
    /// The same, by Mixpanel's name.
    insert_id: Option<String>,
    /// JSON pointer of what is wrong; empty: the whole event.
    field: String,
    /// The code of the contract, or `forbidden`.
    reason: &'static str,
    message: String,
    /// What may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<String>,
}

/// Asks for what became of an event.
#[derive(Serialize, ToSchema)]
#[schema(as = ReceiptOf)]
struct Receipt {
    /// Its place in the request.
    index: usize,
    /// For `/v1/receipts/{receipt}`.
    receipt: String,
}

/// What `/track` answers with `verbose=1`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Verbose {
    /// 1: all are taken.
    #[schema(minimum = 0, maximum = 1)]
    status: u8,
    /// Why not.
    error: Option<String>,
}

/// The answer to `POST /v1/events`, and to `/import`.
pub(crate) fn of_batch(taken: &Taken) -> Response {
    let receipt = |(index, source, put): &(usize, Arc<str>, Put)| Receipt {
        index: *index,
        receipt: format!("{source}:{}:{}", put.partition, put.offset),
    };
    let (refused, receipts) = (Refused::of(taken), taken.put.iter().map(receipt).collect());
    batch(status(taken), taken.put.len(), refused, receipts)
}

/// A refusal of a whole request to `/import`.
pub(crate) fn of_import_problem(problem: &Problem) -> Response {
    let error = Some(problem.detail().to_owned());
    let refused = Refused { error, failed_records: Some(Vec::new()), notes: Vec::new() };
    batch(problem.status(), 0, refused, Vec::new())
}

fn batch(status: StatusCode, taken: usize, refused: Refused, receipts: Vec<Receipt>) -> Response {
    let (code, name) = (status.as_u16(), name(status));
    let body = Batch { code, status: name, num_records_imported: taken, refused, receipts };
    (status, Json(body)).into_response()
}

/// The answer to `POST /v1/events:validate`.
pub(crate) fn of_dry_run(taken: &Taken) -> Response {
    let status = status(taken);
    let (code, name, refused) = (status.as_u16(), name(status), Refused::of(taken));
    let body = DryRun { code, status: name, num_records_valid: taken.good, refused };
    (status, Json(body)).into_response()
}

/// The answer to `/track`: `1` or `0`, or the same with a reason.
pub(crate) fn of_track(outcome: Result<&Taken, Problem>, is_verbose: bool) -> Response {
    let (status, error) = match outcome {
        Ok(taken) => (status(taken), taken.failures.first().map(told)),
        Err(problem) => (problem.status(), Some(problem.detail().to_owned())),
    };
    let flag = u8::from(status == StatusCode::OK);
    if is_verbose {
        return (status, Json(Verbose { status: flag, error })).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, flag.to_string()).into_response()
}

fn status(taken: &Taken) -> StatusCode {
    if taken.failures.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

fn name(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

impl Refused {
    fn of(taken: &Taken) -> Refused {
        let is_any = !taken.failures.is_empty();
        let note = |source| {
            format!(
                "source {source} is off for this account: its events are skipped until they are replayed"
            )
        };
        Refused {
            error: is_any.then(|| REFUSED.to_owned()),
            failed_records: is_any.then(|| taken.failures.iter().map(FailedRecord::of).collect()),
            notes: taken.off.iter().map(note).collect(),
        }
    }
}

impl FailedRecord {
    fn of(failure: &Failure) -> FailedRecord {
        let Failure { index, key, reason, pointer, message, hint } = failure.clone();
        let (insert_id, field) = (key.clone(), pointer);
        FailedRecord { index, idempotency_key: key, insert_id, field, reason, message, hint }
    }
}

fn told(failure: &Failure) -> String {
    let Failure { index, reason, pointer, message, hint, .. } = failure;
    let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("event {index}: {reason} at {pointer:?}: {message}{hint}")
}
