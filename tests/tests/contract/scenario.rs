//! Stories of product §4–§6 that real systems got wrong, told in lines and answered by hand.
//!
//! A file `scenarios/<name>.txt` holds, above `---`, what is defined and what happens in November
//! 2026, in account `a`:
//!
//! ```text
//! segment ID WHEN      metric DEFINITION      settings SETTINGS      (JSON, in force from the beginning)
//! TIME EVENT CUSTOMER [property=value …]      at= when it happened, key=, team=, id.TYPE= an identifier
//! TIME control RECORD
//! now TIME
//! ```
//!
//! `20T10:00` is a time, `-` no customer. Below `---` are answers. Of each kind that is mentioned,
//! every row is: `change`, `member`, `person`, `quarantine`, `ledger`; of `rate` and `restated`, the
//! metrics mentioned; of `attribute`, the customers mentioned, but for personal ones. `none KIND` says
//! that there are none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::world::Case;
use super::{answers, write};

/// 2026-11-01T00:00:00Z.
const NOVEMBER_MS: i64 = 1_793_491_200_000;

struct Scenario {
    case: Case,
    expected: BTreeSet<String>,
}

fn time(text: &str) -> i64 {
    let (day, clock) = text.split_once('T').expect(text);
    let mut ms = (day.parse::<i64>().expect(text) - 1) * 86_400_000;
    for (part, unit_ms) in clock.split([':', '.']).zip([3_600_000, 60_000, 1000, 1]) {
        ms += part.parse::<i64>().expect(text) * unit_ms;
    }
    NOVEMBER_MS + ms
}

/// The other way around, with what is 0 at the end left out.
fn short(rfc3339: &Value) -> String {
    let time: jiff::Timestamp = rfc3339.as_str().expect("a time").parse().expect("a time");
    let ms = time.as_millisecond() - NOVEMBER_MS;
    let (day, of_day) = (ms / 86_400_000 + 1, ms % 86_400_000);
    let mut text = format!("{day:02}T{:02}:{:02}", of_day / 3_600_000, of_day / 60_000 % 60);
    if of_day % 60_000 != 0 {
        text += &format!(":{:02}", of_day / 1000 % 60);
    }
    if of_day % 1000 != 0 {
        text += &format!(".{:03}", of_day % 1000);
    }
    text
}

fn parse(text: &str) -> Scenario {
    let (story, answers) = text.split_once("\n---\n").expect("a line ---");
    let (mut segments, mut metrics) = (Vec::new(), Vec::new());
    let (mut settings, mut lines, mut at) = (json!({}), Vec::new(), 0);
    let json = |text: &str| serde_json::from_str::<Value>(text).expect(text);
    for line in story.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').expect(line);
        match word {
            "segment" => {
                let (id, when) = rest.split_once(' ').expect(line);
                segments.push(json!({"segment_id": id, "account_id": "a", "when": json(when)}));
            }
            "metric" => metrics.push(json(rest)),
            "settings" => settings = json(rest),
            "now" => at = time(rest),
            _ => lines.push(happens(time(word), rest, lines.len()).to_string()),
        }
    }
    let definitions = json!({"segments": segments, "metrics": metrics, "settings": settings});
    let expected = answers.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Scenario { case: Case { definitions, lines, at }, expected }
}

fn happens(t: i64, what: &str, number: usize) -> Value {
    if let Some(record) = what.strip_prefix("control ") {
        let record: Value = serde_json::from_str(record).expect(record);
        return json!({"received_at": t, "control": record});
    }
    let mut words = what.split(' ');
    let name = words.next().expect(what);
    let source = match name.split('.').next() {
        Some("customer" | "segment") => "cdp",
        Some("broadcast") => "broadcast",
        _ => "ads",
    };
    let mut event = json!({"received_at": t, "occurred_at": t, "event_name": name,
        "source_module": source, "schema_version": 1, "account_id": "a",
        "idempotency_key": format!("k{number:03}")});
    match words.next().expect(what) {
        "-" => {}
        customer => event["qontak_customer_id"] = customer.into(),
    }
    let (mut properties, mut identifiers) = (Map::new(), Vec::new());
    for (field, text) in words.map(|word| word.split_once('=').expect(what)) {
        match (field, field.strip_prefix("id.")) {
            (_, Some(kind)) => identifiers.push(json!({"type": kind, "value": text})),
            ("at", _) => event["occurred_at"] = json!(time(text)),
            ("key", _) => event["idempotency_key"] = text.into(),
            ("team", _) => event["team_id"] = text.into(),
            _ => {
                let is_text = ["into", "from", "phone"].contains(&field);
                let number = text.parse::<i64>().ok().filter(|_| !is_text);
                properties.insert(field.into(), number.map_or(text.into(), Value::from));
            }
        }
    }
    event["properties"] = properties.into();
    event["identifiers"] = identifiers.into();
    event
}

