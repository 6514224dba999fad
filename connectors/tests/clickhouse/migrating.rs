//! Cases of migrations.

use anyhow::ensure;
use cebe_connectors::migrate::{MIGRATIONS, MigrateError, migrate};

use crate::services::{Place, Services};

pub async fn is_idempotent(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "idempotent");
    let client = services.client(&services.url);
    let first = migrate(&client, &place.database).await?;
    ensure!(first.applied.len() == MIGRATIONS.len() && first.unchanged == 0, "{first:?}");
    let second = migrate(&client, &place.database).await?;
    ensure!(second.applied.is_empty() && second.unchanged == MIGRATIONS.len(), "{second:?}");
    // Cut short after its statements: applied again as a whole.
    place.execute("DELETE FROM schema_migrations WHERE version > 2").await?;
    let third = migrate(&client, &place.database).await?;
    ensure!(third.applied.len() == MIGRATIONS.len() - 2, "{third:?}");
    place.drop_database().await
}

pub async fn many_at_once_agree(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "at_once");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (client, database) = (services.client(&services.url), place.database.clone());
        tasks.spawn(async move { migrate(&client, &database).await });
    }
    while let Some(report) = tasks.join_next().await {
        report??;
    }
    let applied = (1..=MIGRATIONS.len()).map(|version| format!("[{version}]")).collect();
    place.expect("SELECT version FROM schema_migrations FINAL", applied).await?;
    place.drop_database().await
}

pub async fn changed_migration_is_refused(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "changed");
    place.migrate().await?;
    place
        .execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (3, 'x', 'y')")
        .await?;
    let result = migrate(&services.client(&services.url), &place.database).await;
    ensure!(matches!(result, Err(MigrateError::Changed { .. })), "{result:?}");
    place.drop_database().await
}

/// Parameterised views have no columns in the catalogue: their own comment names them.
pub async fn everything_is_commented(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "comments");
    place.migrate().await?;
    let tables =
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''";
    place.expect(tables, Vec::new()).await?;
    let columns = "SELECT table, name FROM system.columns WHERE database = currentDatabase()
        AND comment = '' AND table NOT IN (SELECT name FROM system.tables
            WHERE database = currentDatabase() AND engine = 'MaterializedView')";
    place.expect(columns, Vec::new()).await?;
    for (view, columns) in VIEWS {
        let sql = format!("SELECT {columns} FROM {view}");
        place.expect(&sql, Vec::new()).await?;
    }
    place.drop_database().await
}

const DEFINITION: &str =
    "account_id, id, version, title, definition, valid_from, changed_by, valid_to";

const RESOLVED: &str = "account_id, customer_id, qontak_customer_id, event_name, source_module, team_id, occurred_at, \
     received_at, properties, payload, schema_version, idempotency_key, identifier_tokens, \
     backfill_job, ordinal, is_erased";

/// The names that analysts use.
const VIEWS: [(&str, &str); 24] = [
    ("resolved_events", RESOLVED),
    ("resolved_events_as_of(t = now64())", RESOLVED),
    (
        "events",
        "account_id, team_id, source_module, event_name, schema_version, idempotency_key, \
         qontak_customer_id, occurred_at, received_at, ingested_at, properties, payload, \
         identifier_tokens, topic, partition, offset, logical_time, ordinal",
    ),
    ("identities", "account_id, qontak_customer_id, customer_id"),
    (
        "segment_members",
        "account_id, segment_id, customer_id, entered_at, definition_version, complete_through, \
         is_stale",
    ),
    (
        "segment_changes",
        "account_id, segment_id, customer_id, change, cause, logical_time, definition_version",
    ),
    (
        "metric_values",
        "account_id, metric, group_key, numerator, denominator, rate, complete_through, is_stale",
    ),
    (
        "metric_changes",
        "account_id, metric, group_key, old_numerator, old_denominator, old_rate, new_numerator, \
         new_denominator, new_rate, cause, logical_time",
    ),
    (
        "rejected_events",
        "topic, partition, offset, account_id, source_module, event_name, reason, pointer, \
         message, payload, received_at",
    ),
    (
        "ingest_ledger",
        "topic, partition, records_read, accepted, duplicate, rejected, skipped, difference",
    ),
    ("reconciliation", "source_module, hour, emitted, read, difference, status"),
    (
        "customers",
        "account_id, customer_id, member_ids, attributes, team_ids, first_seen, last_seen, \
         complete_through, is_stale",
    ),
    ("identity_quarantine", "account_id, reason, identifier_token, customer_ids"),
    ("segment_definitions", DEFINITION),
    ("metric_definitions", DEFINITION),
    ("skipped_ranges", "topic, partition, from_offset, to_offset, logical_time"),
    ("propagation", "source_module, minute, events, p50_ms, p99_ms, max_ms"),
    ("frontier", "view, complete_through, committed_at"),
    ("identities_as_of(t = now64())", "account_id, qontak_customer_id, customer_id"),
    (
        "customers_as_of(t = now64())",
        "account_id, customer_id, member_ids, attributes, team_ids, first_seen, last_seen",
    ),
    (
        "identity_quarantine_as_of(t = now64())",
        "account_id, reason, identifier_token, customer_ids",
    ),
    ("quarantine_as_of(t = now64())", "account_id, reason, identifier_token, customer_ids"),
    (
        "segment_members_as_of(t = now64())",
        "account_id, segment_id, customer_id, entered_at, definition_version",
    ),
    (
        "metric_values_as_of(t = now64())",
        "account_id, metric, group_key, numerator, denominator, rate",
    ),
];
