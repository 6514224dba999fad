//! A year of history beside live events, brought in by a process that is killed on the way.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use cebe_tests::compare::first_difference;
use cebe_tests::oracle::evaluate;
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, put_segment, sources_on};

const ACCOUNT: &str = "year";
const DAY_MS: i64 = 86_400_000;
const CUSTOMERS: i64 = 400;
/// These are seen live too.
const LIVE: i64 = 40;
const LINES: i64 = 6_000;
/// Every so many lines one is older than a year, and one is no event.
const OLD: i64 = 50;
const BROKEN: i64 = 75;

const MAPPING: &str = r#"
event_name = { column = "what" }
schema_version = { const = 1 }
source_module = { const = "broadcast" }
idempotency_key = { column = "id", prefix = "csv-" }
account_id = { const = "year" }
qontak_customer_id = { column = "customer" }
occurred_at = { column = "at", format = "%Y-%m-%d %H:%M:%S", zone = "Asia/Jakarta" }
[properties]
broadcast_id = { column = "broadcast" }
"#;

/// Live events stay as fast as promised, each event counts once, and the end is as if it had always been so.
pub fn ac3_backfill_beside_live(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let segments = [
        json!({"segment_id": "gold", "account_id": ACCOUNT, "when": {"attribute": "tier", "eq": "gold"}}),
        json!({"segment_id": "answers", "account_id": ACCOUNT,
            "when": {"did": "broadcast.replied", "at_least": 2, "within": "200d"}}),
        json!({"segment_id": "silent", "account_id": ACCOUNT, "when": {"not": {"did": "broadcast.sent"}}}),
    ];
    for segment in &segments {
        put_segment(system, segment)?;
    }
    let live = live_events();
    system.publish(&live.iter().map(|one| message("cdp", one.clone())).collect::<Vec<_>>())?;
    let folder = tempfile::tempdir()?;
    let history = history(folder.path(), &live)?;
    let begun_ms = now_ms();
    let stop = AtomicBool::new(false);
    let (job, published) = std::thread::scope(|scope| {
        let others = scope.spawn(|| publish_beside(system, &stop));
        let job = interrupted_job(system, &folder.path().join("*.jsonl").to_string_lossy());
        let second = second_job(system, folder.path());
        stop.store(true, Ordering::Relaxed);
        let published = others.join().map_err(|_| anyhow!("the publisher panicked"))??;
        second?;
        anyhow::Ok((job?, published))
    })?;
    eventually("every live event is there", || {
        let sql =
            "SELECT count() FROM cebe.events WHERE account_id = 'beside' AND backfill_job = ''";
        Ok((system.number(sql)? == published).then_some(()))
    })?;
    let rows = "SELECT job, records_read, accepted, duplicate, rejected, skipped FROM cebe.backfills \
                WHERE source_module = 'cdp' AND job = ";
    let counts = |name: &str| job[name].as_i64().unwrap_or(-1);
    ensure!(job["percent_complete"] == 100.0 && job["difference"] == 0, "{job}");
    ensure!(counts("lines_read") == LINES && counts("too_early") == LINES / OLD, "{job}");
    ensure!(counts("rejected") == LINES / BROKEN && counts("duplicate") == LIVE, "{job}");
    let id = job["job"].as_str().context("no id")?;
    let accepted = LINES - LINES / OLD - LINES / BROKEN - LIVE;
    let row = json!([id, LINES - LINES / OLD, accepted, LIVE, LINES / BROKEN, 0]);
    eventually("the view tells the same", || {
        Ok((system.rows(&format!("{rows}'{id}'"))? == [row.clone()]).then_some(()))
    })?;
    let stored = format!("SELECT count() FROM cebe.events WHERE backfill_job = '{id}'");
    ensure!(system.number(&stored)? as i64 == accepted, "rows of the job");
    let rejects = system.cebe_ok(&["backfill", "rejects", id])?;
    ensure!(rejects.lines().count() as i64 == LINES / BROKEN, "{rejects}");

    let again = system.cebe(&start(&folder.path().join("history.jsonl").to_string_lossy()))?;
    let why = String::from_utf8_lossy(&again.stderr);
    ensure!(!again.status.success() && why.contains(id), "the same input twice: {why}");

    let expected = evaluate(Some(&json!({ "segments": segments })), &history, now_ms());
    eventually("everything is as if it had always been so", || {
        let difference = first_difference(system, ACCOUNT, &expected)?;
        Ok(difference.is_none().then_some(()))
    })
    .with_context(|| format!("{:?}", first_difference(system, ACCOUNT, &expected)))?;
    causes(system)?;
    let slowest = system.number(&format!(
        "SELECT max(p99_ms) FROM cebe.propagation WHERE minute >= \
         toStartOfMinute(fromUnixTimestamp64Milli(toInt64({begun_ms})))"
    ))?;
    ensure!(slowest < 5_000, "p99 of live events: {slowest} ms");
    let profile = "SELECT JSONExtractString(attributes, 'city') FROM cebe.customers \
                   WHERE account_id = 'year' AND customer_id = '3'";
    ensure!(system.rows(profile)? == [json!(["Live"])], "an older value won");
    system.verify()?;
    engine.stop()
}