/// Every row as a line of a scenario.
fn told(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let rows = |view: &str| -> Vec<Value> {
        files[view].lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let text = |row: &Value, column: &str| row[column].as_str().expect(column).to_owned();
    let ids = |row: &Value, column: &str| -> String {
        let ids = row[column].as_array().expect(column).iter();
        ids.map(|id| id.as_str().expect("an id")).collect::<Vec<_>>().join(" ")
    };
    let mut told = BTreeSet::new();
    told.extend(rows("segment_changes").iter().map(|row| {
        let columns = ["segment_id", "customer_id", "change", "cause"].map(|c| text(row, c));
        format!("change {} {}", short(&row["logical_time"]), columns.join(" "))
    }));
    told.extend(
        rows("segment_members")
            .iter()
            .map(|row| format!("member {} {}", text(row, "segment_id"), text(row, "customer_id"))),
    );
    for row in rows("customers") {
        told.insert(format!("person {} {}", text(&row, "customer_id"), ids(&row, "member_ids")));
        let attributes = row["attributes"].as_object().expect("attributes").iter();
        let plain =
            attributes.filter(|(name, _)| !["phone", "email", "name"].contains(&name.as_str()));
        told.extend(plain.map(|(name, value)| {
            let value = value.as_str().map_or(value.to_string(), str::to_owned);
            format!("attribute {} {name}={value}", text(&row, "customer_id"))
        }));
    }
    told.extend(
        rows("identity_quarantine")
            .iter()
            .map(|row| format!("quarantine {} {}", text(row, "reason"), ids(row, "customer_ids"))),
    );
    let of_group = |row: &Value| format!("{} {}", text(row, "metric"), text(row, "group_key"));
    told.extend(
        rows("metric_values").iter().map(|row| {
            format!("rate {} {}/{}", of_group(row), row["numerator"], row["denominator"])
        }),
    );
    told.extend(rows("metric_changes").iter().map(|row| {
        let value = |of: &str| {
            format!("{}/{}", row[format!("{of}_numerator")], row[format!("{of}_denominator")])
        };
        let (time, cause) = (short(&row["logical_time"]), text(row, "cause"));
        format!("restated {time} {} {} -> {} {cause}", of_group(row), value("old"), value("new"))
    }));
    let sum = |column: &str| -> u64 {
        rows("ingest_ledger").iter().map(|row| row[column].as_u64().expect(column)).sum()
    };
    let sums = ["accepted", "duplicate", "rejected", "skipped"].map(|c| sum(c).to_string());
    told.insert(format!("ledger {}", sums.join(" ")));
    told
}

/// What tells the lines apart that belong together: the kind, and the metric or the customer.
fn topic(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["rate", metric, ..] => format!("rate {metric}"),
        ["restated", _, metric, ..] => format!("restated {metric}"),
        ["attribute", customer, ..] => format!("attribute {customer}"),
        _ => words[0].to_owned(),
    }
}

fn check(path: &Path) -> Vec<String> {
    let Scenario { case, expected } = parse(&fs::read_to_string(path).expect("a scenario"));
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &case);
    let files = answers(folder.path(), case.at, "1");
    for workers in ["2", "3"] {
        assert_eq!(answers(folder.path(), case.at, workers), files, "{}", path.display());
    }
    let none = |line: &&String| line.starts_with("none ");
    let topics: BTreeSet<String> = expected
        .iter()
        .map(|line| line.strip_prefix("none ").map_or_else(|| topic(line), str::to_owned))
        .collect();
    let expected: BTreeSet<String> = expected.iter().filter(|line| !none(line)).cloned().collect();
    let mut found = told(&files);
    found.retain(|line| topics.contains(&topic(line)));
    let missing = expected.difference(&found).map(|line| format!("missing: {line}"));
    let too_much = found.difference(&expected).map(|line| format!("too much: {line}"));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut wrong: Vec<_> = missing.chain(too_much).map(|line| format!("{name}: {line}")).collect();
    // The oracle is held against the answers as well, through the engine's.
    wrong.extend(
        super::unequal(&case, &files).into_iter().map(|text| format!("{name}: oracle: {text}")),
    );
    wrong
}

#[test]
fn every_story_ends_as_it_should() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/contract/scenarios");
    let files = fs::read_dir(folder).expect("scenarios").map(|file| file.expect("a file").path());
    let all: Vec<Vec<String>> = files.map(|path| check(&path)).collect();
    assert!(all.len() >= 12, "only {} scenarios", all.len());
    let wrong = all.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
