//! ClickHouse against what is expected.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, bail};
use cebe_schemas::time::{Millis, parse_rfc3339};
use cebe_schemas::view::View;
use clickhouse::Client;
use clickhouse::query::BytesCursor;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::checks::{Check, checks, newest};
use super::expect::Expected;
use super::{Comparison, lines};

/// A client and the database.
pub struct Tables<'c> {
    pub runtime: &'c Runtime,
    pub client: &'c Client,
    pub database: &'c str,
}

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

    /// Compares every view as of `at_ms`, and what was told of changes after `since_ms`. Those that show only the newest are compared if nothing
    /// newer has been loaded.
    ///
    /// # Errors
    /// ClickHouse refuses.
    pub fn compare(
        &self,
        expected: &Expected,
        at_ms: Millis,
        now_ms: Millis,
        since_ms: Option<Millis>,
    ) -> anyhow::Result<Vec<Comparison>> {
        let mut comparisons = Vec::new();
        for check in checks(at_ms, now_ms, since_ms) {
            comparisons.push(self.check(expected, &check)?);
        }
        for check in newest(since_ms) {
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
        let Check { name, view, columns, key, from, hidden, after } = check;
        let mut comparison = Comparison::of(format!("view {name}"));
        let from = from.replace("cebe.", &format!("{}.", self.database));
        let sql = format!("SELECT {columns} FROM {from} ORDER BY {}", key.join(", "));
        let mut found = self.rows(&sql).with_context(|| comparison.name.clone())?;
        let mut expected = BufReader::new(File::open(expected.view(view))?).lines();
        lines::compare(
            &mut comparison,
            key,
            &mut || {
                let mut row: Value = loop {
                    let Some(line) = expected.next().transpose()? else { return Ok(None) };
                    let row: Value = serde_json::from_str(&line)?;
                    let time = |column: &str| row[column].as_str().and_then(parse_rfc3339);
                    if after.is_none_or(|(column, after)| time(column) > Some(after)) {
                        break row;
                    }
                };
                if let Some(columns) = row.as_object_mut() {
                    columns.retain(|name, _| !hidden.contains(&name.as_str()));
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

    /// Asks; `cebe.` has to stand for the database already.
    ///
    /// # Errors
    /// ClickHouse refuses.
    pub fn rows(&self, sql: &str) -> anyhow::Result<Rows<'_>> {
        let query = self
            .client
            .query(&sql.replace('?', "??"))
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("date_time_output_format", "iso");
        let cursor = query.fetch_bytes("JSONEachRow")?;
        Ok(Rows { runtime: self.runtime, cursor, lines: VecDeque::new(), rest: Vec::new() })
    }
}

/// The rows of a query, one at a time.
pub struct Rows<'c> {
    runtime: &'c Runtime,
    cursor: BytesCursor,
    lines: VecDeque<Vec<u8>>,
    /// What has come of a line that is not whole.
    rest: Vec<u8>,
}

impl Rows<'_> {
    /// The next row as an object; none at the end.
    ///
    /// # Errors
    /// ClickHouse refuses, or is gone.
    pub fn next(&mut self) -> anyhow::Result<Option<Value>> {
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
