//! A backfill on whose way everything dies once.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use cebe_tests::compare::first_difference;
use cebe_tests::oracle::evaluate;
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, sources_on};

const ACCOUNT: &str = "survive";
/// At 100 a second, so many that the job is not done before everything has died.
const LINES: i64 = 3_500;
const CUSTOMERS: i64 = 200;
const DOWN: Duration = Duration::from_secs(2);

fn sent(key: &str, n: i64, ago_ms: i64) -> Value {
    let name = if n % 2 == 0 { "broadcast.sent" } else { "broadcast.replied" };
    let customer = (n / 2 % CUSTOMERS).to_string();
    let mut sent = event(ACCOUNT, "broadcast", name, &format!("{key}{n}"), &customer);
    sent["occurred_at"] = json!(now_ms() - ago_ms);
    sent["properties"] = json!({"broadcast_id": format!("b{}", n / 2 % 9)});
    sent
}

/// Publishes until `stop`, and returns what.
fn publish_beside(system: &System, stop: &AtomicBool) -> anyhow::Result<Vec<String>> {
    let mut published = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let event = sent("live", n, 0);
        published.push(event.to_string());
        system.publish(&[message("broadcast", event)])?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(published)
}

/// The newest job, once its process has read `more` lines than before.
fn reads_on(system: &System, more: u64) -> anyhow::Result<Value> {
    let newest = || -> anyhow::Result<Value> {
        let list = system.cebe_ok(&["backfill", "list", "--json"])?;
        Ok(list.lines().next().map_or(Ok(Value::Null), serde_json::from_str)?)
    };
    let read = |job: &Value| job["lines_read"].as_u64().unwrap_or_default();
    let before = read(&newest()?);
    eventually("it reads on", || Ok(Some(newest()?).filter(|job| read(job) >= before + more)))
}

fn spawn(system: &System, arguments: &[&str]) -> anyhow::Result<Child> {
    system.spawn(&[&["backfill"], arguments].concat())
}

/// The engine, ClickHouse, Kafka and the job's own process die one after the other, and nothing is lost, and
/// nothing there twice.
pub fn a_backfill_survives(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sent.jsonl");
    let history: Vec<String> =
        (0..LINES).map(|n| sent("past", n, (LINES - n) * 3_600_000 / 2).to_string()).collect();
    std::fs::write(&file, history.join("\n"))?;
    let from = file.to_string_lossy();
    let stop = AtomicBool::new(false);
    let options = system.services.options();
    let (engine, id, live) = thread::scope(|scope| {
        let live = scope.spawn(|| publish_beside(system, &stop));
        let work = || -> anyhow::Result<_> {
            let start = ["start", "--source", "broadcast", "--from", &from, "--rate", "100"];
            let mut job = spawn(system, &start)?;
            reads_on(system, 50)?;
            cebe_dev::clickhouse::kill(options)?;
            thread::sleep(DOWN);
            cebe_dev::clickhouse::start(options)?;
            reads_on(system, 50)?;
            engine.kill()?;
            let engine = system.engine()?;
            reads_on(system, 50)?;
            cebe_dev::kafka::kill(options)?;
            thread::sleep(DOWN);
            cebe_dev::kafka::start(options)?;
            let standing = reads_on(system, 50)?;
            ensure!(job.try_wait()?.is_none(), "it ended by itself: {standing}");
            job.kill()?;
            job.wait()?;
            let id = standing["job"].as_str().context("no id")?.to_owned();
            let done = system.cebe_ok(&["backfill", "resume", &id, "--json"])?;
            ensure!(serde_json::from_str::<Value>(&done)?["accepted"] == LINES, "{done}");
            Ok((engine, id))
        };
        let worked = work();
        stop.store(true, Ordering::Relaxed);
        let live = live.join().map_err(|_| anyhow!("the publisher panicked"))??;
        let (engine, id) = worked?;
        anyhow::Ok((engine, id, live))
    })?;
    let status: Value =
        serde_json::from_str(&system.cebe_ok(&["backfill", "status", &id, "--json"])?)?;
    ensure!(status["difference"] == 0 && status["duplicate"] == 0, "{status}");
    let all = [history, live].concat();
    let expected = evaluate(None, &all, now_ms());
    eventually("everything is there", || {
        Ok(first_difference(system, ACCOUNT, &expected)?.is_none().then_some(()))
    })
    .with_context(|| format!("{:?}", first_difference(system, ACCOUNT, &expected)))?;
    system.verify()?;
    engine.stop()
}
