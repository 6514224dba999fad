//! `POST /v1/events` and `POST /v1/events:validate`: events of the contract's envelope.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use cebe_schemas::time::Millis;

use crate::app::AppState;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::push::{answer, body};

pub(crate) async fn post(
    State(state): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let now_ms = now_ms();
    who.needs(Scope::Push)?;
    let events = body::events(&headers, body).await?;
    let taken = state.door()?.take(events, &who, now_ms, false).await?;
    Ok(answer::of_batch(&taken))
}

/// The same, but for publishing.
pub(crate) async fn validate(
    State(state): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    who.needs(Scope::Push)?;
    let events = body::events(&headers, body).await?;
    let taken = state.door()?.take(events, &who, now_ms(), true).await?;
    Ok(answer::of_dry_run(&taken))
}

/// When a request came: the create time of its records.
pub(super) fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as Millis
}
