//! What is wrong, in the words of what was sent.

use super::ATTRIBUTES;
use crate::push::examine::Failure;

/// Which of its fields some of them are.
const SPECIAL: [(&str, &str); 5] = [
    ("account_id", "/account_id"),
    ("distinct_id", "/qontak_customer_id"),
    ("time", "/occurred_at"),
    ("$insert_id", "/idempotency_key"),
    ("schema_version", "/schema_version"),
];

/// What is wrong, in the words of the event as it was sent.
pub(super) fn translated(failure: Failure) -> Failure {
    let special = SPECIAL.iter().find(|(_, field)| failure.pointer == *field);
    let pointer = match special {
        Some((property, _)) => format!("/properties/{property}"),
        None if failure.pointer == "/event_name" => "/event".into(),
        None if failure.reason == "missing_identity" => "/properties/distinct_id".into(),
        None => failure.pointer,
    };
    let message = match failure.reason {
        // The source was only guessed.
        "unknown_event" => "is no event of the catalogue".into(),
        _ => failure.message,
    };
    Failure { pointer, message, ..failure }
}

/// The same of a profile.
pub(super) fn translated_of_profile(failure: Failure) -> Failure {
    let of_attribute = failure.pointer.strip_prefix("/properties/").map(|name| {
        let known = ATTRIBUTES.iter().find(|(_, ours)| *ours == name);
        format!("/$set/{}", known.map_or(name, |(theirs, _)| theirs))
    });
    let pointer = match (of_attribute, failure.reason, &*failure.pointer) {
        (Some(pointer), ..) => pointer,
        (None, "missing_identity", _) | (None, _, "/qontak_customer_id") => "/$distinct_id".into(),
        (None, _, "/occurred_at") => "/$time".into(),
        (None, "unknown_event", _) => String::new(),
        (None, ..) => failure.pointer,
    };
    let message = match failure.reason {
        "unknown_event" => "is not taken: give $set or $unset, and no other operation".into(),
        _ => failure.message,
    };
    Failure { pointer, message, ..failure }
}
