//! Fields of the envelope as Mixpanel's clients mean them.

use serde_json::{Map, Value};

/// Epoch times below this are seconds: as milliseconds they would be in 1973.
const SECONDS_BELOW: f64 = 1e11;
/// Ids that stand for nobody, as Mixpanel has them.
const PLACEHOLDERS: [&str; 12] = [
    "anon",
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "00000000-0000-0000-0000-000000000000",
    "<nil>",
    "",
];

/// `$insert_id`. Without it the same event at the same time counts once; one without a time always counts.
pub(super) fn key(about: &mut Map<String, Value>, event: &[u8], has_time: bool) -> Value {
    match about.remove("$insert_id") {
        Some(Value::Number(number)) => number.to_string().into(),
        Some(key) if !key.is_null() => key,
        _ if has_time => blake3::hash(event).to_hex().as_str().into(),
        _ => format!("{:032x}", fastrand::u128(..)).into(),
    }
}

/// Seconds or milliseconds, whole or not; a text stays one.
pub(super) fn occurred_at(time: Value) -> Value {
    match time.as_f64() {
        Some(seconds) if seconds.abs() < SECONDS_BELOW => {
            Value::from((seconds * 1e3).round() as i64)
        }
        Some(millis) => Value::from(millis as i64),
        None => time,
    }
}

/// `$user_id`, else `distinct_id`, is the customer; a device alone is an identifier.
pub(super) fn identify(about: &mut Map<String, Value>, envelope: &mut Map<String, Value>) {
    let distinct = text(about.remove("distinct_id"));
    let user = text(about.remove("$user_id"));
    let device = text(about.remove("$device_id"));
    let of_device = distinct.as_ref().and_then(|id| id.as_str()?.strip_prefix("$device:"));
    let device = of_device.map(Value::from).or(device);
    let customer = match (user, of_device) {
        (Some(user), _) => Some(user),
        (None, None) => distinct.clone(),
        (None, Some(_)) => None,
    };
    let is_somebody = |id: &Value| id.as_str().is_none_or(|id| !is_placeholder(id));
    match (customer.filter(is_somebody), device) {
        (Some(customer), _) => envelope.insert("qontak_customer_id".into(), customer),
        (None, Some(device)) => {
            let identifier = serde_json::json!([{"type": "device", "value": device}]);
            envelope.insert("identifiers".into(), identifier)
        }
        (None, None) => None,
    };
}

/// Numbers are the text that they are written as; `null` is absent.
fn text(id: Option<Value>) -> Option<Value> {
    match id? {
        Value::Null => None,
        Value::Number(number) => Some(number.to_string().into()),
        id => Some(id),
    }
}

fn is_placeholder(id: &str) -> bool {
    PLACEHOLDERS.contains(&id.trim().to_lowercase().as_str())
}
