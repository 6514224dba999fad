//! `GET /v1/customers/{id}` and `GET /v1/customers?phone=…`: one person, by any of its customer ids or identifiers,
//! now or as of a time.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::{Path, checked, parameters};
use crate::app::AppState;
use crate::desk::Inquiry;
use crate::document::refusals::{Ambiguous, Asking, Unknown};
use crate::document::row::Customer;
use crate::page;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::sql;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
    /// As it was known then: RFC 3339 with an offset, no later than `complete_through`.
    #[param(format = DateTime, example = "2026-11-27T04:31:02Z")]
    as_of: Option<String>,
    /// What else is wanted: `rates`, those that the person counts in now.
    include: Option<String>,
}

/// An identifier, and what of its person is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Identifier {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
    /// A phone number, written as events may write it.
    #[param(example = "0812-3456-7890")]
    phone: Option<String>,
    /// An email address.
    email: Option<String>,
    /// An identifier of any other type: `type:value`.
    #[param(example = "wa_id:628123")]
    identifier: Option<String>,
    /// As it was known then, of who holds the identifier now.
    #[param(format = DateTime, example = "2026-11-27T04:31:02Z")]
    as_of: Option<String>,
    /// What else is wanted: `rates`, those that the person counts in now.
    include: Option<String>,
}

/// The engine answers between two ticks.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest identifier: an event holds no longer one.
const IDENTIFIER_BYTES_MAX: usize = 65_536;

// One query, so that the answer is of one moment; `complete_through` is the least of the views.
// The canonical id is a scalar: as a constant it goes into the primary key of what follows.
const NOW: &str = "
WITH (SELECT customer_id FROM state_identities FINAL
      WHERE account_id = {account_id:String} AND qontak_customer_id = {id:String}) AS canonical
SELECT
    canonical AS customer_id,
    (SELECT tuple(any(member_ids), any(attributes), any(team_ids)) FROM state_customers FINAL
     WHERE account_id = {account_id:String} AND customer_id = canonical) AS profile,
    (SELECT tuple(any(first_seen), any(last_seen)) FROM state_seen FINAL
     WHERE account_id = {account_id:String} AND customer_id = canonical) AS seen,
    (SELECT groupArray(tuple(segment_id, version, definition_version)) FROM
        (SELECT segment_id, version, definition_version FROM state_customer_segments FINAL
         WHERE account_id = {account_id:String} AND customer_id = canonical
         ORDER BY segment_id)) AS segments,
    (SELECT min(state_frontier.complete_through) FROM state_frontier FINAL
     WHERE view IN ('identities', 'customers', 'seen', 'segments')) AS complete_through,
    complete_through < now64(3, 'UTC') - INTERVAL 60 SECOND AS is_stale
SETTINGS max_threads = 1";

// The segments of a person are sorted by person only as they are now: those that it was in at a time are
// among those that it ever was in.
const AS_OF: &str = "
WITH fromUnixTimestamp64Milli({t:Int64}, 'UTC') AS t,
    (SELECT argMax(if(deleted = 1, '', customer_id), logical_time) FROM landing_identities
     WHERE account_id = {account_id:String} AND qontak_customer_id = {id:String} AND logical_time <= t) AS canonical
SELECT
    canonical AS customer_id,
    (SELECT argMax(tuple(member_ids, attributes, team_ids), logical_time) FROM landing_customers
     WHERE account_id = {account_id:String} AND customer_id = canonical AND logical_time <= t) AS profile,
    (SELECT argMax(tuple(first_seen, last_seen), logical_time) FROM landing_seen
     WHERE account_id = {account_id:String} AND customer_id = canonical AND logical_time <= t) AS seen,
    (SELECT groupArray(tuple(segment_id, entered_at, version)) FROM
        (SELECT segment_id, max(logical_time) AS entered_at, argMax(definition_version, logical_time) AS version
         FROM landing_segments
         WHERE account_id = {account_id:String} AND customer_id = canonical AND logical_time <= t
             AND segment_id IN (SELECT segment_id FROM state_customer_segments
                                WHERE account_id = {account_id:String} AND customer_id = canonical)
         GROUP BY segment_id HAVING argMax(deleted, logical_time) = 0 ORDER BY segment_id)) AS segments,
    t AS complete_through,
    0 AS is_stale
SETTINGS max_threads = 1";

/// One person.
///
/// By any of its customer ids: the canonical id, the members, the profile, the segments, and the time for which this is
/// true.
#[utoipa::path(
    get, path = "/v1/customers/{id}", tag = "ask", operation_id = "get_customer",
    params(
        ("id" = String, Path, min_length = 1, max_length = 64, example = "1048576", description = "Any customer id"),
        Parameters,
    ),
    responses((status = 200, body = Customer), Unknown, Asking),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    who: Principal,
    Path(id): Path,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Query)?;
    let wanted = parameters(query)?;
    let account_id = who.account(wanted.account_id.clone())?;
    for (name, value) in [("account_id", &account_id), ("id", &id)] {
        checked(name, value)?;
    }
    look_up(&state, &account_id, &id, wanted).await
}

