//! What may have been meant by a name that is not known, or by a field that is missing.

use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::verdict::{Reason, Rejection};
use serde_json::Value;

/// The fields of an envelope.
const FIELDS: [&str; 10] = [
    "event_name",
    "schema_version",
    "source_module",
    "idempotency_key",
    "account_id",
    "team_id",
    "qontak_customer_id",
    "identifiers",
    "occurred_at",
    "properties",
];

/// One sentence, if anything is near enough.
pub(super) fn hint(catalogue: &Catalogue, event: &Value, rejection: &Rejection) -> Option<String> {
    match rejection.reason {
        Reason::UnknownEvent => of_event(catalogue, event),
        Reason::SchemaViolation => of_field(event, &rejection.pointer),
        Reason::MissingIdentity => near_key(event, "qontak_customer_id")
            .or_else(|| {
                near_key(event, "customer_id").map(|hint| hint.replace("mean ", "mean qontak_"))
            })
            .or_else(|| near_key(event, "identifiers")),
        _ => None,
    }
}

fn of_event(catalogue: &Catalogue, event: &Value) -> Option<String> {
    let (source, name) = (event["source_module"].as_str()?, event["event_name"].as_str()?);
    let all: Vec<(&str, &str)> = catalogue.list().map(|(source, name, _)| (source, name)).collect();
    if let Some((other, _)) = all.iter().find(|(_, known)| *known == name) {
        return Some(format!("{name} is an event of source {other}"));
    }
    if !all.iter().any(|(known, _)| *known == source) {
        let near = nearest(source, all.iter().map(|(known, _)| *known))?;
        return Some(format!("there is no source {source}: did you mean {near}?"));
    }
    let own = all.iter().filter(|(known, _)| *known == source).map(|(_, known)| *known);
    let near = nearest(name, own).or_else(|| nearest(name, all.iter().map(|(_, known)| *known)))?;
    Some(format!("did you mean {near}?"))
}

/// A field that is missing may be there under another name.
fn of_field(event: &Value, pointer: &str) -> Option<String> {
    if event.pointer(pointer).is_some_and(|found| !found.is_null()) {
        return None;
    }
    let (parent, field) = pointer.rsplit_once('/')?;
    near_key(event.pointer(parent)?, field)
}

fn near_key(object: &Value, field: &str) -> Option<String> {
    let keys = object.as_object()?.keys().map(String::as_str);
    let written = nearest(field, keys.filter(|key| !FIELDS.contains(key)))?;
    Some(format!("you wrote {written}: did you mean {field}?"))
}

/// The name that most likely was meant; none if nothing is like it.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let wanted = plain(wanted);
    let distance = |name: &str| strsim::damerau_levenshtein(&wanted, &plain(name));
    let (distance, name) = names.map(|name| (distance(name), name)).min()?;
    (distance <= wanted.chars().count().div_ceil(3).min(4)).then_some(name)
}

/// Without what differs between ways of writing names.
fn plain(name: &str) -> String {
    let letters = name.chars().take(64).filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hinted(event: &Value, reason: Reason, pointer: &str) -> Option<String> {
        let rejection = Rejection {
            reason,
            pointer: pointer.to_owned(),
            message: String::new(),
            account_id: String::new(),
            event_name: String::new(),
            payload: String::new(),
        };
        hint(&Catalogue::shipped().unwrap(), event, &rejection)
    }

    #[test]
    fn events_and_sources_are_found() {
        let unknown = |source: &str, name: &str| {
            let event = json!({"source_module": source, "event_name": name});
            hinted(&event, Reason::UnknownEvent, "/event_name").unwrap_or_default()
        };
        assert!(unknown("broadcast", "broadcast.replyed").contains("broadcast.replied"));
        assert!(unknown("broadcast", "Broadcast Sent").contains("broadcast.sent"));
        assert!(unknown("cdp", "broadcast.sent").contains("source broadcast"));
        assert!(unknown("broadcasts", "brodcast.sent").contains("broadcast?"));
        assert_eq!(unknown("cdp", "cart.abandoned.after.checkout"), "");
    }

    #[test]
    fn missing_fields_are_found_under_other_names() {
        let event =
            json!({"accountId": "a", "customer_id": "7", "properties": {"broadcast-id": "b"}});
        let missing = |reason, pointer| hinted(&event, reason, pointer).unwrap_or_default();
        let violation = Reason::SchemaViolation;
        assert!(missing(violation, "/account_id").contains("accountId"));
        assert!(missing(violation, "/properties/broadcast_id").contains("broadcast-id"));
        assert_eq!(missing(violation, "/occurred_at"), "");
        let identity = missing(Reason::MissingIdentity, "");
        assert_eq!(identity, "you wrote customer_id: did you mean qontak_customer_id?");
        let there = json!({"account_id": 7, "accountId": "a"});
        assert_eq!(hinted(&there, violation, "/account_id"), None, "it is there, and wrong");
    }
}
