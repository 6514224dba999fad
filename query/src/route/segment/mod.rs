//! `GET /v1/segments/{segment_id}/members`: who is in, page by page, as of one time.

mod on_page;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use cebe_schemas::time::format_rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::app::AppState;
use crate::document::refusals::Asking;
use crate::document::row::Member;
use crate::page::{Asked, Filled, Page, filled};
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::replica::{Held, Membership};
use crate::route::{Path, checked, is_stale, parameters};

use on_page::on_page;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
    /// As it was known then: RFC 3339 with an offset, no later than `complete_through`.
    #[param(format = DateTime, example = "2026-11-27T04:31:02Z")]
    as_of: Option<String>,
    /// Rows on a page; 1,000 unless said otherwise.
    #[param(minimum = 1, maximum = 10_000, example = 100)]
    limit: Option<u32>,
    /// `next` of the page before, of whose time this one is, too.
    #[param(example = "eyJ0IjoxNzk1NzUzODYyNTAyLCJiIjoiMzAwMSJ9")]
    cursor: Option<String>,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct Members {
    account_id: String,
    segment_id: String,
    /// The time that this page is of, and all that follow it.
    #[schema(format = DateTime)]
    as_of: String,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
    /// In the order of their ids, as text.
    #[schema(value_type = Vec<Member>)]
    members: Vec<Value>,
    /// How far everything is loaded.
    #[schema(format = DateTime)]
    complete_through: String,
    /// Whether that is more than 60 s ago.
    is_stale: bool,
    /// There: a new answer did not come in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    is_last_known: bool,
}

/// The members of a segment.
///
/// Page by page, all of one time: that of the first. A segment that does not exist has no members.
#[utoipa::path(
    get, path = "/v1/segments/{segment_id}/members", tag = "ask", operation_id = "list_members",
    params(
        ("segment_id" = String, Path, min_length = 1, max_length = 64, example = "warm", description = "The segment"),
        Parameters,
    ),
    responses((status = 200, body = Members), Asking),
)]
pub(crate) async fn members(
    State(state): State<AppState>,
    who: Principal,
    Path(segment_id): Path,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Members>, Problem> {
    who.needs(Scope::Query)?;
    let Parameters { account_id, as_of, limit, cursor } = parameters(query)?;
    let account_id = who.account(account_id)?;
    for (name, value) in [("account_id", &account_id), ("segment_id", &segment_id)] {
        checked(name, value)?;
    }
    let of = [&*account_id, &*segment_id];
    let held =
        |held: &Held, page: &Page| Some(held.members(of, page)?.into_iter().map(row).collect());
    let load = async |page: &Page| on_page(page, &state, of).await;
    let Filled { page, rows, is_last_known } =
        filled(&state, Asked { as_of, limit, cursor }, held, load).await?;
    Ok(Json(Members {
        as_of: format_rfc3339(page.as_of_ms),
        next: page.next(&rows, "customer_id"),
        members: rows,
        complete_through: format_rfc3339(page.complete_through_ms),
        is_stale: is_last_known || is_stale(page.complete_through_ms),
        is_last_known,
        account_id,
        segment_id,
    }))
}

fn row((customer_id, one): (&str, &Membership)) -> Value {
    json!({"customer_id": customer_id, "entered_at": format_rfc3339(one.entered_ms),
        "definition_version": one.definition_version})
}
