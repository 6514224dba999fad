//! What is compared of ClickHouse: which rows are read, and which they have to equal.

use cebe_schemas::time::{Millis, format_rfc3339};

use super::expect::{EVENT_COLUMNS, events_kept_from};

/// What is read, and which rows it has to equal.
pub(super) struct Check {
    pub name: String,
    /// The file of expected rows.
    pub view: &'static str,
    pub columns: String,
    /// What the rows are sorted by.
    pub key: &'static [&'static str],
    /// What follows FROM; `cebe.` stands for the database.
    pub from: String,
    /// Columns of the expected rows that are not compared.
    pub hidden: &'static [&'static str],
    /// Expected rows are compared only if this column is after this time.
    pub after: Option<(&'static str, Millis)>,
}

const LEDGER: &str = "topic, partition, records_read, accepted, duplicate, rejected, skipped";
const LEDGER_KEY: &[&str] = &["topic", "partition"];
const BACKFILLS: &str = "source_module, job, records_read, accepted, duplicate, rejected, skipped, rejected_by_reason, undone_at";
const BACKFILLS_KEY: &[&str] = &["source_module", "job"];
const RECONCILIATION: &str = "source_module, hour, emitted, read";
const RECONCILIATION_KEY: &[&str] = &["source_module", "hour"];

/// State views: name, columns, key. The plain view is what is newest, `_as_of` what was at T.
const STATES: [(&str, &str, &[&str]); 5] = [
    (
        "identities",
        "account_id, qontak_customer_id, customer_id",
        &["account_id", "qontak_customer_id"],
    ),
    (
        "customers",
        "account_id, customer_id, member_ids, attributes, team_ids, first_seen, last_seen",
        &["account_id", "customer_id"],
    ),
    (
        "segment_members",
        "account_id, segment_id, customer_id, entered_at, definition_version",
        &["account_id", "segment_id", "customer_id"],
    ),
    (
        "metric_values",
        "account_id, metric, group_key, numerator, denominator, rate",
        &["account_id", "metric", "group_key"],
    ),
    (
        "identity_quarantine",
        "account_id, reason, identifier_token, customer_ids",
        &["account_id", "reason", "identifier_token", "customer_ids"],
    ),
];

const DEFINITION_KEY: &[&str] = &["account_id", "id", "valid_from"];

