//! Explanations: from names to hashes, and back.

use cebe_connectors::adapter::Adapter;
use cebe_connectors::key_index::KeyIndex;
use cebe_dataflow::{Asked, Dataflow, Explained, Found};
use cebe_query::desk::Refusal;
use cebe_schemas::explanation::{Explanation, Judged};
use serde_json::json;

/// An explanation without its events, and the tokens that the person holds; or why there is none.
pub type Answer = Result<(Box<Explanation>, Vec<String>), Refusal>;

/// Why a customer belongs to a segment, or does not.
///
/// # Errors
/// The dataflow failed.
pub fn explain<K: KeyIndex>(
    adapter: &Adapter<K>,
    dataflow: &mut Dataflow,
    [account_id, customer_id, segment_id]: [&str; 3],
) -> anyhow::Result<Answer> {
    let keys = adapter.token_keys();
    let asked = Asked {
        account_id,
        customer: keys.id_key().subject(account_id, customer_id),
        segment_id,
        render: &|token| keys.render(token),
    };
    Ok(match dataflow.explain(&asked)? {
        Explained::NoCustomer => {
            let detail = format!("account {account_id} has no customer {customer_id}");
            Err(Refusal::Unknown(detail))
        }
        Explained::NoSegment => {
            let detail = format!(
                "account {account_id} has no segment {segment_id}: no definition and no event \
                 names it"
            );
            Err(Refusal::Unknown(detail))
        }
        Explained::Found(found) => {
            let Found { mut explanation, tokens } = *found;
            explanation.clause.iter_mut().for_each(|clause| name_groups(clause, adapter));
            let tokens = tokens.into_iter().map(|token| keys.render(token)).collect();
            Ok((Box::new(explanation), tokens))
        }
    })
}

/// Says which property `same` is about where it is what every fact carries, which only the catalogue
/// knows.
fn name_groups<K: KeyIndex>(judged: &mut Judged, adapter: &Adapter<K>) {
    if judged.clause.get("same").is_some_and(|same| same == "") {
        let name = judged.clause["did"].as_str().unwrap_or_default();
        judged.clause["same"] = json!(adapter.group_property(name));
    }
    judged.clauses.iter_mut().for_each(|inner| name_groups(inner, adapter));
}
