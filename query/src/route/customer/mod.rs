//! `GET /v1/customers/{id}` and `GET /v1/customers?phone=…`: one person, by any of its customer ids or identifiers,
//! now or as of a time.

mod look_up;

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::app::AppState;
use crate::desk::Inquiry;
use crate::document::refusals::{Ambiguous, Asking, Unknown};
use crate::document::row::Customer;
use crate::page;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::route::{Path, checked, parameters};

use look_up::look_up;

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
    answer(&state, &account_id, &id, wanted).await
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
        None => Err(Problem::parameter("identifier is none: give it as type:value")),
    });
    let given = [
        phone.map(|value| Ok(("phone".into(), value))),
        email.map(|value| Ok(("email".into(), value))),
        other,
    ];
    let mut given = given.into_iter().flatten();
    let (Some(one), None) = (given.next(), given.next()) else {
        return Err(Problem::parameter("give one of phone, email and identifier"));
    };
    let (kind, value): (String, String) = one?;
    if value.len() > IDENTIFIER_BYTES_MAX {
        return Err(Problem::parameter("the identifier is too long"));
    }
    let (account, named) = (account_id.clone(), kind.clone());
    let ask = |reply| Inquiry::Find { account_id: account, kind, value, reply };
    let found = state.desk()?.ask(PATIENCE, ask).await?;
    match &found[..] {
        [id] => answer(&state, &account_id, id, rest).await,
        [] => {
            let detail = format!(
                "nobody in account {account_id} is identified by this {named}: no customer \
                holds it, or more do than may (identity_quarantine)"
            );
            Err(Problem::not_found("unknown_customer", detail))
        }
        several => {
            let detail = format!("this {named} is held by several persons: {}", several.join(", "));
            Err(Problem::new(StatusCode::CONFLICT, "ambiguous_customer", detail))
        }
    }
}

async fn answer(
    state: &AppState,
    account_id: &str,
    id: &str,
    wanted: Parameters,
) -> Result<Json<Value>, Problem> {
    let Parameters { as_of, include, .. } = wanted;
    let with_rates = match include.as_deref() {
        None | Some("") => false,
        Some("rates") if as_of.is_none() => true,
        Some("rates") => return Err(Problem::parameter("rates are those of now: leave as_of out")),
        Some(_) => return Err(Problem::parameter("include is none of: rates")),
    };
    let as_of_ms = match as_of {
        Some(text) => Some(page::past(state, &text).await?),
        None => None,
    };
    let mut told = look_up(state, account_id, id, as_of_ms).await?;
    if with_rates {
        let (account_id, customer_id) = (account_id.to_owned(), id.to_owned());
        let ask = |reply| Inquiry::CountsIn { account_id, customer_id, reply };
        told["rates"] = json!(state.desk()?.ask(PATIENCE, ask).await?);
    }
    Ok(Json(told))
}
