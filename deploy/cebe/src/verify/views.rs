//! ClickHouse against what is expected.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, bail};
use cebe_schemas::time::{Millis, format_rfc3339, parse_rfc3339};
use cebe_schemas::view::View;
use clickhouse::Client;
use clickhouse::query::BytesCursor;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::expect::{EVENT_COLUMNS, Expected, events_kept_from};
use super::{Comparison, lines};

/// A client and the database.
pub struct Tables<'c> {
    pub runtime: &'c Runtime,
    pub client: &'c Client,
    pub database: &'c str,
}

/// What is read, and which rows it has to equal.
struct Check {
    name: String,
    /// The file of expected rows.
    view: &'static str,
    columns: String,
    /// What the rows are sorted by.
    key: &'static [&'static str],
    /// What follows FROM; `cebe.` stands for the database.
    from: String,
}

const LEDGER: &str = "topic, partition, records_read, accepted, duplicate, rejected, skipped";

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

impl Tables<'_> {
    /// The greatest T through which every feed is loaded.
    ///
    /// # Errors
    /// ClickHouse refuses, or a feed has not been loaded at all.
    pub fn complete_through(&self) -> anyhow::Result<Millis> {
        let sql = format!(
            "SELECT view, complete_through AS through FROM {}.frontier ORDER BY view",
            self.database
        );
        let mut rows = self.rows(&sql)?;
        let mut through = Vec::new();
        while let Some(row) = rows.next()? {
            let name = row["view"].as_str().unwrap_or_default().to_owned();
            through.push((name, row["through"].as_str().and_then(parse_rfc3339)));
        }
        for view in View::ALL {
            if !through.iter().any(|(name, t_ms)| name == view.name() && t_ms.is_some()) {
                bail!("clickhouse has not loaded the feed {} yet: wait for it", view.name());
            }
        }
        through.into_iter().filter_map(|(_, t_ms)| t_ms).min().context("frontier is empty")
    }

    /// Compares every view as of `at_ms`. Those that show only the newest are compared if nothing
    /// newer has been loaded.
    ///
    /// # Errors
    /// ClickHouse refuses.
    pub fn compare(
        &self,
        expected: &Expected,
        at_ms: Millis,
        now_ms: Millis,
    ) -> anyhow::Result<Vec<Comparison>> {
        let mut comparisons = Vec::new();
        for check in checks(at_ms, now_ms) {
            comparisons.push(self.check(expected, &check)?);
        }
        for check in newest() {
            let comparison = self.check(expected, &check)?;
            comparisons.push(match self.complete_through()? == at_ms {
                true => comparison,
                false => Comparison {
                    note: Some("not compared: newer rows have been loaded meanwhile".into()),
                    ..Comparison::of(comparison.name)
                },
            });
        }
        Ok(comparisons)
    }

    fn check(&self, expected: &Expected, check: &Check) -> anyhow::Result<Comparison> {
        let Check { name, view, columns, key, from } = check;
        let mut comparison = Comparison::of(format!("view {name}"));
        let from = from.replace("cebe.", &format!("{}.", self.database));
        let sql = format!("SELECT {columns} FROM {from} ORDER BY {}", key.join(", "));
        let mut found = self.rows(&sql).with_context(|| comparison.name.clone())?;
        let mut expected = BufReader::new(File::open(expected.view(view))?).lines();
        let ledger_without_difference = *view == "ingest_ledger" && *columns == LEDGER;
        lines::compare(
            &mut comparison,
            key,
            &mut || {
                let Some(line) = expected.next().transpose()? else { return Ok(None) };
                let mut row: Value = serde_json::from_str(&line)?;
                if let Some(columns) = row.as_object_mut().filter(|_| ledger_without_difference) {
                    columns.remove("difference");
                }
                Ok(Some(row))
            },
            &mut || {
                let Some(mut row) = found.next()? else { return Ok(None) };
                // A JSON object as text.
                let attributes = row.get("attributes").and_then(Value::as_str);
                if let Some(read) = attributes.and_then(|text| serde_json::from_str(text).ok()) {
                    row["attributes"] = read;
                }
                Ok(Some(row))
            },
        )
        .with_context(|| format!("view {name}"))?;
        Ok(comparison)
    }

    fn rows(&self, sql: &str) -> anyhow::Result<Rows<'_>> {
        let query = self
            .client
            .query(&sql.replace('?', "??"))
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("date_time_output_format", "iso");
        let cursor = query.fetch_bytes("JSONEachRow")?;
        Ok(Rows { runtime: self.runtime, cursor, lines: VecDeque::new(), rest: Vec::new() })
    }
}

fn checks(at_ms: Millis, now_ms: Millis) -> Vec<Check> {
    let at = format_rfc3339(at_ms);
    let until = |column: &str| format!("{column} <= parseDateTime64BestEffort('{at}', 3, 'UTC')");
    let mut checks: Vec<Check> = STATES
        .iter()
        .map(|(view, columns, key)| Check {
            name: format!("{view}_as_of"),
            view,
            columns: (*columns).into(),
            key,
            from: format!("cebe.{view}_as_of(t = '{at}')"),
        })
        .collect();
    let mut log = |view: &'static str, columns: &str, key: &'static [&'static str], when: &str| {
        let from = format!("cebe.{view} WHERE {}", until(when));
        checks.push(Check { name: view.into(), view, columns: columns.into(), key, from });
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
    log("segment_definitions", &definition, DEFINITION_KEY, "valid_from");
    log("metric_definitions", &definition, DEFINITION_KEY, "valid_from");
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
            until("logical_time")
        ),
    });
    // A partition may have been silent for longer than its landed rows are kept.
    let versions = format!(
        "SELECT {LEDGER}, logical_time FROM cebe.landing_ledger UNION ALL \
         SELECT {LEDGER}, version AS logical_time FROM cebe.state_ledger"
    );
    let newest = "ORDER BY logical_time DESC LIMIT 1 BY topic, partition";
    checks.push(Check {
        name: "ingest_ledger, as it landed".into(),
        view: "ingest_ledger",
        columns: LEDGER.into(),
        key: &["topic", "partition"],
        from: format!("(SELECT * FROM ({versions}) WHERE {} {newest})", until("logical_time")),
    });
    checks
}

fn newest() -> Vec<Check> {
    let ledger: (&str, &str, &[&str]) = (
        "ingest_ledger",
        "topic, partition, records_read, accepted, duplicate, rejected, skipped, difference",
        &["topic", "partition"],
    );
    STATES
        .into_iter()
        .chain([ledger])
        .map(|(view, columns, key)| Check {
            name: view.into(),
            view,
            columns: columns.into(),
            key,
            from: format!("cebe.{view}"),
        })
        .collect()
}

/// The rows of a query, one at a time.
struct Rows<'c> {
    runtime: &'c Runtime,
    cursor: BytesCursor,
    lines: VecDeque<Vec<u8>>,
    /// What has come of a line that is not whole.
    rest: Vec<u8>,
}

impl Rows<'_> {
    fn next(&mut self) -> anyhow::Result<Option<Value>> {
        while self.lines.is_empty() {
            let Some(bytes) = self.runtime.block_on(self.cursor.next())? else {
                if self.rest.is_empty() {
                    return Ok(None);
                }
                self.lines.push_back(std::mem::take(&mut self.rest));
                break;
            };
            for part in bytes.split_inclusive(|byte| *byte == b'\n') {
                self.rest.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    self.lines.push_back(std::mem::take(&mut self.rest));
                }
            }
        }
        let Some(line) = self.lines.pop_front() else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&line)?))
    }
}