/// A customer by an identifier.
///
/// By phone, email or another identifier: the same as by id, of the person that holds it. 404 if it identifies nobody: no
/// customer holds it, more do than may, or it is blocked.
#[utoipa::path(
    get, path = "/v1/customers", tag = "ask", operation_id = "find_customer",
    params(Identifier),
    responses((status = 200, body = Customer), Unknown, Ambiguous, Asking),
)]
pub(crate) async fn find(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Identifier>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Query)?;
    let Identifier { account_id, phone, email, identifier, as_of, include } = parameters(query)?;
    let account_id = who.account(account_id)?;
    let rest = Parameters { account_id: None, as_of, include };
    checked("account_id", &account_id)?;
    let other = identifier.map(|given| match given.split_once(':') {
        Some((kind, value)) => Ok((kind.to_owned(), value.to_owned())),
        None => Err(wrong("identifier is none: give it as type:value")),
    });
    let given = [
        phone.map(|value| Ok(("phone".into(), value))),
        email.map(|value| Ok(("email".into(), value))),
        other,
    ];
    let mut given = given.into_iter().flatten();
    let (Some(one), None) = (given.next(), given.next()) else {
        return Err(wrong("give one of phone, email and identifier"));
    };
    let (kind, value): (String, String) = one?;
    if value.len() > IDENTIFIER_BYTES_MAX {
        return Err(wrong("the identifier is too long"));
    }
    let (account, named) = (account_id.clone(), kind.clone());
    let ask = |reply| Inquiry::Find { account_id: account, kind, value, reply };
    let found = state.desk()?.ask(PATIENCE, ask).await?;
    match &found[..] {
        [id] => look_up(&state, &account_id, id, rest).await,
        [] => {
            let detail = format!(
                "nobody in account {account_id} is identified by this {named}: no customer \
                holds it, or more do than may (identity_quarantine)"
            );
            Err(Problem::new(StatusCode::NOT_FOUND, "unknown_customer", detail))
        }
        several => {
            let detail = format!("this {named} is held by several persons: {}", several.join(", "));
            Err(Problem::new(StatusCode::CONFLICT, "ambiguous_customer", detail))
        }
    }
}

async fn look_up(
    state: &AppState,
    account_id: &str,
    id: &str,
    wanted: Parameters,
) -> Result<Json<Value>, Problem> {
    let Parameters { as_of, include, .. } = wanted;
    let with_rates = match include.as_deref() {
        None | Some("") => false,
        Some("rates") if as_of.is_none() => true,
        Some("rates") => return Err(wrong("rates are those of now: leave as_of out")),
        Some(_) => return Err(wrong("include is none of: rates")),
    };
    let t_ms = match as_of {
        Some(text) => Some(page::past(state, &text).await?),
        None => None,
    };
    let sql = if t_ms.is_some() { AS_OF } else { NOW };
    let row = sql::one(state, sql, |query| {
        let query = query.param("account_id", account_id).param("id", id);
        query.param("t", t_ms.unwrap_or_default())
    })
    .await?;
    if row["customer_id"].as_str().is_none_or(str::is_empty) {
        let detail = format!("account {account_id} has no customer {id}");
        let unknown = Problem::new(StatusCode::NOT_FOUND, "unknown_customer", detail);
        return Err(unknown.at(row["complete_through"].clone()));
    }
    let mut told = shown(account_id, &row);
    if with_rates {
        let (account_id, customer_id) = (account_id.to_owned(), id.to_owned());
        let ask = |reply| Inquiry::CountsIn { account_id, customer_id, reply };
        told["rates"] = json!(state.desk()?.ask(PATIENCE, ask).await?);
    }
    Ok(Json(told))
}

fn wrong(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
}

fn shown(account_id: &str, row: &Value) -> Value {
    let segment =
        |s: &Value| json!({ "segment_id": s[0], "entered_at": s[1], "definition_version": s[2] });
    let segments: Vec<Value> =
        row["segments"].as_array().into_iter().flatten().map(segment).collect();
    let attributes = row["profile"][1].as_str().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "account_id": account_id,
        "customer_id": row["customer_id"],
        "member_ids": row["profile"][0],
        "attributes": attributes.unwrap_or_else(|| json!({})),
        "team_ids": row["profile"][2],
        "first_seen": row["seen"][0],
        "last_seen": row["seen"][1],
        "segments": segments,
        "complete_through": row["complete_through"],
        "is_stale": row["is_stale"].as_u64() == Some(1) || row["is_stale"] == true,
    })
}
