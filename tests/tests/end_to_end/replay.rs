//! `cebe replay`: what was left out counts later, at the time it happened.

use anyhow::ensure;
use cebe_schemas::time::format_rfc3339;
use cebe_tests::compare::verdicts;
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, read_through, records_read, sources_on};

const DAY_MS: i64 = 86_400_000;

/// Runs `cebe replay` over what has arrived since `from_ms`; selected, replayed, gone.
fn replay(system: &System, arguments: &[&str], from_ms: i64) -> anyhow::Result<[u64; 3]> {
    let (from, to) = (format_rfc3339(from_ms), format_rfc3339(now_ms() + DAY_MS));
    let all = [&["replay"], arguments, &["--json", "--from", &from, "--to", &to]].concat();
    let summary: Value = serde_json::from_str(&system.cebe_ok(&all)?)?;
    Ok(["selected", "replayed", "gone"].map(|name| summary[name].as_u64().unwrap_or(u64::MAX)))
}

/// A source that was off is turned on, and its events are taken in at their original time.
pub fn skipped_events_are_replayed(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = (records_read(system)?, verdicts(system)?);
    system.cebe_ok(&["source", "off", "ads"])?;
    let from_ms = now_ms();
    let occurred_ms = from_ms - 2 * DAY_MS;
    let clicks = ["k1", "k2", "k3"].map(|key| {
        let mut click = event("skipped", "ads", "ad.clicked", key, key);
        click["occurred_at"] = json!(occurred_ms);
        click["properties"] = json!({"campaign_id": "c"});
        message("ads", click)
    });
    system.publish(&clicks)?;
    read_through(system, before.0 + 3)?;
    let events = "SELECT count(), toString(min(toUnixTimestamp64Milli(occurred_at))), \
                  toString(max(toUnixTimestamp64Milli(occurred_at))) \
                  FROM cebe.events WHERE account_id = 'skipped'";
    ensure!(system.rows(events)?[0][0] == 0, "taken in while it was off");

    let which = ["--skipped", "--source", "ads"];
    let (from, to) = (format_rfc3339(from_ms), format_rfc3339(from_ms + DAY_MS));
    let period = ["--from", &from, "--to", &to];
    let refused = system.cebe(&[&["replay"], &which[..], &period].concat())?;
    let why = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && why.contains("cebe source on ads"), "{why}");
    system.cebe_ok(&["source", "on", "ads"])?;
    let dry = replay(system, &[&which[..], &["--dry-run"]].concat(), from_ms)?;
    ensure!(dry == [3, 3, 0], "{dry:?}");
    ensure!(records_read(system)? == before.0 + 3, "a dry run published");

    let done = replay(system, &which, from_ms)?;
    ensure!(done == [3, 3, 0], "{done:?}");
    read_through(system, before.0 + 6)?;
    let occurred = occurred_ms.to_string();
    let rows = system.rows(events)?;
    ensure!(rows == [json!([3, occurred, occurred])], "{rows:?}");
    // Once more: nothing counts twice.
    let again = replay(system, &which, from_ms)?;
    ensure!(again == [3, 3, 0], "{again:?}");
    read_through(system, before.0 + 9)?;
    let mut expected = before.1;
    for verdict in ["skipped", "accepted", "duplicate"] {
        *expected.entry(verdict.to_owned()).or_default() += 3;
    }
    let found = verdicts(system)?;
    ensure!(found == expected, "{found:?}, not {expected:?}");
    engine.stop()
}

/// The retention is raised, and what was too old for the one before is accepted.
pub fn rejected_events_are_replayed(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = (records_read(system)?, verdicts(system)?);
    let from_ms = now_ms();
    let mut created = event("rejected", "cdp", "customer.created", "k", "1");
    created["occurred_at"] = json!(from_ms - 900 * DAY_MS);
    created["properties"] = json!({"city": "Jakarta"});
    let mut other = event("rejected-other", "cdp", "customer.created", "k", "1");
    other["occurred_at"] = json!(from_ms - 900 * DAY_MS);
    system.publish(&[message("cdp", created), message("cdp", other)])?;
    read_through(system, before.0 + 2)?;
    let which = ["--rejected", "--reason", "too_old", "--account", "rejected"];
    let none = replay(system, &["--rejected", "--reason", "oversized"], from_ms)?;
    ensure!(none == [0, 0, 0], "{none:?}");

    // The segment shows when the record is in force.
    let segment = json!({
        "segment_id": "anyone", "account_id": "rejected", "version": 4, "title": "Anyone",
        "when": {"did": "customer.created"},
    });
    system.control(&json!({
        "settings": {"retention_months": 36}, "segments": [segment], "changed_by": "a test",
    }))?;
    let defined = "SELECT id, version, title, changed_by, valid_to FROM cebe.segment_definitions \
                   WHERE account_id = 'rejected'";
    eventually("the setting is in force", || {
        let rows = system.rows(defined)?;
        Ok((rows == [json!(["anyone", 4, "Anyone", "a test", null])]).then_some(()))
    })?;
    let done = replay(system, &which, from_ms)?;
    ensure!(done == [1, 1, 0], "{done:?}");
    read_through(system, before.0 + 3)?;
    system.control(&json!({"settings": {"retention_months": 24}}))?;
    let rows = system.rows(
        "SELECT account_id, dateDiff('day', occurred_at, received_at) FROM cebe.events \
         WHERE startsWith(account_id, 'rejected')",
    )?;
    ensure!(rows == [json!(["rejected", 900])], "{rows:?}");
    let profile = "SELECT customer_id, JSONExtractString(attributes, 'city') \
                   FROM cebe.customers WHERE account_id = 'rejected'";
    eventually("the profile is there", || {
        Ok((system.rows(profile)? == [json!(["1", "Jakarta"])]).then_some(()))
    })?;
    let mut expected = before.1;
    *expected.entry("too_old".to_owned()).or_default() += 2;
    *expected.entry("accepted".to_owned()).or_default() += 1;
    let found = verdicts(system)?;
    ensure!(found == expected, "{found:?}, not {expected:?}");
    engine.stop()
}
