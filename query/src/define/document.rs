//! What a principal may change: definitions of the accounts that it sees; flags and settings, which hold for
//! all, only if it sees all.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::principal::Principal;
use crate::problem::Problem;

/// Lists of a document, each of whose entries names its account.
const LISTS: [&str; 4] = ["segments", "metrics", "remove_segments", "remove_metrics"];
/// What holds for every account.
const COMMON: [&str; 2] = ["settings", "sources"];
/// Who changed something without a key.
const NOBODY: &str = "http";

/// `document` as the control record of `who`: entries without account get its own.
///
/// # Errors
/// 400: names the field; 403: it is not for `who` to change.
pub(crate) fn record(who: &Principal, document: Value) -> Result<Value, Problem> {
    let mut fields = object(document)?;
    let known = |name: &str| LISTS.contains(&name) || COMMON.contains(&name);
    if let Some(name) = fields.keys().find(|name| !known(name)) {
        return Err(Problem::definition(format!(
            "/{name}: give {} or {}",
            LISTS.join(", "),
            COMMON.join(", ")
        )));
    }
    if let Some(name) = COMMON.into_iter().find(|name| fields.contains_key(*name))
        && who.account_id.is_some()
    {
        let detail = format!("/{name} holds for every account: key {} is of one only", who.id);
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    own(who, &mut fields)?;
    let changed_by = if who.is_anybody() { NOBODY } else { &*who.id };
    fields.insert("changed_by".into(), json!(changed_by));
    Ok(Value::Object(fields))
}

/// One definition, or a document of several, all of accounts that `who` sees.
///
/// # Errors
/// As of [`record`].
pub(crate) fn definitions(who: &Principal, document: Value) -> Result<Value, Problem> {
    let mut fields = object(document)?;
    if fields.contains_key("segment_id") || fields.contains_key("metric") {
        let mut one = Value::Object(fields);
        own_entry(who, "", &mut one)?;
        return Ok(one);
    }
    own(who, &mut fields)?;
    Ok(Value::Object(fields))
}

/// A body.
///
/// # Errors
/// 400: it is no JSON.
pub(crate) fn json(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::definition(format!("the body is not JSON: {error}")))
}

fn object(document: Value) -> Result<Map<String, Value>, Problem> {
    match document {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::definition("the body is no JSON object")),
    }
}

fn own(who: &Principal, fields: &mut Map<String, Value>) -> Result<(), Problem> {
    for name in LISTS {
        let Some(Value::Array(entries)) = fields.get_mut(name) else { continue };
        for (at, entry) in entries.iter_mut().enumerate() {
            own_entry(who, &format!("/{name}/{at}"), entry)?;
        }
    }
    Ok(())
}

fn own_entry(who: &Principal, place: &str, entry: &mut Value) -> Result<(), Problem> {
    let Some(entry) = entry.as_object_mut() else { return Ok(()) };
    match (entry.get("account_id"), &who.account_id) {
        (None, Some(own)) => drop(entry.insert("account_id".into(), json!(own))),
        (Some(given), Some(own)) if *given != **own => {
            let detail = format!("{place}/account_id: key {} does not see this account", who.id);
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::KeyRing;

    fn principal(account: &str) -> Principal {
        let hash = blake3::hash(b"s").to_hex();
        let file = format!(
            "[[keys]]\nid = \"k\"\nsecret_blake3 = \"{hash}\"\nscopes = [\"define\"]\n{account}\n"
        );
        KeyRing::parse(&file).unwrap().find(Some("k.s")).unwrap()
    }

    fn status(who: &Principal, document: Value) -> u16 {
        record(who, document).err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn a_key_of_one_account_changes_that_one() {
        let who = principal("account_id = \"a\"");
        let record = record(&who, json!({"segments": [{"segment_id": "s"}]})).unwrap();
        let own = json!({"segments": [{"segment_id": "s", "account_id": "a"}], "changed_by": "k"});
        assert_eq!(record, own);
        for list in LISTS {
            assert_eq!(status(&who, json!({list: [{"account_id": "a"}]})), 200, "{list}");
            assert_eq!(status(&who, json!({list: [{"account_id": "b"}]})), 403, "{list}");
            assert_eq!(status(&who, json!({list: [{}, {"account_id": 7}]})), 403, "{list}");
        }
        assert_eq!(status(&who, json!({"sources": {}})), 403);
        assert_eq!(status(&who, json!({"settings": {}})), 403);
        let preview = |definition| definitions(&who, definition).map_err(|p| p.status().as_u16());
        assert_eq!(preview(json!({"segment_id": "s"})).unwrap()["account_id"], "a");
        assert_eq!(preview(json!({"segment_id": "s", "account_id": "b"})), Err(403));
        assert_eq!(preview(json!({"metrics": [{"account_id": "b"}]})), Err(403));
    }

    #[test]
    fn a_key_of_all_accounts_changes_everything_that_documents_have() {
        let who = principal("");
        let document = json!({"segments": [{"account_id": "b"}], "sources": {"cdp": "on"}});
        assert_eq!(record(&who, document).unwrap()["changed_by"], "k");
        for wrong in [json!({"backfills": {"j": "undo"}}), json!({"changed_by": "me"}), json!([])] {
            assert_eq!(status(&who, wrong.clone()), 400, "{wrong}");
        }
        let anybody = KeyRing::default().find(None).unwrap();
        assert_eq!(record(&anybody, json!({})).unwrap()["changed_by"], "http");
    }
}
