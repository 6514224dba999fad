//! Each feed keeps what the subscribers' guide promises: order, numbers, counts, and changes that join.

use std::collections::BTreeMap;

use anyhow::Context;
use cebe_schemas::time::parse_rfc3339;
use cebe_schemas::view::{PROGRESS_TOPIC, View};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Check;
use crate::reading::{self, Record};

/// A record of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub partition: i32,
    pub offset: i64,
    /// The record's time, which has to be the row's logical time.
    pub timestamp: i64,
    /// A JSON array.
    pub key: String,
    pub value: Value,
}

/// A record of `cebe.out.progress`.
#[derive(Clone, Debug, Deserialize)]
pub struct Progress {
    pub through: String,
    binding: u64,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    view: View,
    partition: i32,
    count: u64,
}

/// The feed of a view.
pub fn read(brokers: &str, view: View) -> anyhow::Result<Vec<Row>> {
    let row = |Record { partition, offset, timestamp, key, payload }| {
        let value = serde_json::from_slice(&payload).with_context(|| view.topic())?;
        Ok(Row { partition, offset, timestamp, key, value })
    };
    reading::read(brokers, &view.topic())?.into_iter().map(row).collect()
}

pub fn read_progress(brokers: &str) -> anyhow::Result<Vec<Progress>> {
    let parse = |record: Record| serde_json::from_slice(&record.payload).context(PROGRESS_TOPIC);
    reading::read(brokers, PROGRESS_TOPIC)?.into_iter().map(parse).collect()
}

impl Progress {
    pub fn through_ms(&self) -> i64 {
        time(&self.through)
    }
}

fn time(text: &str) -> i64 {
    parse_rfc3339(text).unwrap_or(-1)
}

/// T goes up, and no binding is left out.
pub fn progress(records: &[Progress]) -> Check {
    let mut check = Check::of("feed progress");
    check.compared = records.len() as u64;
    for pair in records.windows(2) {
        let (last, next) = (pair[0].binding, pair[1].binding);
        match next.cmp(&(last + 1)) {
            std::cmp::Ordering::Less => check.doubled(format!("binding {next} after {last}")),
            std::cmp::Ordering::Greater => check.lost(format!("binding {next} after {last}")),
            std::cmp::Ordering::Equal if pair[1].through_ms() <= pair[0].through_ms() => {
                check.disordered(format!("binding {next}: T does not go up"));
            }
            std::cmp::Ordering::Equal => {}
        }
    }
    check
}

/// Everything about the feed of one view.
pub fn feed(view: View, rows: &[Row], progress: &[Progress]) -> Check {
    let mut check = Check::of(format!("feed {}", view.name()));
    check.compared = rows.len() as u64;
    for partition in rows.chunk_by(|a, b| a.partition == b.partition) {
        numbers(&mut check, partition);
    }
    counts(&mut check, view, rows, progress);
    join(&mut check, view, rows);
    check
}

/// T does not go back, and the rows of a T are numbered from 0 without a gap.
fn numbers(check: &mut Check, partition: &[Row]) {
    let (mut last_t, mut next) = (i64::MIN, 0);
    for row in partition {
        let place = || format!("partition {} offset {}", row.partition, row.offset);
        let t = row.value["logical_time"].as_str().map_or(-1, time);
        if t != row.timestamp {
            check.disordered(format!("{}: its time is not its row's", place()));
        }
        if t < last_t {
            check.disordered(format!("{}: T goes back", place()));
        }
        if t != last_t {
            (last_t, next) = (t, 0);
        }
        let seq = row.value["seq"].as_u64().unwrap_or(u64::MAX);
        match seq.cmp(&next) {
            std::cmp::Ordering::Less => check.doubled(format!("{}: seq {seq} again", place())),
            std::cmp::Ordering::Greater => {
                check.lost(format!("{}: seq {seq} instead of {next}", place()));
            }
            std::cmp::Ordering::Equal => {}
        }
        next = seq.saturating_add(1);
    }
}

/// As many rows as the progress records say, by tick and partition.
fn counts(check: &mut Check, view: View, rows: &[Row], progress: &[Progress]) {
    let mut left: BTreeMap<(usize, i32), i64> = BTreeMap::new();
    for (tick, record) in progress.iter().enumerate() {
        for entry in record.entries.iter().filter(|entry| entry.view == view) {
            *left.entry((tick, entry.partition)).or_default() += entry.count as i64;
        }
    }
    let through: Vec<i64> = progress.iter().map(Progress::through_ms).collect();
    for row in rows {
        // A tick may hold rows of the wake-ups since the one before.
        let tick = through.partition_point(|t| *t < row.timestamp);
        let place = format!("partition {} offset {}", row.partition, row.offset);
        match left.get_mut(&(tick, row.partition)) {
            None => check.invented(format!("{place}: no progress record counts it")),
            Some(count) => *count -= 1,
        }
    }
    for ((tick, partition), count) in left {
        let what = format!("partition {partition} of binding {}", progress[tick].binding);
        (0..count).for_each(|_| check.lost(format!("{what} has rows less than announced")));
        (count..0).for_each(|_| check.doubled(format!("{what} has rows more than announced")));
    }
}

/// What a change starts from is what the change before it under that key left.
fn join(check: &mut Check, view: View, rows: &[Row]) {
    let mut state: BTreeMap<&str, Value> = BTreeMap::new();
    for row in rows {
        let Some((before, after)) = change(view, &row.value) else { continue };
        let last = state.insert(&row.key, after).or_else(|| none(view));
        if last.as_ref() != Some(&before) {
            let last = last.unwrap_or_default();
            let (key, partition, offset) = (&row.key, row.partition, row.offset);
            check.lost(format!(
                "partition {partition} offset {offset}: {key} is {before} before, and was left {last}"
            ));
        }
    }
}

/// What a view says under a key when there is nothing; none: it is no state.
pub fn none(view: View) -> Option<Value> {
    Some(match view {
        View::Identities => json!([""]),
        View::Customers => json!([[], {}, []]),
        View::Seen => json!([null, null]),
        View::Segments | View::Quarantine => json!(false),
        View::Metrics => json!([0, 0, null]),
        View::Events | View::Erasures | View::Definitions | View::Rejected => return None,
        View::Ledger | View::Reconciliation | View::Backfills => return None,
    })
}

/// What was before a row, and what is after it.
pub fn change(view: View, row: &Value) -> Option<(Value, Value)> {
    let fields = |names: &[&str]| names.iter().map(|name| row[*name].clone()).collect::<Value>();
    Some(match view {
        View::Identities => (fields(&["old_customer_id"]), fields(&["customer_id"])),
        View::Customers => (
            fields(&["old_member_ids", "old_attributes", "old_team_ids"]),
            fields(&["member_ids", "attributes", "team_ids"]),
        ),
        View::Seen => {
            (fields(&["old_first_seen", "old_last_seen"]), fields(&["first_seen", "last_seen"]))
        }
        View::Segments => {
            let entered = row["change"] == "entered";
            (json!(!entered), json!(entered))
        }
        View::Quarantine => (json!(row["deleted"] == 1), json!(row["deleted"] == 0)),
        View::Metrics => (
            fields(&["old_numerator", "old_denominator", "old_rate"]),
            fields(&["new_numerator", "new_denominator", "new_rate"]),
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
