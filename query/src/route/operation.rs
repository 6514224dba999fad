//! For those who run it: `/livez`, `/readyz`, `/metrics`.

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::app::AppState;

/// The process runs; nothing else is checked, so that a dead dependency restarts nobody.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// The parts are ready; `?verbose` lists them.
pub(crate) async fn readyz(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let ready = state.health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = !ready || query.is_some_and(|q| q.split('&').any(|p| p.starts_with("verbose")));
    (status, if verbose { state.health.report() } else { "ok\n".into() })
}

/// Prometheus' text format.
pub(crate) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let text = state.telemetry.map(|telemetry| telemetry.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
