//! The rows that ClickHouse holds of a cut, counted, and what the ledger and the reconciliation say.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cebe_schemas::time::parse_rfc3339;
use serde_json::Value;

use super::Place;
use super::cut::Cut;
use super::records::Hour;
use crate::verify::views::Tables;

/// What ClickHouse holds.
#[derive(Debug, Default)]
pub struct Stored {
    /// The ledger at the cut.
    pub ledger: BTreeMap<Place, Entry>,
    /// Partitions of which newer rows of the ledger have been loaded.
    pub newer: BTreeSet<Place>,
    /// Rows of events that are to be kept, also of backfills that were undone.
    pub events: BTreeMap<Place, u64>,
    /// Events whose retention is over, as they were noted when they came.
    pub expired: BTreeMap<Place, u64>,
    /// Rows of records that were rejected, likewise.
    pub rejected: BTreeMap<Place, u64>,
    /// Offsets in `skipped_ranges`.
    pub skipped: BTreeMap<Place, u64>,
    /// The reconciliation at the cut.
    pub hours: BTreeMap<Hour, (Option<u64>, u64)>,
    /// Hours of which newer rows have been loaded.
    pub newer_hours: BTreeSet<Hour>,
}

/// What the ledger says of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub records_read: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub skipped: u64,
}

const LEDGER: &str = "topic, partition, records_read, accepted, duplicate, rejected, skipped";

impl Stored {
    /// Asks for everything through the cut.
    ///
    /// # Errors
    /// ClickHouse refuses.
    pub fn read(tables: &Tables<'_>, cut: &Cut) -> anyhow::Result<Stored> {
        // One day for all questions: that by which ClickHouse deletes.
        let today = tables.rows("SELECT toString(today()) AS today")?.next()?;
        let today = today.as_ref().and_then(|row| row["today"].as_str()).context("no day")?;
        let until = format!("fromUnixTimestamp64Milli(toInt64({}), 'UTC')", cut.through_ms);
        let asked = Asked { tables, until, today };
        let mut stored = Stored::default();
        asked.ledger(&mut stored)?;
        asked.hours(&mut stored)?;
        stored.events = asked.events()?;
        stored.expired = asked.expired(cut)?;
        stored.rejected = asked.counts(
            "count()",
            &format!("landing_rejected FINAL WHERE received_at <= {}", asked.until),
        )?;
        stored.skipped = asked.counts(
            "sum(to_offset - from_offset)",
            &format!("skipped_ranges WHERE logical_time <= {}", asked.until),
        )?;
        Ok(stored)
    }
}

/// How ClickHouse is asked.
struct Asked<'t, 'c> {
    tables: &'t Tables<'c>,
    /// The cut, in SQL.
    until: String,
    today: &'t str,
}

impl Asked<'_, '_> {
    /// The newest rows are those that everybody sees; those at the cut, where there are newer ones.
    fn at_cut(&self, columns: &str, table: &str, key: &str) -> String {
        let until = &self.until;
        format!(
            "SELECT * FROM (SELECT {columns}, version AS at, 1 AS is_newest
                 FROM $.state_{table} FINAL
                 UNION ALL SELECT {columns}, logical_time AS at, 0 AS is_newest
                 FROM $.landing_{table} FINAL)
             WHERE at <= {until} ORDER BY at DESC, is_newest DESC LIMIT 1 BY {key}"
        )
    }

    fn ledger(&self, stored: &mut Stored) -> anyhow::Result<()> {
        self.each(&self.at_cut(LEDGER, "ledger", "topic, partition"), |row| {
            let entry = Entry {
                records_read: number(row, "records_read"),
                accepted: number(row, "accepted"),
                duplicate: number(row, "duplicate"),
                rejected: number(row, "rejected"),
                skipped: number(row, "skipped"),
            };
            stored.ledger.insert(place(row), entry);
            Ok(())
        })?;
        let newer = format!("SELECT * FROM $.state_ledger FINAL WHERE version > {}", self.until);
        self.each(&newer, |row| {
            stored.newer.insert(place(row));
            Ok(())
        })
    }

    fn hours(&self, stored: &mut Stored) -> anyhow::Result<()> {
        let columns = "source_module, hour, emitted, read";
        self.each(&self.at_cut(columns, "reconciliation", "source_module, hour"), |row| {
            let counted = (row["emitted"].as_u64(), number(row, "read"));
            stored.hours.insert(hour(row)?, counted);
            Ok(())
        })?;
        let newer =
            format!("SELECT * FROM $.state_reconciliation FINAL WHERE version > {}", self.until);
        self.each(&newer, |row| {
            stored.newer_hours.insert(hour(row)?);
            Ok(())
        })
    }

    fn events(&self) -> anyhow::Result<BTreeMap<Place, u64>> {
        let Asked { until, today, .. } = self;
        self.counts(
            "count()",
            &format!(
                "landing_events FINAL WHERE received_at <= {until} AND (startsWith(event_name, 'customer.')
                     OR startsWith(event_name, 'segment.')
                     OR toDate(occurred_at) + INTERVAL 24 MONTH + INTERVAL 1 DAY > toDate('{today}'))"
            ),
        )
    }

    /// `events` deletes rows when it gets round to it. Which are due, was noted when they came.
    fn expired(&self, cut: &Cut) -> anyhow::Result<BTreeMap<Place, u64>> {
        let due = format!("state_event_expiry WHERE expires_on <= toDate('{}')", self.today);
        let mut expired = self.counts("groupBitmapMerge(offsets)", &due)?;
        for (place, count) in &mut expired {
            // Later ones may have been noted by now.
            let Some(bound) = cut.partitions.get(place) else { continue };
            let sql = format!(
                "SELECT bitmapCardinality(bitmapSubsetInRange(groupBitmapMergeState(offsets),
                     toUInt64(0), toUInt64({}))) AS count
                 FROM $.{due} AND topic = '{}' AND partition = {}",
                bound.to, place.0, place.1
            );
            self.each(&sql, |row| {
                *count = number(row, "count");
                Ok(())
            })?;
        }
        Ok(expired)
    }

    /// One count a partition. `of` is what follows `FROM $.`.
    fn counts(&self, what: &str, of: &str) -> anyhow::Result<BTreeMap<Place, u64>> {
        let sql = format!(
            "SELECT topic, partition, {what} AS count FROM $.{of} GROUP BY topic, partition"
        );
        let mut counts = BTreeMap::new();
        self.each(&sql, |row| {
            counts.insert(place(row), number(row, "count"));
            Ok(())
        })?;
        Ok(counts)
    }

    fn each(
        &self,
        sql: &str,
        mut take: impl FnMut(&Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let sql = sql.replace("$.", &format!("{}.", self.tables.database));
        let mut rows = self.tables.rows(&sql)?;
        while let Some(row) = rows.next()? {
            take(&row)?;
        }
        Ok(())
    }
}

fn place(row: &Value) -> Place {
    let topic = row["topic"].as_str().unwrap_or_default();
    (topic.into(), row["partition"].as_i64().unwrap_or_default() as i32)
}

fn hour(row: &Value) -> anyhow::Result<Hour> {
    let hour = row["hour"].as_str().and_then(parse_rfc3339).context("reconciliation: no hour")?;
    Ok((row["source_module"].as_str().unwrap_or_default().to_owned(), hour))
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_default()
}
