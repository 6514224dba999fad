//! `GET /v1/metrics/{metric}`: a rate, by group, as of one time.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use cebe_schemas::time::{format_rfc3339, parse_rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{Path, checked, is_stale, parameters};
use crate::app::AppState;
use crate::document::refusals::Asking;
use crate::document::row::MetricValue;
use crate::page::{Asked, Filled, Page, filled};
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::replica::{Counted, Held};
use crate::sql;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
    /// One group alone.
    #[param(example = "b-204")]
    group_key: Option<String>,
    /// One day alone, of the metric's sibling by day.
    #[param(format = Date, example = "2026-11-27")]
    day: Option<String>,
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

const SQL: &str = "
SELECT group_key, argMax(change.new_numerator, change.logical_time) AS numerator,
    argMax(change.new_denominator, change.logical_time) AS denominator,
    argMax(tuple(change.new_rate), change.logical_time).1 AS rate,
    max(change.logical_time) AS changed_at
FROM landing_metrics AS change
WHERE account_id = {account_id:String} AND metric = {metric:String}
    AND group_key > {behind:String} AND (NOT {is_one:Bool} OR group_key = {group_key:String})
    AND change.logical_time <= fromUnixTimestamp64Milli({t:Int64}, 'UTC')
GROUP BY account_id, metric, group_key
HAVING argMax(change.deleted, change.logical_time) = 0
ORDER BY account_id, metric, group_key LIMIT {limit:UInt32}
SETTINGS optimize_aggregation_in_order = 1, max_threads = 1";

// The group of a metric of the whole account is empty, and so is behind nothing.
const WHOLE_ACCOUNT: &str = "group_key > {behind:String} AND ";

/// A page of rates.
#[derive(Serialize, ToSchema)]
pub(crate) struct Values {
    account_id: String,
    metric: String,
    /// The time that this page is of, and all that follow it.
    #[schema(format = DateTime)]
    as_of: String,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
    /// In the order of their groups.
    #[schema(value_type = Vec<MetricValue>)]
    values: Vec<Value>,
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

/// A rate, by group.
///
/// Page by page, all of one time: that of the first. A metric that does not exist has no values.
#[utoipa::path(
    get, path = "/v1/metrics/{metric}", tag = "ask", operation_id = "list_metric_values",
    params(
        ("metric" = String, Path, min_length = 1, max_length = 64, example = "reply_rate", description = "The metric"),
        Parameters,
    ),
    responses((status = 200, body = Values), Asking),
)]
pub(crate) async fn values(
    State(state): State<AppState>,
    who: Principal,
    Path(metric): Path,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Values>, Problem> {
    who.needs(Scope::Query)?;
    let Parameters { account_id, group_key, day, as_of, limit, cursor } = parameters(query)?;
    let account_id = who.account(account_id)?;
    let (metric, group_key) = match day {
        Some(day) => {
            is_day(&day)?;
            (format!("{metric}_daily"), Some(day))
        }
        None => (metric, group_key),
    };
    for (name, value) in [("account_id", &account_id), ("metric", &metric)] {
        checked(name, value)?;
    }
    let (of, group) = ([&*account_id, &*metric], group_key.as_deref());
    let held = |held: &Held, page: &Page| {
        Some(held.rates(of, group, page)?.into_iter().map(row).collect())
    };
    let load = async |page: &Page| load(&state, of, group, page).await;
    let Filled { page, rows, is_last_known } =
        filled(&state, Asked { as_of, limit, cursor }, held, load).await?;
    Ok(Json(Values {
        as_of: format_rfc3339(page.as_of_ms),
        next: page.next(&rows, "group_key"),
        values: rows,
        complete_through: format_rfc3339(page.complete_through_ms),
        is_stale: is_last_known || is_stale(page.complete_through_ms),
        is_last_known,
        account_id,
        metric,
    }))
}

fn row((group_key, counted): (&str, Counted)) -> Value {
    json!({"group_key": group_key, "numerator": counted.numerator, "denominator": counted.denominator,
        "rate": counted.rate, "changed_at": format_rfc3339(counted.changed_ms)})
}

async fn load(
    state: &AppState,
    [account_id, metric]: [&str; 2],
    group_key: Option<&str>,
    page: &Page,
) -> Result<Vec<Value>, Problem> {
    let sql = if page.behind.is_empty() { SQL.replace(WHOLE_ACCOUNT, "") } else { SQL.to_owned() };
    sql::rows(state, &sql, |query| {
        let query = query.param("account_id", account_id).param("metric", metric);
        let query = query.param("behind", &*page.behind).param("limit", page.limit);
        let query = query.param("is_one", group_key.is_some()).param("t", page.as_of_ms);
        query.param("group_key", group_key.unwrap_or_default())
    })
    .await
}

fn is_day(day: &str) -> Result<(), Problem> {
    parse_rfc3339(&format!("{day}T00:00:00Z")).map(drop).ok_or_else(|| {
        let detail = "day is none: give it as 2026-11-27";
        Problem::parameter(detail)
    })
}
