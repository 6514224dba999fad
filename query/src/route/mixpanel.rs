//! `/track` and `/import` as Mixpanel has them: its clients work with only the host changed.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::push::now_ms;
use crate::app::AppState;
use crate::principal::{Principal, Scope, credential};
use crate::problem::Problem;
use crate::push::{Taken, answer, body, mixpanel};

/// A GET with the parameter `data`, or a POST of a form with it, or of JSON.
pub(crate) async fn track(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut form = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let taken = match form.read(&headers, body).await {
        Ok(events) => take(&state, &headers, &form, events).await,
        Err(problem) => Err(problem),
    };
    answer::of_track(taken.as_ref().map_err(Problem::clone), form.is_verbose)
}

/// JSON or lines of it, answered event by event; a form is answered as of `/track`.
pub(crate) async fn import(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut form = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let events = form.read(&headers, body).await;
    let taken = match events {
        Ok(events) => take(&state, &headers, &form, events).await,
        Err(problem) => Err(problem),
    };
    if form.data.is_some() {
        return answer::of_track(taken.as_ref().map_err(Problem::clone), form.is_verbose);
    }
    match taken {
        Ok(taken) => answer::of_batch(&taken),
        Err(problem) => answer::of_import_problem(&problem),
    }
}

async fn take(
    state: &AppState,
    headers: &HeaderMap,
    form: &Form,
    events: Vec<Vec<u8>>,
) -> Result<Taken, Problem> {
    let now_ms = now_ms();
    let mut given = credential(headers).or_else(|| form.api_key.clone());
    if given.is_none() {
        given = one_token(&events)?;
    }
    let who: Principal = state.keys.find(given.as_deref())?;
    who.needs(Scope::Push)?;
    let door = state.door()?;
    let catalogue = &door.judge().catalogue;
    let envelope = |event| mixpanel::envelope(event, &who, catalogue, now_ms);
    let events = events.into_iter().map(envelope).collect();
    let mut taken = door.take(events, &who, now_ms, false).await?;
    taken.failures = taken.failures.into_iter().map(mixpanel::translated).collect();
    Ok(taken)
}

/// The token of all events.
fn one_token(events: &[Vec<u8>]) -> Result<Option<String>, Problem> {
    let tokens: BTreeSet<String> =
        events.iter().filter_map(|event| mixpanel::token(event)).collect();
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
            let body = body::unpacked(headers, body::whole(body)?).await?;
            self.take_in(&body);
        } else if self.data.is_none() {
            return body::events(headers, body).await;
        }
        body::cut(&mixpanel::data(self.data.as_deref().unwrap_or_default()), false)
    }
}
