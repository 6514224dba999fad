//! The router and the server around it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clickhouse::Client;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::health::Health;
use crate::route;

/// How long a query may take in ClickHouse.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Queries at one time; more wait, which bounds what ClickHouse is asked for.
const QUERIES_MAX: usize = 64;

/// What the routes share.
#[derive(Clone)]
pub struct AppState {
    pub(crate) clickhouse: Client,
    pub(crate) health: Health,
    pub(crate) telemetry: Option<PrometheusHandle>,
    pub(crate) queries: Arc<Semaphore>,
}

impl AppState {
    /// `clickhouse` has the database selected; without `telemetry`, `/metrics` is empty.
    pub fn new(clickhouse: Client, health: Health, telemetry: Option<PrometheusHandle>) -> Self {
        let clickhouse = clickhouse
            .with_setting("max_execution_time", QUERY_TIMEOUT.as_secs().to_string())
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("date_time_output_format", "iso");
        AppState { clickhouse, health, telemetry, queries: Arc::new(Semaphore::new(QUERIES_MAX)) }
    }
}

/// The whole API.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/livez", get(route::operation::livez))
        .route("/readyz", get(route::operation::readyz))
        .route("/metrics", get(route::operation::metrics))
        .route("/v1/customers/{id}", get(route::customer::get))
        .with_state(state)
}

/// Serves `app` until `shutdown` is ready; requests under way are answered.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}
