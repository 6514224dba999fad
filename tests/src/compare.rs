//! Tables against the oracle.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde_json::Value;

use crate::oracle::Views;
use crate::system::System;

/// Views and columns in which it does not show when a record was taken in.
pub const COMPARED: [(&str, &[&str]); 4] = [
    ("events", &["account_id", "source_module", "idempotency_key"]),
    ("identities", &["account_id", "qontak_customer_id", "customer_id"]),
    ("segment_members", &["account_id", "segment_id", "customer_id"]),
    ("metric_values", &["account_id", "metric", "group_key", "numerator", "denominator"]),
];

/// The first difference between the tables of accounts that begin with `prefix` and what the oracle
/// says, in words; none if they are equal.
///
/// # Errors
/// ClickHouse refuses, or a row is there twice.
pub fn first_difference(
    system: &System,
    prefix: &str,
    expected: &Views,
) -> anyhow::Result<Option<String>> {
    for (view, columns) in COMPARED {
        let sql = format!(
            "SELECT {} FROM cebe.{view} WHERE startsWith(account_id, '{prefix}')",
            columns.join(", ")
        );
        // As text, since JSON values have no order.
        let rows: Vec<String> = system.rows(&sql)?.iter().map(Value::to_string).collect();
        let mut found = BTreeSet::new();
        for row in rows {
            ensure!(found.insert(row.clone()), "{view}: {row} is there twice");
        }
        let expected: BTreeSet<String> =
            expected.table(view, columns).iter().map(Value::to_string).collect();
        if let Some(row) = expected.difference(&found).next() {
            return Ok(Some(format!("{view}: no {row}")));
        }
        if let Some(row) = found.difference(&expected).next() {
            return Ok(Some(format!("{view}: {row} is too much")));
        }
    }
    Ok(None)
}

/// The ledger and the reasons of rejection, over everything ever read.
///
/// # Errors
/// ClickHouse refuses, or the ledger does not add up.
pub fn verdicts(system: &System) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut verdicts = BTreeMap::new();
    let sums = "sum(accepted) a, sum(duplicate) b, sum(skipped) c, sum(abs(difference)) d";
    for row in system.rows(&format!("SELECT {sums} FROM cebe.ingest_ledger"))? {
        ensure!(number(&row, 3) == 0, "the ledger has a difference: {row}");
        for (at, name) in ["accepted", "duplicate", "skipped"].into_iter().enumerate() {
            verdicts.insert(name.into(), number(&row, at));
        }
    }
    let reasons = "SELECT reason, count() n FROM cebe.rejected_events GROUP BY reason";
    for row in system.rows(reasons)? {
        verdicts.insert(row[0].as_str().unwrap_or_default().into(), number(&row, 1));
    }
    verdicts.retain(|_, n| *n > 0);
    Ok(verdicts)
}

fn number(row: &Value, at: usize) -> u64 {
    row[at].as_u64().unwrap_or_default()
}
