//! Customers: found by an identifier, and the rates that they count in.

use std::sync::Arc;

use cebe_connectors::adapter::Adapter;
use cebe_connectors::key_index::KeyIndex;
use cebe_dataflow::Dataflow;
use cebe_query::desk::{CountsIn, Refusal};
use cebe_schemas::identifier::identify;

/// The canonical ids of the persons that hold an identifier.
///
/// # Errors
/// The dataflow failed.
pub fn find<K: KeyIndex>(
    adapter: &Adapter<K>,
    dataflow: &mut Dataflow,
    [account_id, kind, value]: [&str; 3],
) -> anyhow::Result<Result<Vec<Arc<str>>, Refusal>> {
    let Some(identifier) = identify(adapter.token_keys(), account_id, kind, value) else {
        let detail = format!("{kind} is none: it is not valid, or stands for an unknown value");
        return Ok(Err(Refusal::Invalid(detail)));
    };
    Ok(Ok(dataflow.find(identifier.token)?))
}

/// The rates that the person of a customer counts in.
///
/// # Errors
/// The dataflow failed.
pub fn counts_in<K: KeyIndex>(
    adapter: &Adapter<K>,
    dataflow: &mut Dataflow,
    [account_id, customer_id]: [&str; 2],
) -> anyhow::Result<Result<Vec<CountsIn>, Refusal>> {
    let customer = adapter.token_keys().id_key().subject(account_id, customer_id);
    let Some(counts) = dataflow.counts_in(customer)? else {
        let detail = format!("account {account_id} has no customer {customer_id}");
        return Ok(Err(Refusal::Unknown(detail)));
    };
    let told = |count: cebe_dataflow::CountsIn| CountsIn {
        metric: count.metric,
        group_key: count.group_key,
        in_numerator: count.in_numerator,
    };
    Ok(Ok(counts.into_iter().map(told).collect()))
}
