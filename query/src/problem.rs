//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What went wrong, for people and programs.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    complete_through: Option<Value>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, code, detail: detail.into(), complete_through: None }
    }

    /// The logical time that the answer is true for, where it rests on data.
    pub(crate) fn at(self, complete_through: Value) -> Self {
        Problem { complete_through: Some(complete_through), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:cebe:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(complete_through) = self.complete_through {
            body["complete_through"] = complete_through;
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body.to_string()).into_response()
    }
}

impl From<clickhouse::error::Error> for Problem {
    fn from(error: clickhouse::error::Error) -> Problem {
        // What ClickHouse says is for operators, not for callers.
        tracing::warn!(%error, "query failed");
        let detail = "clickhouse does not answer: try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}
