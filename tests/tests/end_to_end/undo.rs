//! A backfill that was a mistake, taken out again while the engine dies.

use anyhow::{Context, ensure};
use cebe_dev::demo::Message;
use cebe_tests::compare::first_difference;
use cebe_tests::oracle::evaluate;
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, put_segment, sources_on};

const ACCOUNT: &str = "undo";
const CUSTOMERS: i64 = 30;
/// The job's; the first of them are seen live too, before it and after it.
const LINES: i64 = 400;
const SEEN_BEFORE: i64 = 40;
const SEEN_AFTER: std::ops::Range<i64> = 100..160;

fn segments() -> [Value; 3] {
    let gold = json!([{"property": "tier", "eq": "gold"}]);
    [
        json!({"segment_id": "gold", "account_id": ACCOUNT, "when": {"attribute": "mark", "eq": "gold"}}),
        json!({"segment_id": "answers", "account_id": ACCOUNT,
            "when": {"did": "broadcast.replied", "at_least": 3, "within": "200d"}}),
        // It comes after the job, and reads its events.
        json!({"segment_id": "told", "account_id": ACCOUNT,
            "when": {"did": "customer.updated", "at_least": 2, "where": gold}}),
    ]
}

/// What the job says of event `n`, and what is true of it.
fn update(n: i64, tier: &str, happened_ms: i64) -> Value {
    let customer = (n % CUSTOMERS).to_string();
    let mut update = event(ACCOUNT, "cdp", "customer.updated", &format!("u{n}"), &customer);
    update["occurred_at"] = json!(happened_ms);
    update["properties"] = json!({"tier": tier, "phone": format!("0812{:08}", n % 200)});
    if tier != "true" {
        update["properties"]["mark"] = json!(tier);
    }
    update
}

/// The job's lines, of which some merge, one erases, and one is broken.
fn mistaken(now_ms: i64) -> Vec<String> {
    let mut lines: Vec<String> = (0..LINES)
        .map(|n| {
            update(n, if n % 2 == 0 { "gold" } else { "wrong" }, now_ms - n * 60_000).to_string()
        })
        .collect();
    for n in 0..5 {
        let mut merged = event(ACCOUNT, "cdp", "customer.merged", &format!("m{n}"), &n.to_string());
        merged["properties"] = json!({"into": (n + 5).to_string()});
        lines.push(merged.to_string());
    }
    let mut erased = event(ACCOUNT, "cdp", "customer.erased", "e", "29");
    erased["occurred_at"] = json!(now_ms - 500);
    lines.push(erased.to_string());
    lines.push("no event".into());
    lines
}

fn replies(part: &str) -> Vec<Value> {
    let reply = |customer: i64| {
        let key = format!("{part}{customer}");
        let mut reply =
            event(ACCOUNT, "broadcast", "broadcast.replied", &key, &customer.to_string());
        reply["properties"] = json!({"broadcast_id": "b"});
        reply
    };
    (0..CUSTOMERS).map(reply).collect()
}

/// Publishes events live, in order, and notes them.
fn publish(system: &System, events: Vec<Value>, lines: &mut Vec<String>) -> anyhow::Result<()> {
    lines.extend(events.iter().map(Value::to_string));
    let sent = |event: Value| match event["source_module"] == "cdp" {
        true => message("cdp", event),
        false => message("broadcast", event),
    };
    let messages: Vec<Message> = events.into_iter().map(sent).collect();
    system.publish(&messages)
}

fn equals(system: &System, lines: &[String], what: &str) -> anyhow::Result<()> {
    let definitions = json!({"segments": segments()});
    let expected = evaluate(Some(&definitions), lines, now_ms());
    eventually(what, || Ok(first_difference(system, ACCOUNT, &expected)?.is_none().then_some(())))
        .with_context(|| format!("{what}: {:?}", first_difference(system, ACCOUNT, &expected)))
}

fn start(file: &str) -> [&str; 7] {
    ["backfill", "start", "--source", "cdp", "--from", file, "--json"]
}

