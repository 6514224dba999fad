//! The router, and what its routes share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use clickhouse::Client;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::define::Definer;
use crate::desk::Desk;
use crate::document::Document;
use crate::feed::Follow;
use crate::health::Health;
use crate::last::{self, LastAnswers};
use crate::page::Loaded;
use crate::principal::KeyRing;
use crate::problem::Problem;
use crate::push::Door;
use crate::push::body::PUSH_BYTES_MAX;
use crate::replica::{self, Replica};
use crate::subscribe::SUBSCRIBERS_MAX;
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
    definer: Option<Definer>,
    feeds: Option<Arc<dyn Follow>>,
    pub(crate) subscribers: Arc<Semaphore>,
    pub(crate) loaded: Arc<Loaded>,
    replica: Replica,
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
        AppState {
            clickhouse,
            health,
            telemetry,
            queries,
            keys,
            desk: None,
            door: None,
            definer: None,
            feeds: None,
            subscribers: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
            loaded: Arc::default(),
            replica: Replica::default(),
        }
    }

    /// With keys; without, everybody may do everything.
    pub fn with_keys(self, keys: KeyRing) -> Self {
        AppState { keys, ..self }
    }

    /// With a door for events; without, pushing is answered 503.
    pub fn with_door(self, door: Door) -> Self {
        AppState { door: Some(door), ..self }
    }

    /// With what puts definitions in force; without, defining is answered 503.
    pub fn with_definer(self, definer: Definer) -> Self {
        AppState { definer: Some(definer), ..self }
    }

    pub(crate) fn definer(&self) -> Result<&Definer, Problem> {
        let none = || Problem::unavailable("this process puts nothing in force: ask one that does");
        self.definer.as_ref().ok_or_else(none)
    }

    /// With feeds to follow; without, subscribing is answered 503.
    pub fn with_feeds(self, feeds: impl Follow + 'static) -> Self {
        AppState { feeds: Some(Arc::new(feeds)), ..self }
    }

    pub(crate) fn feeds(&self) -> Result<&Arc<dyn Follow>, Problem> {
        let none = || Problem::unavailable("this process has no feeds: subscribe to one that does");
        self.feeds.as_ref().ok_or_else(none)
    }

    /// Keeps a copy of customers and rates in memory, of about `bytes_max`, so that they are answered from there; without,
    /// ClickHouse is asked. Returns if it would be larger.
    pub async fn keep_replica(self, bytes_max: usize) {
        if let Some(feeds) = self.feeds {
            replica::keep(self.replica, self.clickhouse, feeds, bytes_max).await;
        }
    }

    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
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
    let large = DefaultBodyLimit::max(PUSH_BYTES_MAX);
    let definitions = DefaultBodyLimit::max(limit::DEFINITIONS_BYTES_MAX);
    use route::operation;
    use route::{changes, customer, define, definition, document, explain, metric, mixpanel};
    use route::{preview, push, receipt, segment};
    // What is asked for again and again, and has an answer of before.
    let answers = from_fn_with_state(LastAnswers::default(), last::apply);
    // Whatever is not here by `routes!` is not in the document.
    let (router, described) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(push::post).layer(large))
        .routes(routes!(push::validate).layer(large))
        .routes(routes!(receipt::get))
        .routes(routes!(mixpanel::track, mixpanel::track_by_address).layer(large))
        .routes(routes!(mixpanel::engage, mixpanel::engage_by_address).layer(large))
        .routes(routes!(mixpanel::import, mixpanel::import_by_address).layer(large))
        .routes(routes!(customer::find).layer(answers.clone()))
        .routes(routes!(customer::get).layer(answers.clone()))
        .routes(routes!(segment::members).layer(answers.clone()))
        .routes(routes!(metric::values).layer(answers))
        .routes(routes!(explain::get))
        .routes(routes!(changes::get))
        .routes(routes!(definition::list, define::post).layer(definitions))
        .routes(routes!(define::versions, define::put, define::remove).layer(definitions))
        .routes(routes!(define::settings))
        .routes(routes!(define::sources))
        .routes(routes!(define::source))
        .routes(routes!(preview::post).layer(definitions))
        .routes(routes!(operation::livez))
        .routes(routes!(operation::readyz))
        .routes(routes!(operation::metrics))
        .split_for_parts();
    router
        .merge(document::routes(described))
        .fallback(route::unknown)
        .method_not_allowed_fallback(route::method_not_allowed)
        .layer(from_fn(limit::apply))
        .layer(DefaultBodyLimit::max(limit::BODY_BYTES_MAX))
        .with_state(state)
}
