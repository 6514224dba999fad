//! A person: from the copy in memory as it is now, from ClickHouse as of a time.

use cebe_schemas::time::{Millis, format_rfc3339};
use serde_json::{Value, json};

use crate::app::AppState;
use crate::newest::newest;
use crate::problem::Problem;
use crate::replica::{Customer, Membership};
use crate::route::is_stale;
use crate::sql;

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

/// The person of a customer, as it is answered.
///
/// # Errors
/// 404: there is no such customer; 503.
pub(super) async fn look_up(
    state: &AppState,
    account_id: &str,
    id: &str,
    as_of_ms: Option<Millis>,
) -> Result<Value, Problem> {
    if as_of_ms.is_some() {
        return load(state, AS_OF, [account_id, id], as_of_ms).await;
    }
    let copied = state.replica().customer(account_id, id);
    let copied =
        copied.map(|copied| copied.map(|found, at_ms| held([account_id, id], found, at_ms)));
    let (mut told, is_last_known) =
        newest(copied, load(state, NOW, [account_id, id], None)).await?;
    if is_last_known {
        told["is_stale"] = json!(true);
        told["is_last_known"] = json!(true);
    }
    Ok(told)
}

async fn load(
    state: &AppState,
    sql: &str,
    [account_id, id]: [&str; 2],
    as_of_ms: Option<Millis>,
) -> Result<Value, Problem> {
    let row = sql::one(state, sql, |query| {
        let query = query.param("account_id", account_id).param("id", id);
        query.param("t", as_of_ms.unwrap_or_default())
    })
    .await?;
    if row["customer_id"].as_str().is_none_or(str::is_empty) {
        return Err(unknown(account_id, id, row["complete_through"].clone()));
    }
    Ok(loaded(account_id, &row))
}

fn unknown(account_id: &str, id: &str, complete_through: Value) -> Problem {
    let detail = format!("account {account_id} has no customer {id}");
    Problem::not_found("unknown_customer", detail).at(complete_through)
}

fn held(
    [account_id, id]: [&str; 2],
    found: Option<Customer>,
    through_ms: Millis,
) -> Result<Value, Problem> {
    let through = format_rfc3339(through_ms);
    let customer = found.ok_or_else(|| unknown(account_id, id, json!(through)))?;
    let time = |ms: Option<Millis>| ms.map(format_rfc3339);
    let segment = |one: &Membership| {
        json!({ "segment_id": *one.segment_id, "entered_at": format_rfc3339(one.entered_ms),
            "definition_version": one.definition_version })
    };
    Ok(json!({
        "account_id": account_id,
        "customer_id": customer.customer_id,
        "member_ids": customer.member_ids,
        "attributes": object(&customer.attributes),
        "team_ids": customer.team_ids,
        "first_seen": time(customer.first_seen),
        "last_seen": time(customer.last_seen),
        "segments": customer.segments.iter().map(segment).collect::<Vec<_>>(),
        "complete_through": through,
        "is_stale": is_stale(through_ms),
    }))
}

fn loaded(account_id: &str, row: &Value) -> Value {
    let segment =
        |s: &Value| json!({ "segment_id": s[0], "entered_at": s[1], "definition_version": s[2] });
    let segments: Vec<Value> =
        row["segments"].as_array().into_iter().flatten().map(segment).collect();
    json!({
        "account_id": account_id,
        "customer_id": row["customer_id"],
        "member_ids": row["profile"][0],
        "attributes": object(row["profile"][1].as_str().unwrap_or_default()),
        "team_ids": row["profile"][2],
        "first_seen": row["seen"][0],
        "last_seen": row["seen"][1],
        "segments": segments,
        "complete_through": row["complete_through"],
        "is_stale": row["is_stale"].as_u64() == Some(1) || row["is_stale"] == true,
    })
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!({}))
}
