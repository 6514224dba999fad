//! `POST /v1/events` and `POST /v1/events:validate`: events of the contract's envelope.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::AppState;
use crate::document::refusals::Pushing;
use crate::document::shape::Events;
use crate::now_ms;
use crate::principal::{Principal, Scope};
use crate::problem::{self, Problem};
use crate::push::answer::{Batch, DryRun};
use crate::push::{Taken, answer, body};

/// What is sent.
type Sent = (State<AppState>, Principal, HeaderMap, Result<Bytes, BytesRejection>);

/// Push events.
///
/// Answered once every in-sync replica of Kafka has them. A batch of which an event is wrong is answered with 400, and the
/// others are taken.
#[utoipa::path(
    post, path = "/v1/events", tag = "push", operation_id = "push_events",
    request_body(
        content((Events = "application/json"), (String = "application/x-ndjson")),
        description = "A JSON array, one event, or a line of JSON for each; as it is, or packed with gzip or zstd \
            (`Content-Encoding`). At most 2,000 events, and 10 MiB as sent and unpacked",
    ),
    responses(
        (status = 200, description = "All are taken", body = Batch),
        (status = 400, description = "Some are refused, the others are taken; or the body cannot be read, and none is", content(
            (Batch = "application/json"), (problem::Body = "application/problem+json"),
        )),
        Pushing,
    ),
)]
pub(crate) async fn post(sent: Sent) -> Result<Response, Problem> {
    Ok(answer::of_batch(&take(sent, false).await?))
}

/// Examine events.
///
/// The same answer as if they were pushed, but nothing is taken.
#[utoipa::path(
    post, path = "/v1/events:validate", tag = "push", operation_id = "validate_events",
    request_body(
        content((Events = "application/json"), (String = "application/x-ndjson")),
        description = "As for `/v1/events`",
    ),
    responses(
        (status = 200, description = "All are right", body = DryRun),
        (status = 400, description = "Some would be refused; or the body cannot be read", content(
            (DryRun = "application/json"), (problem::Body = "application/problem+json"),
        )),
        Pushing,
    ),
)]
pub(crate) async fn validate(sent: Sent) -> Result<Response, Problem> {
    Ok(answer::of_dry_run(&take(sent, true).await?))
}

async fn take((State(state), who, headers, body): Sent, dry_run: bool) -> Result<Taken, Problem> {
    // The create time of its records.
    let now_ms = now_ms();
    who.needs(Scope::Push)?;
    let events = body::events(&headers, body).await?;
    state.door()?.take(events, &who, now_ms, dry_run).await
}
