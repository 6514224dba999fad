//! What is in force, as one JSON object.

use cebe_connectors::adapter::Adapter;
use cebe_connectors::key_index::KeyIndex;
use cebe_schemas::control::Settings;
use cebe_schemas::definition::{About, Definitions};
use cebe_schemas::history::Waits;
use serde_json::{Value, json};

/// The definitions that hold for an account, those that wait for history, and the settings, which hold
/// for all. Texts that
/// definitions compare with are masked as those of events are.
pub fn in_force<K: KeyIndex>(adapter: &Adapter<K>, account_id: &str) -> Value {
    let Definitions { segments, metrics, .. } = adapter.resolved(&adapter.control().definitions());
    let segments: Vec<_> = segments
        .iter()
        .filter(|segment| *segment.account_id == *account_id)
        .map(|segment| told("segment_id", &segment.segment_id, segment.version, &segment.about))
        .collect();
    let own = |name: &str| {
        metrics.iter().any(|m| m.account_id.as_deref() == Some(account_id) && *m.metric == *name)
    };
    let metrics: Vec<_> = metrics
        .iter()
        .filter(|metric| match &metric.account_id {
            Some(account) => **account == *account_id,
            None => !own(&metric.metric),
        })
        .map(|metric| told("metric", &metric.metric, metric.version, &metric.about))
        .collect();
    json!({
        "account_id": account_id,
        "segments": segments,
        "metrics": metrics,
        "settings": settings(adapter.control().settings()),
        "waiting": waiting(adapter, account_id),
    })
}

/// Control records that wait for history of this account.
fn waiting<K: KeyIndex>(adapter: &Adapter<K>, account_id: &str) -> Vec<Waits> {
    let mut waiting = adapter.waiting();
    for one in &mut waiting {
        one.definitions.retain(|name| *name.account_id == *account_id);
        one.missing.retain(|lack| *lack.account_id == *account_id);
    }
    waiting.retain(|one| !one.missing.is_empty());
    waiting
}

fn told(name: &str, id: &str, version: u32, about: &About) -> Value {
    let definition: Value = serde_json::from_str(&about.definition).unwrap_or_default();
    json!({
        name: id,
        "version": version,
        "title": about.title,
        "changed_by": about.changed_by,
        "definition": definition,
    })
}

/// Without the block list, whose entries are phone numbers and emails.
fn settings(settings: &Settings) -> Value {
    json!({
        "max_customers_per_identifier": settings.max_customers_per_identifier,
        "max_customers_per_person": settings.max_customers_per_person,
        "dedup_horizon_ms": settings.dedup_horizon_ms,
        "retention_months": settings.retention_months,
        "time_zones": settings.time_zones,
        "strict_sources": settings.strict_sources,
        "hashed_key_sources": settings.hashed_key_sources,
    })
}
