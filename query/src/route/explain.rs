//! `GET /v1/explain?account_id=…&customer_id=…&segment_id=…`: why a customer belongs to a segment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use cebe_schemas::explanation::{Explanation, FoundEvent};
use cebe_schemas::time::Millis;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;
use utoipa::IntoParams;

use super::{checked, parameters};
use crate::app::{AppState, QUERY_TIMEOUT};
use crate::desk::Inquiry;
use crate::document::refusals::{Asking, Unknown};
use crate::principal::{Principal, Scope};
use crate::problem::Problem;

const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// The tenant; the key's own may be left out.
    #[param(min_length = 1, max_length = 64, example = "acc-17")]
    account_id: Option<String>,
    /// Any customer id of the person.
    #[param(min_length = 1, max_length = 64, example = "1048576")]
    customer_id: String,
    #[param(min_length = 1, max_length = 64, example = "warm")]
    segment_id: String,
}

// Names and times narrow it down; which of them it is, is decided by what selects them.
const SQL: &str = "
SELECT idempotency_key, event_name, source_module, qontak_customer_id AS customer_id,
    toUnixTimestamp64Milli(occurred_at) AS occurred_ms, payload
FROM events
WHERE account_id = {account_id:String}
  AND event_name IN {names:Array(String)}
  AND occurred_at BETWEEN fromUnixTimestamp64Milli({from:Int64}, 'UTC')
                      AND fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND toUnixTimestamp64Milli(occurred_at) IN {times:Array(Int64)}
  AND (qontak_customer_id IN {members:Array(String)}
       OR (qontak_customer_id = '' AND hasAny(identifier_tokens, {tokens:Array(String)})))
ORDER BY occurred_at, ordinal LIMIT 1000";

/// Why a customer is in a segment, or is not.
///
/// Clause by clause, with the events behind each, and when it next changes by itself.
#[utoipa::path(
    get, path = "/v1/explain", tag = "ask", operation_id = "explain_membership",
    params(Parameters),
    responses((status = 200, body = Explanation), Unknown, Asking),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    who: Principal,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    who.needs(Scope::Query)?;
    let Parameters { account_id, customer_id, segment_id } = parameters(query)?;
    let account_id = who.account(account_id)?;
    let ids =
        [("account_id", &account_id), ("customer_id", &customer_id), ("segment_id", &segment_id)];
    for (name, value) in ids {
        checked(name, value)?;
    }
    let ask = |reply| Inquiry::Explain { account_id, customer_id, segment_id, reply };
    let (mut explanation, tokens) = state.desk()?.ask(PATIENCE, ask).await?;
    let wanted = explanation.wanted();
    if !wanted.is_empty() {
        match timeout(QUERY_TIMEOUT, events(&state, &explanation, wanted, tokens)).await {
            Ok(Ok(events)) => explanation.find(&events),
            failure => {
                tracing::warn!(?failure, "events of an explanation cannot be read");
                let note = "clickhouse does not answer: events are shown by type and time only";
                explanation.events_note = Some(note.into());
            }
        }
    }
    Ok(Json(*explanation))
}

/// The stored events of these names and times, of the members or of identifiers that they hold.
async fn events(
    state: &AppState,
    explanation: &Explanation,
    wanted: BTreeSet<(Arc<str>, Millis)>,
    tokens: Vec<String>,
) -> Result<Vec<FoundEvent>, clickhouse::error::Error> {
    let _turn = state.queries.acquire().await;
    let names: BTreeSet<_> = wanted.iter().map(|(name, _)| &**name).collect();
    let times: BTreeSet<_> = wanted.iter().map(|(_, at)| *at).collect();
    let members: Vec<_> = explanation.person.member_ids.iter().map(|id| &**id).collect();
    let mut cursor = state
        .clickhouse
        .query_raw(SQL)
        .param("account_id", &*explanation.account_id)
        .param("names", names.into_iter().collect::<Vec<_>>())
        .param("from", times.first().copied().unwrap_or_default())
        .param("to", times.last().copied().unwrap_or_default())
        .param("times", times.into_iter().collect::<Vec<_>>())
        .param("members", members)
        .param("tokens", tokens)
        .fetch_bytes("JSONEachRow")?;
    let bytes = cursor.collect().await?;
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice::<Row>(line).ok()).map(Row::event).collect())
}

#[derive(Deserialize)]
struct Row {
    idempotency_key: Arc<str>,
    event_name: Arc<str>,
    source_module: Arc<str>,
    customer_id: Arc<str>,
    occurred_ms: Millis,
    payload: String,
}

impl Row {
    /// The payload is the truth; the column of properties leaves out what it cannot hold.
    fn event(self) -> FoundEvent {
        #[derive(Deserialize)]
        struct Payload {
            #[serde(default)]
            properties: Option<Map<String, Value>>,
        }
        let payload = serde_json::from_str::<Payload>(&self.payload).ok();
        FoundEvent {
            idempotency_key: self.idempotency_key,
            event_name: self.event_name,
            source_module: self.source_module,
            customer_id: self.customer_id,
            occurred_at: self.occurred_ms,
            properties: payload.and_then(|payload| payload.properties).unwrap_or_default(),
        }
    }
}
