//! `GET /v1/definitions?account_id=…`: what is in force, as the engine has it.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::Value;

use super::{checked, parameters};
use crate::app::AppState;
use crate::desk::Inquiry;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
pub(crate) struct Parameters {
    account_id: Option<String>,
}

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