fn start(from: &str) -> [&str; 9] {
    ["backfill", "start", "--source", "cdp", "--from", from, "--since", "12mo", "--json"]
}

/// Brings the files in with a process that is killed twice and paused once, and returns what the last says.
fn interrupted_job(system: &System, from: &str) -> anyhow::Result<Value> {
    let mut slow = start(from).to_vec();
    slow.extend(["--rate", "400"]);
    let job = kill_on_the_way(system, system.spawn(&slow)?, 0)?;
    let id = job["job"].as_str().context("no id")?.to_owned();
    ensure!(
        job["standing"] == "running" && job["percent_complete"].as_f64() < Some(100.0),
        "{job}"
    );
    let resume = ["backfill", "resume", &id, "--json"];
    let job = kill_on_the_way(system, system.spawn(&resume)?, lines_read(&job))?;

    let mut paused = system.spawn(&resume)?;
    eventually("it goes on", || {
        Ok((lines_read(&newest(system)?) > lines_read(&job)).then_some(()))
    })?;
    system.cebe_ok(&["backfill", "pause", &id])?;
    ensure!(paused.wait()?.success(), "a paused job ends successfully");
    let job = newest(system)?;
    ensure!(job["standing"] == "paused", "{job}");
    let done = system.cebe_ok(&resume)?;
    let over = system.cebe(&["backfill", "cancel", &id])?;
    ensure!(!over.status.success(), "what is over cannot be cancelled");
    Ok(serde_json::from_str(&done)?)
}

/// The newest job; null if there is none.
fn newest(system: &System) -> anyhow::Result<Value> {
    let list = system.cebe_ok(&["backfill", "list", "--json"])?;
    list.lines().next().map_or(Ok(Value::Null), |line| Ok(serde_json::from_str(line)?))
}

fn lines_read(job: &Value) -> u64 {
    job["lines_read"].as_u64().unwrap_or_default()
}

/// Kills the process once the job has read more than `before`, and returns the job.
fn kill_on_the_way(system: &System, mut child: Child, before: u64) -> anyhow::Result<Value> {
    let read_more = || Ok(Some(newest(system)?).filter(|job| lines_read(job) > before));
    let outcome = eventually("some lines are read", read_more);
    ensure!(child.try_wait()?.is_none(), "it ended before it was killed");
    child.kill()?;
    child.wait()?;
    outcome?;
    newest(system)
}

/// A table of another source, by a mapping.
fn second_job(system: &System, folder: &Path) -> anyhow::Result<()> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (csv, mapping) = (path("sent.csv"), path("sent.toml"));
    let done = system.cebe_ok(&[
        "backfill",
        "start",
        "--source",
        "broadcast",
        "--from",
        &csv,
        "--mapping",
        &mapping,
        "--json",
    ])?;
    let done: Value = serde_json::from_str(&done)?;
    ensure!(done["accepted"] == 2 * CUSTOMERS && done["standing"] == "done", "{done}");
    Ok(())
}

