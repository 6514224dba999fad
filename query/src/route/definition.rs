//! `GET /v1/definitions?account_id=…`: what is in force, as the engine has it.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{checked, parameters};
use crate::app::AppState;
use crate::desk::Inquiry;
use crate::document::refusals::Asking;
use crate::document::row::Definitions;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
}

/// What is in force.
///
/// Segments, metrics and settings as the engine has them, and those that wait.
#[utoipa::path(
    get, path = "/v1/definitions", tag = "define", operation_id = "list_definitions",
    params(Parameters),
    responses((status = 200, body = Definitions), Asking),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Query)?;
    let account_id = who.account(parameters(query)?.account_id)?;
    checked("account_id", &account_id)?;
    let ask = |reply| Inquiry::Definitions { account_id, reply };
    Ok(Json(state.desk()?.ask(PATIENCE, ask).await?))
}
