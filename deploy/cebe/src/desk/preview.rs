//! Previews: from a document to the definitions that it would put in force.

use cebe_connectors::adapter::Adapter;
use cebe_connectors::key_index::KeyIndex;
use cebe_query::desk::Refusal;
use cebe_schemas::control::{ControlError, ControlState};
use cebe_schemas::definition::{Definitions, Selector};
use serde_json::{Value, json};

/// What a document of definitions may hold.
const FIELDS: [&str; 4] = ["segments", "metrics", "remove_segments", "remove_metrics"];

/// The control state once `document` were in force after `state`: one definition, or
/// `{"segments": […], "metrics": […], "remove_segments": […], "remove_metrics": […]}`.
///
/// # Errors
/// Names the field that is wrong, as when the definition is put.
pub fn with(state: &ControlState, document: &[u8]) -> Result<ControlState, Refusal> {
    let document: Value = serde_json::from_slice(document)
        .map_err(|error| Refusal::Invalid(format!("the definition is not JSON: {error}")))?;
    let has = |name: &str| document.get(name).is_some();
    let (record, own) = match () {
        () if has("segment_id") => (json!({ "segments": [document] }), "/segments/0"),
        () if has("metric") => (json!({ "metrics": [document] }), "/metrics/0"),
        () => (document, ""),
    };
    let unknown = record
        .as_object()
        .and_then(|fields| fields.keys().find(|name| !FIELDS.contains(&name.as_str())));
    if let Some(name) = unknown {
        let detail = format!(
            "/{name}: cannot be previewed: give a segment, a metric, or {}",
            FIELDS.join(", ")
        );
        return Err(Refusal::Invalid(detail));
    }
    let mut next = state.clone();
    match next.apply(record.to_string().as_bytes()) {
        Ok(_) => Ok(next),
        Err(ControlError::Invalid { pointer, message }) => {
            let pointer = pointer.strip_prefix(own).unwrap_or(&pointer);
            Err(Refusal::Invalid(format!("{pointer}: {message}").trim_start_matches(": ").into()))
        }
        Err(error) => Err(Refusal::Invalid(error.to_string())),
    }
}

/// The same, as the dataflow takes it.
///
/// # Errors
/// As [`with`]; and definitions cannot be previewed whose history is not held.
pub fn definitions<K: KeyIndex>(
    adapter: &Adapter<K>,
    document: &[u8],
) -> Result<Definitions, Refusal> {
    let next = with(adapter.control(), document)?.definitions();
    match adapter.without_history(&next) {
        None => Ok(adapter.resolved(&next)),
        Some(selector) => Err(Refusal::Conflict(no_history(&selector))),
    }
}

fn no_history(selector: &Selector) -> String {
    let filters = selector.filters().iter().map(|filter| &*filter.property);
    let properties: Vec<_> =
        filters.chain(selector.grouping().map(|grouping| grouping.property())).collect();
    format!(
        "looks at {} of {}, which no definition has looked at since the first such event, so its \
         history is not held: put the definition, or preview it on a file of events (--events)",
        properties.join(" and "),
        selector.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field_of_what_was_given() {
        let wrong = |document: Value| {
            with(&ControlState::new(), document.to_string().as_bytes()).unwrap_err().to_string()
        };
        let segment = |when: Value| json!({"segment_id": "s", "account_id": "a", "when": when});
        let error = wrong(segment(json!({"did": "x", "within": "soon"})));
        assert!(error.starts_with("/when/within: must be a duration"), "{error}");
        let error = wrong(json!({"segments": [segment(json!({"in_segment": "s"}))]}));
        assert!(error.starts_with("/segments/0/when/in_segment: is a cycle: s → s"), "{error}");
        let error = wrong(json!({"settings": {}}));
        assert!(error.starts_with("/settings: cannot be previewed"), "{error}");
        assert!(wrong(json!([])).contains("must be an object"));
        assert!(with(&ControlState::new(), b"{").unwrap_err().to_string().contains("not JSON"));
        let good = segment(json!({"did": "x"})).to_string();
        assert_eq!(
            with(&ControlState::new(), good.as_bytes()).unwrap().definitions().segments.len(),
            1
        );
    }
}
