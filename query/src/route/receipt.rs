//! `GET /v1/receipts/{receipt}`: what became of an event that was pushed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cebe_schemas::time::format_rfc3339;
use cebe_schemas::view::EVENTS_PREFIX;
use serde_json::{Value, json};

use super::Path;
use crate::app::AppState;
use crate::desk::{Inquiry, When};
use crate::document::refusals::{Asking, Expired};
use crate::document::row::Receipt;
use crate::principal::{Principal, Scope};
use crate::problem::Problem;
use crate::sql;

const PATIENCE: Duration = Duration::from_secs(4);
/// A source has at most so many bytes in a receipt.
const SOURCE_BYTES_MAX: usize = 64;

/// Where an event was put.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

// One that is not there by its T, and was neither rejected nor skipped, is a duplicate.
const SQL: &str = "
WITH fromUnixTimestamp64Milli({t:Int64}, 'UTC') AS t
SELECT
    (SELECT min(complete_through) FROM state_frontier FINAL) AS complete_through,
    complete_through >= t AS is_loaded,
    (SELECT groupArray(tuple(account_id, idempotency_key)) FROM landing_events
     WHERE topic = {topic:String} AND partition = {partition:Int32} AND offset = {offset:Int64}
       AND received_at = t) AS accepted,
    (SELECT groupArray(tuple(account_id, reason, pointer, message)) FROM landing_rejected
     WHERE topic = {topic:String} AND partition = {partition:Int32} AND offset = {offset:Int64}
       AND received_at = t) AS rejected,
    (SELECT count() FROM state_skipped_ranges
     WHERE topic = {topic:String} AND partition = {partition:Int32}
       AND from_offset <= {offset:Int64} AND {offset:Int64} < to_offset) AS skipped";

/// What became of an event that was pushed.
///
/// Whether it is a duplicate, or its source is off, is only known once it was read. A receipt is good for some twenty
/// minutes.
#[utoipa::path(
    get, path = "/v1/receipts/{receipt}", tag = "push", operation_id = "get_receipt",
    params((
        "receipt" = String, Path, pattern = r"^.+:[0-9]+:[0-9]+$", example = "broadcast:3:19",
        description = "As it was answered",
    )),
    responses((status = 200, body = Receipt), Expired, Asking),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    who: Principal,
    Path(receipt): Path,
) -> Result<Json<Value>, Problem> {
    who.needs(Scope::Push).or_else(|_| who.needs(Scope::Query))?;
    let place = Place::of(&receipt).ok_or_else(|| {
        let detail = "no receipt: give one as it was answered, such as cdp:3:1042";
        Problem::parameter(detail)
    })?;
    let Place { topic, partition, offset } = place;
    let asked = topic.clone();
    let ask = |reply| Inquiry::Bound { topic: asked, partition, offset, reply };
    let t_ms = match state.desk()?.ask(PATIENCE, ask).await? {
        When::At(t_ms) => t_ms,
        When::Never => return Ok(Json(json!({"receipt": receipt, "state": "pending"}))),
        When::By(t_ms) => {
            let detail = "it is too long ago: look into the views events and rejected_events";
            return Err(Problem::new(StatusCode::GONE, "receipt_expired", detail)
                .at(format_rfc3339(t_ms).into()));
        }
    };
    let row = sql::one(&state, SQL, |query| {
        let query = query.param("t", t_ms).param("topic", &*topic);
        query.param("partition", partition).param("offset", offset)
    })
    .await?;
    let told = told(&row, &who)?;
    Ok(Json(json!({
        "receipt": receipt,
        "state": told["state"],
        "event": told["event"],
        "visible_since": if told["state"] == "pending" { Value::Null } else { format_rfc3339(t_ms).into() },
        "complete_through": row["complete_through"],
    })))
}

/// What is known of it: its state, and what is stored of it.
fn told(row: &Value, who: &Principal) -> Result<Value, Problem> {
    let (accepted, rejected) = (&row["accepted"][0], &row["rejected"][0]);
    let account = accepted[0].as_str().or(rejected[0].as_str());
    if account.is_some_and(|account| !who.sees(account)) {
        let detail = format!("key {} does not see this event", who.id);
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let is_loaded = row["is_loaded"] == 1 || row["is_loaded"] == true;
    Ok(if !is_loaded {
        json!({"state": "pending"})
    } else if accepted.is_array() {
        let event = json!({"account_id": accepted[0], "idempotency_key": accepted[1]});
        json!({"state": "accepted", "event": event})
    } else if rejected.is_array() {
        let [account, reason, pointer, message] = [0, 1, 2, 3].map(|at| &rejected[at]);
        let event =
            json!({"account_id": account, "reason": reason, "field": pointer, "message": message});
        json!({"state": "rejected", "event": event})
    } else if row["skipped"] != 0 {
        json!({"state": "skipped"})
    } else {
        json!({"state": "duplicate"})
    })
}

impl Place {
    fn of(receipt: &str) -> Option<Place> {
        let mut parts = receipt.rsplitn(3, ':');
        let (offset, partition) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let source = parts.next()?;
        let is_source = (1..=SOURCE_BYTES_MAX).contains(&source.len());
        let topic = format!("{EVENTS_PREFIX}{source}");
        (is_source && offset >= 0 && partition >= 0).then_some(Place { topic, partition, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::KeyRing;

    #[test]
    fn receipts_say_where() {
        let place = Place::of("cdp:3:1042").unwrap();
        assert_eq!((&*place.topic, place.partition, place.offset), ("cebe.events.cdp", 3, 1042));
        for wrong in [
            "",
            "cdp",
            "cdp:3",
            ":3:1",
            "cdp:-1:2",
            "cdp:1:-2",
            "cdp:x:1",
            "cdp:1:99999999999999999999",
        ] {
            assert_eq!(Place::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_nowhere_is_a_duplicate_once_all_is_loaded() {
        let anybody = KeyRing::default().find(None).unwrap();
        let state = |row: Value| told(&row, &anybody).unwrap()["state"].clone();
        let row = |more: Value| {
            let mut row = json!({"accepted": [], "rejected": [], "skipped": 0, "is_loaded": 1});
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        assert_eq!(state(row(json!({"accepted": [["a", "k"]]}))), "accepted");
        assert_eq!(
            state(row(json!({"rejected": [["a", "too_old", "/occurred_at", ""]]}))),
            "rejected"
        );
        assert_eq!(state(row(json!({"skipped": 1}))), "skipped");
        assert_eq!(state(row(json!({}))), "duplicate");
        assert_eq!(state(row(json!({"is_loaded": 0}))), "pending");
    }
}
