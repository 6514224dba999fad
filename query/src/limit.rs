//! What one request may cost, and what it did cost.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{counter, histogram};

use crate::problem::Problem;
use crate::route::preview;

/// The largest body of a request.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The largest one with definitions.
pub(crate) const DEFINITIONS_BYTES_MAX: usize = 1 << 20;
/// Longer than any query, so that this only ends what hangs elsewhere.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The routes that take events: whoever sends slowly has this long.
const PUSH_TIMEOUT: Duration = Duration::from_secs(30);

fn timeout_of(route: Option<&MatchedPath>) -> Duration {
    match route.map(MatchedPath::as_str) {
        Some("/v1/preview") => preview::PATIENCE + REQUEST_TIMEOUT,
        Some("/v1/events" | "/v1/events:validate" | "/track" | "/import" | "/engage") => {
            PUSH_TIMEOUT
        }
        _ => REQUEST_TIMEOUT,
    }
}

/// Ends a request that takes too long; counts and times each by its route, never by its path, which
/// holds ids.
pub(crate) async fn apply(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let (started, limit) = (Instant::now(), timeout_of(route.as_ref()));
    let response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        // Kafka has less time than this: what is missing is the rest of the body.
        Err(_) if limit == PUSH_TIMEOUT => {
            let detail = "the body did not come to its end in time: send it again";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail).into_response()
        }
        Err(_) => {
            Problem::unavailable("the request took too long: try again in a moment").into_response()
        }
    };
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let status = response.status().as_u16().to_string();
    counter!("cebe_http_requests_total", "route" => route.clone(), "status" => status).increment(1);
    histogram!("cebe_http_request_seconds", "route" => route).record(started.elapsed());
    response
}
