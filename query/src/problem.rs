//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for people and programs.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    complete_through: Option<Value>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Problem { status, code, detail, complete_through: None, retry_after_s: None }
    }

    /// 400: a parameter is wrong.
    pub(crate) fn parameter(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
    }

    /// 400: a definition is wrong.
    pub(crate) fn definition(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_definition", detail)
    }

    /// 404: what is asked about is not there.
    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 429, and when to come back.
    pub(crate) fn too_many(detail: String, wait_s: u64) -> Self {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many", detail).retry_after(wait_s)
    }

    /// 503: something is away for a while.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// 500: a defect.
    pub(crate) fn internal(what: &str) -> Self {
        tracing::error!(what, "a request could not be answered");
        let detail = "the server failed: its log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// With `Retry-After`.
    pub(crate) fn retry_after(self, wait_s: u64) -> Self {
        Problem { retry_after_s: Some(wait_s), ..self }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The logical time that the answer is true for, where it rests on data.
    pub(crate) fn at(self, complete_through: Value) -> Self {
        Problem { complete_through: Some(complete_through), ..self }
    }
}

/// Why a request is refused (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[schema(example = json!({"type": "urn:cebe:problem:invalid_parameter", "title": "Bad Request", "status": 400,
    "code": "invalid_parameter", "detail": "limit is 0: give 1 to 10000"}))]
pub(crate) struct Body {
    /// `urn:cebe:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    /// As of HTTP.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// For programs. It does not change.
    code: &'static str,
    /// For people: what is wrong, where, and what to do.
    detail: String,
    /// The time that this is true for, where it rests on data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    complete_through: Option<Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            kind: format!("urn:cebe:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            complete_through: self.complete_through,
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait_s) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, wait_s.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<clickhouse::error::Error> for Problem {
    fn from(error: clickhouse::error::Error) -> Problem {
        // What ClickHouse says is for operators, not for callers.
        tracing::warn!(%error, "query failed");
        Problem::unavailable("clickhouse does not answer: try again in a moment")
    }
}
