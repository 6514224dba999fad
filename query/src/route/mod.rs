//! One file a resource.

pub(crate) mod customer;
pub(crate) mod operation;

use axum::http::StatusCode;

use crate::problem::Problem;

pub(crate) async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", "there is no such path")
}

pub(crate) async fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
