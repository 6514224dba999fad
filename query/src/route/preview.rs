//! `POST /v1/preview?limit=…`: what a definition would change, were it put in force.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use cebe_schemas::preview::Preview;
use serde::Deserialize;
use utoipa::IntoParams;

use super::parameters;
use crate::app::AppState;
use crate::define::document;
use crate::desk::Inquiry;
use crate::document::refusals::{Asking, Previewing};
use crate::limit::DEFINITIONS_BYTES_MAX;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::push::body::whole;

/// Everybody is looked at, a little between any two ticks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Names in each list, unless asked for more.
const LIMIT: usize = 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Names in each list; 20 unless said otherwise. Counts are whole.
    #[param(example = 20)]
    limit: Option<usize>,
}

/// What definitions would change.
///
/// Who would enter and leave, and which rates would move, were they put in force at the logical time of the answer.
#[utoipa::path(
    post, path = "/v1/preview", tag = "define", operation_id = "preview_definitions",
    params(Parameters),
    request_body(
        content = Object, content_type = "application/json",
        description = "A segment, a metric, or `{\"segments\": […], \"metrics\": […], \"remove_segments\": […], \
            \"remove_metrics\": […]}`. At most 1 MiB",
        example = json!({"segment_id": "warm", "account_id": "acc-17", "version": 1, "when":
            {"did": "broadcast.sent", "then_not": "broadcast.replied", "within": "1h", "same": "broadcast_id"}}),
    ),
    responses((status = 200, body = Preview), Previewing, Asking),
)]
pub(crate) async fn post(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Parameters>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Preview>, Problem> {
    who.needs(Scope::Query)?;
    let limit = parameters(query)?.limit.unwrap_or(LIMIT);
    let document = document::json(&whole(body, DEFINITIONS_BYTES_MAX)?)?;
    let document = document::definitions(&who, document)?.to_string().into_bytes();
    let ask = |reply| Inquiry::Preview { document, limit, reply };
    Ok(Json(state.desk()?.ask(PATIENCE, ask).await?))
}
