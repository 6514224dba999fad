//! `/track`, `/import` and `/engage` as Mixpanel has them: its clients work with only the host changed.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use utoipa::IntoParams;

use crate::app::AppState;
use crate::document::refusals::{Imported, Tracked};
use crate::document::shape::{MixpanelEvents, MixpanelForm, MixpanelProfiles};
use crate::now_ms;
use crate::principal::{Principal, Scope, credential};
use crate::problem::Problem;
use crate::push::body::PUSH_BYTES_MAX;
use crate::push::mixpanel::{self, Kind};
use crate::push::{Taken, answer, body};

/// What is sent: an event may be in the address, in a form, or in a body of JSON.
type Sent = (State<AppState>, RawQuery, HeaderMap, Result<Bytes, BytesRejection>);

/// The parameters, which may as well stand in a form.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by Form, which takes them from either")]
pub(crate) struct Parameters {
    /// An event, or an array of them: JSON, or JSON in base64.
    #[param(example = "eyJldmVudCI6ImJyb2FkY2FzdC5yZWFkIiwicHJvcGVydGllcyI6e319")]
    data: Option<String>,
    /// 1: answer JSON.
    #[param(example = "1")]
    verbose: Option<String>,
}

/// Push events as Mixpanel's `/track`.
///
/// Answers `1` once Kafka has all of them, else `0`; with `verbose=1`, JSON. Those that are right are taken.
#[utoipa::path(
    post, path = "/track", tag = "mixpanel", operation_id = "track",
    params(Parameters),
    request_body(content(
        (MixpanelForm = "application/x-www-form-urlencoded"), (MixpanelEvents = "application/json"),
    )),
    responses(Tracked),
    security((), ("key" = []), ("basic" = []), ("api_key" = [])),
)]
pub(crate) async fn track(sent: Sent) -> Response {
    let (form, taken) = take(sent, Kind::Event).await;
    answer::of_track(taken.as_ref().map_err(Problem::clone), form.is_verbose)
}

/// Push events as Mixpanel's `/track`, by address.
#[utoipa::path(
    get, path = "/track", tag = "mixpanel", operation_id = "track_by_address",
    params(Parameters),
    responses(Tracked),
    security((), ("key" = []), ("basic" = []), ("api_key" = [])),
)]
pub(crate) async fn track_by_address(sent: Sent) -> Response {
    track(sent).await
}

/// Push profiles as Mixpanel's `/engage`.
///
/// `$set` and `$unset` are attributes of a customer. Answered as `/track` is.
#[utoipa::path(
    post, path = "/engage", tag = "mixpanel", operation_id = "engage",
    params(Parameters),
    request_body(content(
        (MixpanelForm = "application/x-www-form-urlencoded"), (MixpanelProfiles = "application/json"),
    )),
    responses(Tracked),
    security((), ("key" = []), ("basic" = []), ("api_key" = [])),
)]
pub(crate) async fn engage(sent: Sent) -> Response {
    let (form, taken) = take(sent, Kind::Profile).await;
    answer::of_track(taken.as_ref().map_err(Problem::clone), form.is_verbose)
}

/// Push profiles as Mixpanel's `/engage`, by address.
#[utoipa::path(
    get, path = "/engage", tag = "mixpanel", operation_id = "engage_by_address",
    params(Parameters),
    responses(Tracked),
    security((), ("key" = []), ("basic" = []), ("api_key" = [])),
)]
pub(crate) async fn engage_by_address(sent: Sent) -> Response {
    engage(sent).await
}

/// Push events as Mixpanel's `/import`.
///
/// JSON or lines of it are answered event by event; a form, or `data`, is answered as by `/track`.
#[utoipa::path(
    post, path = "/import", tag = "mixpanel", operation_id = "import",
    params(Parameters),
    request_body(content(
        (MixpanelEvents = "application/json"), (String = "application/x-ndjson"),
        (MixpanelForm = "application/x-www-form-urlencoded"),
    )),
    responses(Imported),
    security((), ("key" = []), ("basic" = []), ("api_key" = [])),
)]
pub(crate) async fn import(sent: Sent) -> Response {
    let (form, taken) = take(sent, Kind::Event).await;
    if form.data.is_some() {
        return answer::of_track(taken.as_ref().map_err(Problem::clone), form.is_verbose);
    }
    match taken {
        Ok(taken) => answer::of_batch(&taken),
        Err(problem) => answer::of_import_problem(&problem),
    }
}

/// Push events as Mixpanel's `/import`, by address.
#[utoipa::path(
    get, path = "/import", tag = "mixpanel", operation_id = "import_by_address",
    params(Parameters),
    responses(Imported),
    security((), ("key" = []), ("basic" = []), ("api_key" = [])),
)]
pub(crate) async fn import_by_address(sent: Sent) -> Response {
    import(sent).await
}

/// The parameters, and what became of the events.
async fn take(
    (State(state), RawQuery(query), headers, body): Sent,
    kind: Kind,
) -> (Form, Result<Taken, Problem>) {
    let mut form = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let taken = match form.read(&headers, body).await {
        Ok(events) => put(&state, &headers, &form, (kind, events)).await,
        Err(problem) => Err(problem),
    };
    (form, taken)
}

async fn put(
    state: &AppState,
    headers: &HeaderMap,
    form: &Form,
    (kind, events): (Kind, Vec<Vec<u8>>),
) -> Result<Taken, Problem> {
    let now_ms = now_ms();
    let mut given = credential(headers).or_else(|| form.api_key.clone());
    if given.is_none() {
        given = one_token(kind, &events)?;
    }
    let who: Principal = state.keys.find(given.as_deref())?;
    who.needs(Scope::Push)?;
    let door = state.door()?;
    let catalogue = &door.judge().catalogue;
    let envelope = |event| kind.envelope(event, &who, catalogue, now_ms);
    let events = events.into_iter().map(envelope).collect();
    let mut taken = door.take(events, &who, now_ms, false).await?;
    taken.failures = taken.failures.into_iter().map(|failure| kind.translated(failure)).collect();
    Ok(taken)
}

/// The token of all events.
fn one_token(kind: Kind, events: &[Vec<u8>]) -> Result<Option<String>, Problem> {
    let tokens: BTreeSet<String> = events.iter().filter_map(|event| kind.token(event)).collect();
    if tokens.len() > 1 {
        let detail = "the events have several tokens: send a batch for each";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "several_tokens", detail));
    }
    Ok(tokens.into_iter().next())
}

/// The parameters, of the address and of a form together.
#[derive(Default)]
struct Form {
    data: Option<String>,
    api_key: Option<String>,
    is_verbose: bool,
}

impl Form {
    fn of(parameters: &[u8]) -> Form {
        let mut form = Form::default();
        form.take_in(parameters);
        form
    }

    fn take_in(&mut self, parameters: &[u8]) {
        for (name, value) in form_urlencoded::parse(parameters) {
            match &*name {
                "data" => self.data = Some(value.into_owned()),
                "api_key" => self.api_key = Some(value.into_owned()),
                "verbose" => self.is_verbose = value == "1",
                _ => {}
            }
        }
    }

    /// The events of a request, each as it was sent.
    async fn read(
        &mut self,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Vec<Vec<u8>>, Problem> {
        let is_form = body::content_type(headers) == Some("application/x-www-form-urlencoded");
        if is_form {
            let body = body::unpacked(headers, body::whole(body, PUSH_BYTES_MAX)?).await?;
            self.take_in(&body);
        } else if self.data.is_none() {
            return body::events(headers, body).await;
        }
        body::cut(&mixpanel::data(self.data.as_deref().unwrap_or_default()), false)
    }
}