/// A state, where it is read. When a member entered under another logic, nobody can tell.
fn state(
    (view, columns, key): (&'static str, &str, &'static [&'static str]),
    name: String,
    from: String,
    since_ms: Option<Millis>,
) -> Check {
    let check = Check { name, view, columns: columns.into(), key, from, hidden: &[], after: None };
    match (view, since_ms) {
        ("segment_members", Some(_)) => Check {
            columns: key.join(", "),
            hidden: &["entered_at", "definition_version"],
            ..check
        },
        _ => check,
    }
}

/// Every view as of `at_ms`. What was told of changes is compared after `since_ms`.
pub(super) fn checks(at_ms: Millis, now_ms: Millis, since_ms: Option<Millis>) -> Vec<Check> {
    let at = format_rfc3339(at_ms);
    let time = |t: &str| format!("parseDateTime64BestEffort('{t}', 3, 'UTC')");
    let until = |column: &str| format!("{column} <= {}", time(&at));
    let between = |column: &str| match since_ms {
        Some(since) => format!("{column} > {} AND {}", time(&format_rfc3339(since)), until(column)),
        None => until(column),
    };
    let mut checks: Vec<Check> = STATES
        .into_iter()
        .map(|of| {
            let (name, from) =
                (format!("{}_as_of", of.0), format!("cebe.{}_as_of(t = '{at}')", of.0));
            state(of, name, from, since_ms)
        })
        .collect();
    let mut log = |view: &'static str, columns: &str, key: &'static [&'static str], when| {
        let from = format!("cebe.{view} WHERE {}", between(when));
        let (name, columns) = (view.into(), columns.into());
        let after = since_ms.map(|since_ms| (when, since_ms));
        checks.push(Check { name, view, columns, key, from, hidden: &[], after });
    };
    log(
        "segment_changes",
        "account_id, segment_id, customer_id, change, cause, logical_time, definition_version",
        &["logical_time", "account_id", "segment_id", "customer_id"],
        "logical_time",
    );
    log(
        "metric_changes",
        "account_id, metric, group_key, old_numerator, old_denominator, old_rate, new_numerator, \
         new_denominator, new_rate, cause, logical_time",
        &["logical_time", "account_id", "metric", "group_key"],
        "logical_time",
    );
    log(
        "rejected_events",
        "topic, partition, offset, account_id, source_module, event_name, reason, pointer, \
         message, payload, received_at",
        &["topic", "partition", "offset"],
        "received_at",
    );
    let definition = format!(
        "account_id, id, version, title, definition, valid_from, changed_by, \
         if({}, valid_to, NULL) AS valid_to",
        until("valid_to")
    );
    for view in ["segment_definitions", "metric_definitions"] {
        let from = format!("cebe.{view} WHERE {}", until("valid_from"));
        let (columns, key) = (definition.clone(), DEFINITION_KEY);
        checks.push(Check {
            name: view.into(),
            view,
            columns,
            key,
            from,
            hidden: &[],
            after: None,
        });
    }
    let kept = format_rfc3339(events_kept_from(now_ms));
    checks.push(Check {
        name: "events".into(),
        view: "events",
        columns: EVENT_COLUMNS.join(", "),
        key: &["ordinal"],
        from: format!(
            "cebe.events WHERE {} AND (startsWith(event_name, 'customer.') \
             OR startsWith(event_name, 'segment.') \
             OR occurred_at >= parseDateTime64BestEffort('{kept}', 3, 'UTC'))",
            between("logical_time")
        ),
        hidden: &[],
        after: since_ms.map(|since_ms| ("logical_time", since_ms)),
    });
    checks.extend([
        landed("ingest_ledger", LEDGER, LEDGER_KEY, &["difference"], &until("logical_time")),
        landed("backfills", BACKFILLS, BACKFILLS_KEY, &[], &until("logical_time")),
        landed(
            "reconciliation",
            RECONCILIATION,
            RECONCILIATION_KEY,
            &["difference", "status"],
            &until("logical_time"),
        ),
    ]);
    checks
}

/// The newest row of each key that landed while `until` held. A key may have been silent for longer than
/// its landed rows are kept.
fn landed(
    view: &'static str,
    columns: &str,
    key: &'static [&'static str],
    hidden: &'static [&'static str],
    until: &str,
) -> Check {
    let table = match view {
        "ingest_ledger" => "ledger",
        view => view,
    };
    let from = format!(
        "(SELECT * FROM (SELECT {columns}, logical_time FROM cebe.landing_{table} UNION ALL \
         SELECT {columns}, version AS logical_time FROM cebe.state_{table}) \
         WHERE {until} ORDER BY logical_time DESC LIMIT 1 BY {})",
        key.join(", ")
    );
    let name = format!("{view}, as it landed");
    Check { name, view, columns: columns.into(), key, from, hidden, after: None }
}

/// The views that show only the newest.
pub(super) fn newest(since_ms: Option<Millis>) -> Vec<Check> {
    let others: [(&str, &str, &[&str]); 3] = [
        ("backfills", BACKFILLS, BACKFILLS_KEY),
        (
            "ingest_ledger",
            "topic, partition, records_read, accepted, duplicate, rejected, skipped, difference",
            LEDGER_KEY,
        ),
        (
            "reconciliation",
            "source_module, hour, emitted, read, difference, status",
            RECONCILIATION_KEY,
        ),
    ];
    STATES
        .into_iter()
        .chain(others)
        .map(|of| state(of, of.0.into(), format!("cebe.{}", of.0), since_ms))
        .collect()
}
