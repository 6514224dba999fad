//! The router and the server around it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use clickhouse::Client;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::desk::Desk;
use crate::health::Health;
use crate::principal::KeyRing;
use crate::problem::Problem;
use crate::push::Door;
use crate::push::body::PUSH_BYTES_MAX;
use crate::{limit, route};

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
    pub(crate) keys: KeyRing,
    desk: Option<Desk>,
    door: Option<Door>,
}

impl AppState {
    /// `clickhouse` has the database selected; without `telemetry`, `/metrics` is empty.
    pub fn new(clickhouse: Client, health: Health, telemetry: Option<PrometheusHandle>) -> Self {
        let clickhouse = clickhouse
            .with_setting("max_execution_time", QUERY_TIMEOUT.as_secs().to_string())
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("date_time_output_format", "iso");
        let queries = Arc::new(Semaphore::new(QUERIES_MAX));
        let keys = KeyRing::default();
        AppState { clickhouse, health, telemetry, queries, keys, desk: None, door: None }
    }

    /// With keys; without, everybody may do everything.
    pub fn with_keys(self, keys: KeyRing) -> Self {
        AppState { keys, ..self }
    }

    /// With a door for events; without, pushing is answered 503.
    pub fn with_door(self, door: Door) -> Self {
        AppState { door: Some(door), ..self }
    }

    pub(crate) fn door(&self) -> Result<&Door, Problem> {
        let none = || Problem::unavailable("this process takes no events: push to one that does");
        self.door.as_ref().ok_or_else(none)
    }

    /// With an engine to ask; without, the routes that need one answer 503.
    pub fn with_desk(self, desk: Desk) -> Self {
        AppState { desk: Some(desk), ..self }
    }

    pub(crate) fn desk(&self) -> Result<&Desk, Problem> {
        let none = || Problem::unavailable("this process runs no engine: ask one that does");
        self.desk.as_ref().ok_or_else(none)
    }
}

/// The whole API.
pub fn app(state: AppState) -> Router {
    let preview =
        post(route::preview::post).layer(DefaultBodyLimit::max(limit::DEFINITIONS_BYTES_MAX));
    let large = DefaultBodyLimit::max(PUSH_BYTES_MAX);
    Router::new()
        .route("/v1/events", post(route::push::post).layer(large))
        .route("/v1/events:validate", post(route::push::validate).layer(large))
        .route("/track", get(route::mixpanel::track).post(route::mixpanel::track).layer(large))
        .route("/import", get(route::mixpanel::import).post(route::mixpanel::import).layer(large))
        .route("/livez", get(route::operation::livez))
        .route("/readyz", get(route::operation::readyz))
        .route("/metrics", get(route::operation::metrics))
        .route("/v1/customers/{id}", get(route::customer::get))
        .route("/v1/definitions", get(route::definition::list))
        .route("/v1/receipts/{receipt}", get(route::receipt::get))
        .route("/v1/explain", get(route::explain::get))
        .route("/v1/preview", preview)
        .fallback(route::unknown)
        .method_not_allowed_fallback(route::method_not_allowed)
        .layer(from_fn(limit::apply))
        .layer(DefaultBodyLimit::max(limit::BODY_BYTES_MAX))
        .with_state(state)
}

/// How long requests under way may take to end once the server is told to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Serves `app` until `shutdown` is ready; requests under way are answered, for 5 s at most.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (told, stopping) = tokio::sync::oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens if the server has failed.
        let _ = told.send(());
    });
    tokio::select! {
        result = server => result,
        () = async {
            let _ = stopping.await;
            tokio::time::sleep(STOP_PATIENCE).await;
        } => Ok(()),
    }
}
