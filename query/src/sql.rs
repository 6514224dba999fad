//! Queries of ClickHouse: bounded in number and in time, answered as JSON.

use clickhouse::query::Query;
use serde_json::Value;
use tokio::time::timeout;

use crate::app::{AppState, QUERY_TIMEOUT};
use crate::problem::Problem;

/// The rows of a query whose parameters `bind` gives.
///
/// # Errors
/// 503: ClickHouse does not answer in time.
pub(crate) async fn rows(
    state: &AppState,
    sql: &str,
    bind: impl FnOnce(Query) -> Query,
) -> Result<Vec<Value>, Problem> {
    let query = bind(state.clickhouse.query_raw(sql));
    let fetch = async {
        let turn = state.queries.acquire().await;
        let _turn = turn.map_err(|_| Problem::unavailable("the server is shutting down"))?;
        Ok::<_, Problem>(query.fetch_bytes("JSONEachRow")?.collect().await?)
    };
    let late = |_| Problem::unavailable("clickhouse does not answer in time");
    let bytes = timeout(QUERY_TIMEOUT, fetch).await.map_err(late)??;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let row = |line| serde_json::from_slice(line);
    lines.map(row).collect::<Result<_, _>>().map_err(|error| {
        tracing::warn!(%error, "clickhouse answers with something else than rows");
        Problem::unavailable("clickhouse gave no rows: try again in a moment")
    })
}

/// The one row of a query.
///
/// # Errors
/// As of [`rows`].
pub(crate) async fn one(
    state: &AppState,
    sql: &str,
    bind: impl FnOnce(Query) -> Query,
) -> Result<Value, Problem> {
    let mut rows = rows(state, sql, bind).await?;
    rows.pop().ok_or_else(|| Problem::unavailable("clickhouse gave no row: try again in a moment"))
}
