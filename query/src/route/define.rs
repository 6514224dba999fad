//! Definitions, flags and settings, put in force; and which versions there were.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use cebe_schemas::time::format_rfc3339;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{Path, checked, is_stale, parameters};
use crate::app::AppState;
use crate::define::document;
use crate::document::refusals::{Asking, Defining, Unknown};
use crate::document::row::Versions;
use crate::limit::DEFINITIONS_BYTES_MAX;
use crate::page;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::push::body::whole;
use crate::sql;

/// What a path is about.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Segments,
    Metrics,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Dry {
    /// Only say whether it is right.
    #[serde(default)]
    dry_run: bool,
}

type Body = Result<Bytes, BytesRejection>;

/// Definitions are put in force together.
///
/// At one logical time; what is given replaces what is in force under the same id. Flags and settings may be among them,
/// if the key is of no one account.
#[utoipa::path(
    post, path = "/v1/definitions", tag = "define", operation_id = "put_definitions",
    params(Dry),
    request_body(content = Object, content_type = "application/json", description = "`{\"segments\": […], \"metrics\": […], \"remove_segments\": […], \"remove_metrics\": […], \"settings\": {…}, \"sources\": {…}}`. At most 1 MiB",
        example = json!({"segments": [{"segment_id": "warm", "account_id": "acc-17", "version": 1, "when": {"did": "broadcast.replied", "within": "30d"}}]})),
    responses(Defining),
)]
pub(crate) async fn post(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Dry>, QueryRejection>,
    body: Body,
) -> Result<Response, Problem> {
    who.needs(Scope::Define)?;
    let record = document::record(&who, json(body)?)?;
    if parameters(query)?.dry_run {
        state.definer()?.judge(&record)?;
        return Ok(Json(json!({"state": "valid"})).into_response());
    }
    put_in_force(&state, &record).await
}

/// A definition is put in force.
///
/// New or edited: only the differences are published, with the cause `definition`.
#[utoipa::path(
    put, path = "/v1/definitions/{kind}/{id}", tag = "define", operation_id = "put_definition",
    params(
        ("kind" = inline(Kind), Path, description = "`segments` or `metrics`"),
        ("id" = String, Path, min_length = 1, max_length = 64, example = "warm", description = "Its id"),
    ),
    request_body(content = Object, content_type = "application/json", description = "The definition; its id may be left out. At most 1 MiB",
        example = json!({"account_id": "acc-17", "version": 1, "title": "Replied lately", "when": {"did": "broadcast.replied", "within": "30d"}})),
    responses(Defining),
)]
pub(crate) async fn put(
    State(state): State<AppState>,
    who: Principal,
    Path((kind, id)): Path<(Kind, String)>,
    body: Body,
) -> Result<Response, Problem> {
    who.needs(Scope::Define)?;
    let mut definition = json(body)?;
    let (list, _, name) = kind.fields();
    let Some(fields) = definition.as_object_mut() else {
        return Err(Problem::definition("the body is no JSON object"));
    };
    if fields.entry(name).or_insert_with(|| json!(id)) != &json!(id) {
        return Err(Problem::definition(format!(
            "/{name}: the path says {id}: leave it out, or give the same"
        )));
    }
    let record = document::record(&who, json!({ list: [definition] }))?;
    put_in_force(&state, &record).await
}

/// A definition is removed.
///
/// Members exit, values go. Also one that waits; one that is not there is no error.
#[utoipa::path(
    delete, path = "/v1/definitions/{kind}/{id}", tag = "define", operation_id = "remove_definition",
    params(
        ("kind" = inline(Kind), Path, description = "`segments` or `metrics`"),
        ("id" = String, Path, min_length = 1, max_length = 64, example = "warm", description = "Its id"),
        Parameters,
    ),
    responses(Defining),
)]
pub(crate) async fn remove(
    State(state): State<AppState>,
    who: Principal,
    Path((kind, id)): Path<(Kind, String)>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    who.needs(Scope::Define)?;
    let account_id = who.account(parameters(query)?.account_id)?;
    let (_, list, name) = kind.fields();
    let entry = json!({"account_id": account_id, name: id});
    put_in_force(&state, &document::record(&who, json!({ list: [entry] }))?).await
}

// Those that hold for every account have none.
const VERSIONS: &str = "
SELECT account_id, version, title, definition, valid_from, valid_to, changed_by
FROM {view:Identifier}
WHERE account_id IN ({account_id:String}, '') AND id = {id:String}
ORDER BY valid_from DESC LIMIT 1000";