/// What happened live, before the job.
fn live_events() -> Vec<Value> {
    let now_ms = now_ms();
    let update = |customer: i64| {
        let mut event = event(
            ACCOUNT,
            "cdp",
            "customer.updated",
            &format!("live-{customer}"),
            &customer.to_string(),
        );
        event["occurred_at"] = json!(now_ms);
        event["properties"] = json!({"city": "Live"});
        event
    };
    (0..LIVE).map(update).collect()
}

/// Writes the files, and returns every line that counts, those that were live first.
fn history(folder: &Path, live: &[Value]) -> anyhow::Result<Vec<String>> {
    let now_ms = now_ms();
    let mut counting: Vec<String> = live.iter().map(Value::to_string).collect();
    let mut lines: Vec<String> = Vec::new();
    for n in 0..LINES - LIVE {
        let is_old = n % OLD == 7 && n / OLD < LINES / OLD;
        let age_ms = if is_old { 400 * DAY_MS } else { (n * 7_919 % 350) * DAY_MS + n * 1_000 };
        let customer = (n * 31 % CUSTOMERS).to_string();
        let mut event = event(ACCOUNT, "cdp", "customer.updated", &format!("old-{n}"), &customer);
        event["occurred_at"] = json!(now_ms - age_ms);
        let tier = if n % 3 == 0 { "gold" } else { "silver" };
        event["properties"] = json!({"city": "Depok", "tier": tier});
        let line = event.to_string();
        match n {
            n if !is_old && n % BROKEN == 3 => lines.push(line[..line.len() - 2].to_owned()),
            _ if is_old => lines.push(line),
            _ => {
                counting.push(line.clone());
                lines.push(line);
            }
        }
    }
    lines.extend(live.iter().map(Value::to_string));
    std::fs::write(folder.join("history.jsonl"), lines.join("\n"))?;
    let mut csv = "id,what,customer,broadcast,at\n".to_owned();
    for customer in 0..CUSTOMERS {
        for (what, hours) in [("sent", 0), ("replied", customer % 100)] {
            let at_ms = now_ms - (customer % 300) * DAY_MS - 100 * 3_600_000 + hours * 3_600_000;
            let utc = cebe_schemas::time::format_rfc3339(at_ms + 7 * 3_600_000);
            let local = utc[..19].replace('T', " ");
            let broadcast = customer % 5;
            writeln!(csv, "{customer}-{what},broadcast.{what},{customer},b{broadcast},{local}")?;
            let key = format!("csv-{customer}-{what}");
            let name = format!("broadcast.{what}");
            let mut event = event(ACCOUNT, "broadcast", &name, &key, &customer.to_string());
            event["occurred_at"] = json!(at_ms / 1_000 * 1_000);
            event["properties"] = json!({"broadcast_id": format!("b{broadcast}")});
            counting.push(event.to_string());
        }
    }
    std::fs::write(folder.join("sent.csv"), csv)?;
    std::fs::write(folder.join("sent.toml"), MAPPING)?;
    Ok(counting)
}

/// Whoever is only in the history entered by it; a subscriber can tell.
fn causes(system: &System) -> anyhow::Result<()> {
    let sql = |which: &str| {
        format!(
            "SELECT DISTINCT cause FROM cebe.segment_changes WHERE account_id = 'year' AND \
             toUInt32(customer_id) {which} {LIVE} ORDER BY cause"
        )
    };
    let only: BTreeSet<String> = system.rows(&sql(">="))?.iter().map(Value::to_string).collect();
    ensure!(only == BTreeSet::from(["[\"backfill\"]".to_owned()]), "{only:?}");
    let mixed = system.rows(&sql("<"))?;
    ensure!(mixed.contains(&json!(["event"])) && mixed.contains(&json!(["backfill"])), "{mixed:?}");
    Ok(())
}

/// Publishes other customers' live events until `stop`, and says how many.
fn publish_beside(system: &System, stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let (key, customer) = (format!("live-{n}"), (n % 50).to_string());
        let event = event("beside", "cdp", "customer.updated", &key, &customer);
        system.publish(&[message("cdp", event)])?;
        n += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(n)
}
