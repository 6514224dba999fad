//! `POST /v1/preview?limit=…`: what a definition would change, were it put in force.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use cebe_schemas::preview::Preview;
use serde::Deserialize;

use super::parameters;
use crate::app::AppState;
use crate::desk::Inquiry;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;

/// Everybody is looked at, a little between any two ticks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Names in each list, unless asked for more.
const LIMIT: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    limit: Option<usize>,
}

pub(crate) async fn post(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Parameters>, QueryRejection>,
    body: Bytes,
) -> Result<Json<Preview>, Problem> {
    who.needs(Scope::Query)?;
    let limit = parameters(query)?.limit.unwrap_or(LIMIT);
    let document = body.to_vec();
    let ask = |reply| Inquiry::Preview { document, limit, reply };
    Ok(Json(state.desk()?.ask(PATIENCE, ask).await?))
}
