//! For those who run it: `/livez`, `/readyz`, `/metrics`.

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::app::AppState;

/// Whether the process runs.
///
/// Nothing else is checked, so that a dead dependency restarts nobody.
#[utoipa::path(
    get, path = "/livez", tag = "operate", security(()),
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain", example = "ok\n")),
)]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether its parts are ready.
#[utoipa::path(
    get, path = "/readyz", tag = "operate", security(()),
    params(("verbose" = Option<String>, Query, description = "List them, whatever it says")),
    responses(
        (status = 200, description = "All are", body = String, content_type = "text/plain", example = "ok\n"),
        (status = 503, description = "Some are not: a line each", body = String, content_type = "text/plain",
            example = "[+]clickhouse ok\n[-]engine replaying\n"),
    ),
)]
pub(crate) async fn readyz(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let ready = state.health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = !ready || query.is_some_and(|q| q.split('&').any(|p| p.starts_with("verbose")));
    (status, if verbose { state.health.report() } else { "ok\n".into() })
}

/// Numbers, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operate", security(()),
    responses((status = 200, description = "All that is counted", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let text = state.telemetry.map(|telemetry| telemetry.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
