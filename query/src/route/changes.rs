//! `GET /v1/changes`: server-sent events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use cebe_schemas::view::View;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::{checked, parameters};
use crate::app::AppState;
use crate::document::refusals::Asking;
use crate::page;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::subscribe::filter::{Filter, VIEWS};
use crate::subscribe::place::Place;
use crate::subscribe::session::Session;

/// Events on their way to a subscriber; what is more waits in Kafka.
const EVENTS_MAX: usize = 64;
/// So that a connection over which nothing goes is not taken for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const EXAMPLE: &str = "event: change
id: 1795789311120.segments.3.0
data: {\"view\":\"segments\",\"account_id\":\"acc-17\",\"segment_id\":\"warm\",\"customer_id\":\"1002\",\
\"change\":\"entered\",\"cause\":\"event\",\"logical_time\":\"2026-11-27T14:21:51.120Z\",\"seq\":0}

event: progress
id: 1795789311120
data: {\"through\":\"2026-11-27T14:21:51.120Z\"}
";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
    /// Separated by commas: `segments`, `metrics`, `identities`, `customers`. `segments,metrics` unless said otherwise.
    #[param(example = "segments", pattern = "^((segments|metrics|identities|customers)(,|$))*$")]
    view: Option<String>,
    /// This segment alone.
    #[param(min_length = 1, max_length = 64, example = "warm")]
    segment_id: Option<String>,
    /// This metric alone.
    #[param(min_length = 1, max_length = 64, example = "reply_rate")]
    metric: Option<String>,
    /// Only these, separated by commas: `erase`, `unmerge`, `merge`, `definition`, `time`, `backfill`, `late_event`,
    /// `event`.
    #[param(example = "event,time")]
    cause: Option<String>,
    /// For those who cannot give a header.
    #[param(
        pattern = "^[0-9]+(\\.[a-z]+\\.[0-9]+\\.[0-9]+)?$",
        example = "1795789311120.segments.3.0"
    )]
    last_event_id: Option<String>,
}

/// Changes, as they come.
///
/// Server-sent events: a snapshot, every change behind it, and how far they are. Whoever comes again with the last id that
/// came goes on behind it, for 30 days; see the guide to subscribing. Needs the scope `subscribe`.
#[utoipa::path(
    get, path = "/v1/changes", tag = "subscribe", operation_id = "follow_changes",
    params(
        Parameters,
        ("Last-Event-ID" = Option<String>, Header, description = "The last id that came; without it, a snapshot comes first"),
    ),
    responses(
        (status = 200, description = "`snapshot`, `snapshot-end`, `change`, `progress`, and `gap` where the changes behind \
            that id are there no more", body = String, content_type = "text/event-stream", example = json!(EXAMPLE)),
        Asking,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    who.needs(Scope::Subscribe)?;
    let parameters = parameters(query)?;
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let id = header.or(parameters.last_event_id.clone()).filter(|id| !id.trim().is_empty());
    let place = id.map(|id| id.parse::<Place>()).transpose();
    let place = place.map_err(|error| Problem::parameter(format!("last-event-id {error}")))?;
    let filter = filter(parameters, &who)?;
    let feeds = state.feeds()?.clone();
    let seat = state.subscribers.clone().try_acquire_owned().map_err(|_| {
        Problem::unavailable("too many subscribers: come again in a moment").retry_after(5)
    })?;
    let through_ms = match place {
        Some(_) => 0,
        None => page::through(&state).await?,
    };
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let session = Session { state, feeds: Arc::clone(&feeds), filter, events };
    tokio::spawn(async move {
        let _seat = seat;
        session.run(place, through_ms).await;
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive).into_response())
}

fn filter(parameters: Parameters, who: &Principal) -> Result<Filter, Problem> {
    let list = |text: Option<String>| {
        let parts = text.unwrap_or_default();
        let parts = parts.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let names = list(parameters.view);
    let views: Vec<View> = match (&parameters.segment_id, &parameters.metric) {
        (Some(_), None) if names.is_empty() => vec![View::Segments],
        (None, Some(_)) if names.is_empty() => vec![View::Metrics],
        _ if names.is_empty() => vec![View::Segments, View::Metrics],
        _ => VIEWS.into_iter().filter(|view| names.contains(view.name())).collect(),
    };
    if !names.is_empty() && views.len() < names.len() {
        let known: Vec<&str> = VIEWS.iter().map(|view| view.name()).collect();
        return Err(Problem::parameter(format!(
            "view has a name that is none of {}",
            known.join(", ")
        )));
    }
    let account_id = who.account(parameters.account_id)?;
    checked("account_id", &account_id)?;
    for (name, value) in [("segment_id", &parameters.segment_id), ("metric", &parameters.metric)] {
        value.as_ref().map_or(Ok(()), |value| checked(name, value))?;
    }
    Ok(Filter {
        account_id,
        views,
        segment_id: parameters.segment_id,
        metric: parameters.metric,
        causes: list(parameters.cause),
    })
}