/// What a job has brought is gone as if it had never come, other jobs and live events stay, and the same
/// file can be brought in again.
pub fn a_backfill_is_undone(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let [gold, answers, told] = segments();
    put_segment(system, &gold)?;
    put_segment(system, &answers)?;
    let begun_ms = now_ms();
    let mut lines = Vec::new();
    let live = |ordinals: std::ops::Range<i64>| {
        ordinals.map(|n| update(n, "true", begun_ms - n * 60_000)).collect::<Vec<_>>()
    };
    publish(system, [live(0..SEEN_BEFORE), replies("a")].concat(), &mut lines)?;
    equals(system, &lines, "what is live is there")?;

    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (mistake, other) = (path("mistake.jsonl"), path("other.jsonl"));
    let wrong = mistaken(begun_ms);
    std::fs::write(&mistake, wrong.join("\n"))?;
    let job: Value = serde_json::from_str(&system.cebe_ok(&start(&mistake))?)?;
    let id = job["job"].as_str().context("no id")?;
    ensure!(job["standing"] == "done" && job["duplicate"] == SEEN_BEFORE, "{job}");

    let history: Vec<String> = replies("b").iter().map(Value::to_string).collect();
    std::fs::write(&other, history.join("\n"))?;
    let from = ["backfill", "start", "--source", "broadcast", "--from", &other, "--json"];
    system.cebe_ok(&from)?;
    put_segment(system, &told)?;
    // Live copies of what the job had brought: duplicates, for now.
    publish(system, [live(SEEN_AFTER), replies("c")].concat(), &mut lines)?;
    let together: Vec<String> = [&lines[..70], &wrong, &history, &lines[70..]].concat();
    equals(system, &together, "the job counts")?;

    let mut undo = system.spawn(&["backfill", "undo", id, "--json"])?;
    eventually("the engine begins to undo", || {
        Ok(engine.log().contains("undoing: the log is worked through").then_some(()))
    })?;
    engine.kill()?;
    let engine = system.engine()?;
    ensure!(undo.wait()?.success(), "undoing failed: {}", engine.log_tail());
    ensure!(engine.log().contains("is_beside=true"), "live events waited: {}", engine.log_tail());

    eventually("the tables know", || {
        let undone = format!("cebe.backfills WHERE job = '{id}' AND undone_at IS NOT NULL");
        let loaded = format!(
            "SELECT countIf(complete_through >= (SELECT undone_at FROM {undone})) FROM cebe.frontier"
        );
        let all = "SELECT count() FROM cebe.frontier";
        Ok((system.number(&loaded)? == system.number(all)?).then_some(()))
    })?;
    lines.extend(history);
    // It was said, and what it took is gone.
    lines.push(wrong[wrong.len() - 2].clone());
    equals(system, &lines, "the job never was")?;
    publish(system, [live(0..200), replies("d")].concat(), &mut lines)?;
    equals(system, &lines, "it goes on")?;
    told_why(system, id)?;

    let again: Value = serde_json::from_str(&system.cebe_ok(&start(&mistake))?)?;
    let known = 200 + 1;
    ensure!(again["standing"] == "done" && again["duplicate"] == known, "{again}");
    lines.extend(wrong);
    equals(system, &lines, "the file is in again")?;
    system.verify()?;
    engine.stop()
}

/// Subscribers hear of each change, and that a backfill was the reason; operators, that it is undone.
fn told_why(system: &System, id: &str) -> anyhow::Result<()> {
    let status: Value =
        serde_json::from_str(&system.cebe_ok(&["backfill", "status", id, "--json"])?)?;
    ensure!(status["standing"] == "undone" && status["difference"] == 0, "{status}");
    let rows = format!("SELECT count() FROM cebe.events WHERE backfill_job = '{id}'");
    ensure!(system.number(&rows)? == 1, "only the erasure is left");
    let marked = format!("SELECT count() FROM cebe.undone_events WHERE backfill_job = '{id}'");
    ensure!(system.number(&marked)? == status["accepted"].as_u64().unwrap_or(0) - 1, "marked rows");
    let exits = format!(
        "SELECT DISTINCT cause FROM cebe.segment_changes WHERE account_id = '{ACCOUNT}' AND segment_id = 'gold' \
         AND change = 'exited' AND logical_time = (SELECT undone_at FROM cebe.backfills WHERE job = '{id}')"
    );
    ensure!(system.rows(&exits)? == [json!(["backfill"])], "{:?}", system.rows(&exits)?);
    let refused = system.cebe(&["backfill", "resume", id])?;
    ensure!(!refused.status.success(), "what is undone cannot be resumed");
    Ok(())
}
