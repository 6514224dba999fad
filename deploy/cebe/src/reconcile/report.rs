//! The outcome, as a table and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use cebe_schemas::time::format_rfc3339;
use serde_json::{Map, Value, json};

use super::Place;
use super::compare::{Check, Of, What};
use super::cut::Cut;

/// The columns of the table.
const COLUMNS: [(What, &str); 5] = [
    (What::Records, "records"),
    (What::Sum, "sum"),
    (What::Accepted, "accepted"),
    (What::Rejected, "rejected"),
    (What::Skipped, "skipped"),
];

/// For people: a table of partitions, the hours of each source, and what is not as it should be.
pub fn text(cut: &Cut, checks: &[Check]) -> String {
    let mut out = String::new();
    let through = format_rfc3339(cut.through_ms);
    out += &format!("through {through}, {} bindings\n\n", cut.bindings);
    table(&mut out, checks);
    hours(&mut out, checks);
    let (different, unchecked) = (differences(checks), unchecked(checks));
    for (title, lines) in [("Different", &different), ("Not checked", &unchecked)] {
        if !lines.is_empty() {
            out += &format!("\n{title}:\n  {}\n", lines.join("\n  "));
        }
    }
    let verdict = if different.is_empty() { "equal" } else { "different" };
    out += &format!("\n{verdict}\n");
    out
}

/// For programs.
pub fn json(cut: &Cut, checks: &[Check]) -> Value {
    let differences = differences(checks);
    let all: Vec<Value> = checks
        .iter()
        .map(|check| {
            let mut object = Map::new();
            match &check.of {
                Of::Partition((topic, partition)) => {
                    object.insert("topic".into(), json!(topic));
                    object.insert("partition".into(), json!(partition));
                }
                Of::Hour((source, hour)) => {
                    object.insert("source_module".into(), json!(source));
                    object.insert("hour".into(), json!(format_rfc3339(*hour)));
                }
            }
            object.insert("check".into(), json!(check.what.name()));
            object.insert("counted".into(), json!(check.counted));
            object.insert("engine".into(), json!(check.said));
            object.insert("status".into(), json!(status(check)));
            let why = check.unchecked.as_ref().map(|unchecked| &unchecked.why);
            object.insert("not_checked".into(), json!(why));
            Value::Object(object)
        })
        .collect();
    json!({
        "through": format_rfc3339(cut.through_ms), "bindings": cut.bindings,
        "equal": differences.is_empty(), "differences": differences,
        "not_checked": unchecked(checks), "checks": all,
    })
}

fn status(check: &Check) -> &'static str {
    match (check.differs(), check.is_checked()) {
        (true, _) => "different",
        (false, true) => "equal",
        (false, false) => "unknown",
    }
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Records => "records",
            What::Sum => "sum",
            What::Accepted => "accepted",
            What::Rejected => "rejected",
            What::Skipped => "skipped",
            What::Read => "read",
            What::Emitted => "emitted",
        }
    }

    /// Who counted, and what the engine calls it.
    fn sides(self) -> (&'static str, &'static str) {
        match self {
            What::Records => ("records in kafka", "ingest_ledger.records_read"),
            What::Sum => ("verdicts in ingest_ledger", "ingest_ledger.records_read"),
            What::Accepted => ("rows of events, with those expired", "ingest_ledger.accepted"),
            What::Rejected => ("rows of rejected_events", "ingest_ledger.rejected"),
            What::Skipped => ("offsets in skipped_ranges", "ingest_ledger.skipped"),
            What::Read => ("records in kafka", "reconciliation.read"),
            What::Emitted => ("the last count in cebe.counts", "reconciliation.emitted"),
        }
    }
}

fn table(out: &mut String, checks: &[Check]) {
    let mut partitions: BTreeMap<&Place, Vec<&Check>> = BTreeMap::new();
    for check in checks {
        if let Of::Partition(place) = &check.of {
            partitions.entry(place).or_default().push(check);
        }
    }
    let width = partitions.keys().map(|(topic, _)| topic.len() + 4).max().unwrap_or(0);
    let names: String = COLUMNS.iter().map(|(_, name)| format!(" {name:>17}")).collect();
    *out += &format!("{:width$}{names}\n", "");
    for (place, checks) in partitions {
        *out += &format!("{:width$}", of_partition(place));
        for (what, _) in COLUMNS {
            let cell = checks.iter().find(|check| check.what == what).map(|check| cell(check));
            *out += &format!(" {:>17}", cell.unwrap_or_default());
        }
        out.push('\n');
    }
}

/// The number, `counted ≠ said`, or with a `?` where it cannot be told.
fn cell(check: &Check) -> String {
    let (counted, said) = (number(check.counted), number(check.said));
    match status(check) {
        "different" => format!("{counted} ≠ {said}"),
        "equal" => said,
        _ => format!("{said} ?"),
    }
}

fn hours(out: &mut String, checks: &[Check]) {
    let mut sources: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for check in checks {
        if let (Of::Hour((source, _)), What::Read) = (&check.of, check.what) {
            let counts = sources.entry(source).or_default();
            counts[0] += 1;
            counts[1] += u64::from(status(check) == "equal");
            counts[2] += check.said.unwrap_or_default();
        }
    }
    if !sources.is_empty() {
        out.push_str("\nreconciliation\n");
    }
    for (source, [hours, equal, read]) in sources {
        *out += &format!("{source}: {hours} hours, {read} records, {equal} hours counted alike\n");
    }
}

/// What differs, in words.
pub fn differences(checks: &[Check]) -> Vec<String> {
    let words = |check: &Check| {
        let (counted, said) = check.what.sides();
        format!(
            "{} {}: {} {counted}, {} in {said}",
            place(&check.of),
            check.what.name(),
            number(check.counted),
            number(check.said)
        )
    };
    checks.iter().filter(|check| check.differs()).map(words).collect()
}

/// What could not be checked, in words; of the hours of a source once.
fn unchecked(checks: &[Check]) -> Vec<String> {
    let words = |check: &Check| {
        let of = match &check.of {
            Of::Hour((source, _)) => source.clone(),
            of => place(of),
        };
        let why = &check.unchecked.as_ref()?.why;
        Some(format!("{of} {}: {why}", check.what.name()))
    };
    let mut lines: Vec<String> = checks.iter().filter_map(words).collect();
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

fn place(of: &Of) -> String {
    match of {
        Of::Partition(place) => of_partition(place),
        Of::Hour((source, hour)) => format!("{source} {}", format_rfc3339(*hour)),
    }
}

fn of_partition((topic, partition): &Place) -> String {
    format!("{topic}/{partition}")
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}
