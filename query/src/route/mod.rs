//! One file a resource.

pub(crate) mod changes;
pub(crate) mod customer;
pub(crate) mod define;
pub(crate) mod definition;
pub(crate) mod document;
pub(crate) mod explain;
pub(crate) mod metric;
pub(crate) mod mixpanel;
pub(crate) mod operation;
pub(crate) mod preview;
pub(crate) mod push;
pub(crate) mod receipt;
pub(crate) mod segment;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use cebe_schemas::time::Millis;
use serde::de::DeserializeOwned;

use crate::now_ms;
use crate::problem::Problem;

pub(crate) async fn unknown() -> Problem {
    Problem::not_found("unknown_path", "there is no such path")
}

pub(crate) async fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Older answers are called stale (product §6).
const FRESH_MS: Millis = 60_000;

/// Whether what is true for this time is old.
fn is_stale(complete_through_ms: Millis) -> bool {
    now_ms().saturating_sub(complete_through_ms) > FRESH_MS
}

/// Ids have at most 64 bytes (product §9.1).
const ID_BYTES_MAX: usize = 64;

/// The parameters of a request.
fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let wrong = |error: QueryRejection| {
        let detail = format!("a parameter is missing or wrong: {}", error.body_text());
        Problem::new(StatusCode::BAD_REQUEST, "missing_parameter", detail)
    };
    query.map(|Query(parameters)| parameters).map_err(wrong)
}

/// What a path holds, or else a problem.
pub(crate) struct Path<T = String>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |error: PathRejection| {
            let detail = format!("the path cannot be read: {}", error.body_text());
            Problem::parameter(detail)
        };
        let path = extract::Path::from_request_parts(parts, state).await;
        path.map(|extract::Path(held)| Path(held)).map_err(wrong)
    }
}

/// Refuses what can be no id.
fn checked(name: &str, value: &str) -> Result<(), Problem> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        let detail = format!("{name} has {} bytes: give 1 to {ID_BYTES_MAX}", value.len());
        return Err(Problem::parameter(detail));
    }
    Ok(())
}
