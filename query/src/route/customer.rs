//! `GET /v1/customers/{id}?account_id=…`: one person, by any of its customer ids.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{checked, parameters};
use crate::app::AppState;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::sql;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    account_id: Option<String>,
}

// One query, so that the answer is of one moment; `complete_through` is the least of the views.
// The canonical id is a scalar: as a constant it goes into the primary key of what follows.
const SQL: &str = "
WITH (SELECT customer_id FROM state_identities FINAL
      WHERE account_id = {account_id:String} AND qontak_customer_id = {id:String}) AS canonical
SELECT
    canonical AS customer_id,
    (SELECT groupArray(qontak_customer_id) FROM
        (SELECT qontak_customer_id FROM state_members FINAL
         WHERE account_id = {account_id:String} AND customer_id = canonical
         ORDER BY length(qontak_customer_id), qontak_customer_id LIMIT 1000)) AS member_ids,
    (SELECT groupArray(tuple(segment_id, version, definition_version)) FROM
        (SELECT segment_id, version, definition_version FROM state_customer_segments FINAL
         WHERE account_id = {account_id:String} AND customer_id = canonical
         ORDER BY segment_id)) AS segments,
    (SELECT min(state_frontier.complete_through) FROM state_frontier FINAL
     WHERE view IN ('identities', 'segments')) AS complete_through,
    complete_through < now64(3, 'UTC') - INTERVAL 60 SECOND AS is_stale
SETTINGS max_threads = 1";

/// The canonical id, the members, the segments, and the time for which this is true.
pub(crate) async fn get(
    State(state): State<AppState>,
    who: Principal,
    Path(id): Path<String>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Query)?;
    let account_id = who.account(parameters(query)?.account_id)?;
    for (name, value) in [("account_id", &account_id), ("id", &id)] {
        checked(name, value)?;
    }
    let bind =
        |query: clickhouse::query::Query| query.param("account_id", &*account_id).param("id", &*id);
    let row = sql::one(&state, SQL, bind).await?;
    if row["customer_id"].as_str().is_none_or(str::is_empty) {
        let detail = format!("account {account_id} has no customer {id}");
        let unknown = Problem::new(StatusCode::NOT_FOUND, "unknown_customer", detail);
        return Err(unknown.at(row["complete_through"].clone()));
    }
    Ok(Json(shown(&account_id, &row)))
}

fn shown(account_id: &str, row: &Value) -> Value {
    let segment = |s: &Value| {
        let version = &s[2];
        json!({ "segment_id": s[0], "entered_at": s[1], "definition_version": version })
    };
    let segments: Vec<Value> =
        row["segments"].as_array().into_iter().flatten().map(segment).collect();
    json!({
        "account_id": account_id,
        "customer_id": row["customer_id"],
        "member_ids": row["member_ids"],
        "segments": segments,
        "complete_through": row["complete_through"],
        "is_stale": row["is_stale"].as_u64() == Some(1) || row["is_stale"] == true,
    })
}
