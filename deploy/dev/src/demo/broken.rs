//! Ways in which publishers get it wrong.

use fastrand::Rng;
use serde_json::{Value, json};

/// `event` with one thing wrong, as text.
pub fn break_one_thing(rng: &mut Rng, event: &mut Value, now_ms: i64) -> String {
    match rng.u32(..7) {
        0 => {
            let whole = event.to_string();
            return whole[..whole.len() / 2].into();
        }
        1 => drop(event.as_object_mut().map(|e| e.remove("idempotency_key"))),
        2 => event["event_name"] = json!("customer.teleported"),
        3 => event["occurred_at"] = json!("yesterday"),
        4 => event["occurred_at"] = json!(now_ms + 3_600_000),
        5 => event["schema_version"] = json!(9),
        _ => event["qontak_customer_id"] = json!(1048576),
    }
    event.to_string()
}