/// The versions of a definition.
///
/// Every one that was ever in force, the newest first: since when, until when, and who put it in force.
#[utoipa::path(
    get, path = "/v1/definitions/{kind}/{id}", tag = "define", operation_id = "list_versions",
    params(
        ("kind" = inline(Kind), Path, description = "`segments` or `metrics`"),
        ("id" = String, Path, min_length = 1, max_length = 64, example = "warm", description = "Its id"),
        Parameters,
    ),
    responses((status = 200, body = Versions), Unknown, Asking),
)]
pub(crate) async fn versions(
    State(state): State<AppState>,
    who: Principal,
    Path((kind, id)): Path<(Kind, String)>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Query).or_else(|_| who.needs(Scope::Define))?;
    let account_id = who.account(parameters(query)?.account_id)?;
    for (name, value) in [("account_id", &account_id), ("id", &id)] {
        checked(name, value)?;
    }
    let through_ms = page::through(&state).await?;
    let (view, name) = match kind {
        Kind::Segments => ("segment_definitions", "segment_id"),
        Kind::Metrics => ("metric_definitions", "metric"),
    };
    let mut versions = sql::rows(&state, VERSIONS, |query| {
        let query = query.param("account_id", &*account_id).param("id", &*id);
        query.param("view", view)
    })
    .await?;
    if versions.is_empty() {
        let detail = format!("account {account_id} never had a definition {id} of {kind:?}");
        return Err(Problem::not_found("unknown", detail.to_lowercase())
            .at(format_rfc3339(through_ms).into()));
    }
    for version in &mut versions {
        let text = version["definition"].as_str().unwrap_or_default();
        version["definition"] = serde_json::from_str(text).unwrap_or_default();
    }
    Ok(Json(json!({
        "account_id": account_id,
        name: id,
        "versions": versions,
        "complete_through": format_rfc3339(through_ms),
        "is_stale": is_stale(through_ms),
    })))
}

/// Settings are changed.
///
/// Those that are named. They hold for every account: a key of one may not.
#[utoipa::path(
    patch, path = "/v1/settings", tag = "define", operation_id = "change_settings",
    request_body(content = Object, content_type = "application/json", description = "Settings, as `cebe settings show` names them",
        example = json!({"max_customers_per_identifier": 5})),
    responses(Defining),
)]
pub(crate) async fn settings(
    State(state): State<AppState>,
    who: Principal,
    body: Body,
) -> Result<Response, Problem> {
    who.needs(Scope::Define)?;
    let record = document::record(&who, json!({"settings": json(body)?}))?;
    put_in_force(&state, &record).await
}

/// A source is turned on or off.
///
/// What is excluded is skipped, and can be taken in later. It holds for every account: a key of one may not.
#[utoipa::path(
    put, path = "/v1/sources/{source_module}", tag = "define", operation_id = "set_source",
    params(("source_module" = String, Path, min_length = 1, example = "cdp", description = "The publisher")),
    request_body(content = Value, content_type = "application/json",
        description = "`\"on\"`, `\"off\"`, or `{\"accounts\": […]}`", example = json!("on")),
    responses(Defining),
)]
pub(crate) async fn source(
    State(state): State<AppState>,
    who: Principal,
    Path(source): Path,
    body: Body,
) -> Result<Response, Problem> {
    who.needs(Scope::Define)?;
    let record = document::record(&who, json!({"sources": { source: json(body)? }}))?;
    put_in_force(&state, &record).await
}

/// Which sources are taken in.
///
/// Those that were ever set; others are off.
#[utoipa::path(
    get, path = "/v1/sources", tag = "define", operation_id = "list_sources",
    responses((status = 200, body = Object, description = "By source: `on`, `off`, or the accounts"), Asking),
)]
pub(crate) async fn sources(
    State(state): State<AppState>,
    who: Principal,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Query).or_else(|_| who.needs(Scope::Define))?;
    let control = state.definer()?.in_force();
    let sources = control.sources().iter().map(|(name, flag)| (name.clone(), flag.to_json()));
    Ok(Json(Value::Object(sources.collect::<Map<_, _>>())))
}

async fn put_in_force(state: &AppState, record: &Value) -> Result<Response, Problem> {
    let (offset, outcome) = state.definer()?.put(state.desk()?, record).await?;
    let (status, told) = outcome.told(offset);
    Ok((status, Json(told)).into_response())
}

impl Kind {
    /// The list that puts it, the one that removes it, and its id there.
    fn fields(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::Segments => ("segments", "remove_segments", "segment_id"),
            Kind::Metrics => ("metrics", "remove_metrics", "metric"),
        }
    }
}

fn json(body: Body) -> Result<Value, Problem> {
    document::json(&whole(body, DEFINITIONS_BYTES_MAX)?)
}
