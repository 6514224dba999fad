//! The members on a page: read from the changes of the segment, in the order of their ids, and no further than it needs.

use clickhouse::query::Query;
use serde_json::Value;

use crate::app::AppState;
use crate::page::Page;
use crate::problem::Problem;
use crate::sql;

// The customers of the next so many changes: in the order of the table, so that no more is read.
const AHEAD: &str = "
SELECT max(customer_id) AS last, count() AS changes
FROM (SELECT customer_id FROM landing_segments
      WHERE account_id = {account_id:String} AND segment_id = {segment_id:String}
          AND customer_id > {behind:String}
      ORDER BY account_id, segment_id, customer_id LIMIT {changes:UInt64})
SETTINGS max_threads = 1";

const MEMBERS: &str = "
SELECT customer_id, max(change.logical_time) AS entered_at,
    argMax(change.definition_version, change.logical_time) AS definition_version
FROM landing_segments AS change
WHERE account_id = {account_id:String} AND segment_id = {segment_id:String}
    AND customer_id > {behind:String} AND customer_id <= {last:String}
    AND change.logical_time <= fromUnixTimestamp64Milli({t:Int64}, 'UTC')
GROUP BY customer_id
HAVING argMax(change.deleted, change.logical_time) = 0
ORDER BY customer_id LIMIT {limit:UInt64}
SETTINGS max_threads = 1";

/// How many times as many changes are looked at next, where too few of the customers are members: of a segment that most
/// have left again.
const WIDER: usize = 4;

/// The members on a page.
///
/// # Errors
/// 503.
pub(super) async fn on_page(
    page: &Page,
    state: &AppState,
    [account_id, segment_id]: [&str; 2],
) -> Result<Vec<Value>, Problem> {
    let limit = page.limit as usize;
    let (mut members, mut behind, mut changes) = (Vec::new(), page.behind.clone(), limit);
    loop {
        let of = |query: Query, behind: &str| {
            let query = query.param("account_id", account_id).param("segment_id", segment_id);
            query.param("behind", behind)
        };
        let ahead =
            sql::one(state, AHEAD, |query| of(query, &behind).param("changes", changes)).await?;
        let last = ahead["last"].as_str().unwrap_or_default();
        let found = sql::rows(state, MEMBERS, |query| {
            let query = of(query, &behind).param("last", last).param("t", page.as_of_ms);
            query.param("limit", limit - members.len())
        });
        members.extend(found.await?);
        let is_all = ahead["changes"].as_u64().is_none_or(|found| found < changes as u64);
        if is_all || members.len() >= limit {
            return Ok(members);
        }
        behind = last.to_owned();
        changes *= WIDER;
    }
}
