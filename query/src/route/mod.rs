//! One file a resource.

pub(crate) mod customer;
pub(crate) mod definition;
pub(crate) mod explain;
pub(crate) mod mixpanel;
pub(crate) mod operation;
pub(crate) mod preview;
pub(crate) mod push;
pub(crate) mod receipt;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;

use crate::problem::Problem;

pub(crate) async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", "there is no such path")
}

pub(crate) async fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
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

/// Refuses what can be no id.
fn checked(name: &str, value: &str) -> Result<(), Problem> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        let detail = format!("{name} has {} bytes: give 1 to {ID_BYTES_MAX}", value.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail));
    }
    Ok(())
}
