//! Subscribers over HTTP that are killed, and keep an exact copy all the same.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use cebe_dev::demo::Message;
use cebe_tests::system::{Engine, System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, put_segment, sources_on};

const ACCOUNT: &str = "followed";
const SEGMENT: &str = "lately";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/segment_copy.py");
const KILLS: usize = 6;

fn subscriber(engine: &Engine, file: &Path) -> anyhow::Result<Child> {
    let mut python = Command::new("python3");
    let python = python.arg(EXAMPLE).arg(engine.url()).args([ACCOUNT, SEGMENT]).arg(file);
    python.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("python3 does not start")
}

/// Follows until the copy in `file` has changed, and for `more` after that; then it is killed.
fn keep(engine: &Engine, file: &Path, more: Duration) -> anyhow::Result<()> {
    let mut child = subscriber(engine, file)?;
    let kept = std::fs::read(file).unwrap_or_default();
    let begun = eventually("the subscriber goes on", || {
        let now = std::fs::read(file).unwrap_or_default();
        Ok((!now.is_empty() && now != kept).then_some(()))
    });
    thread::sleep(more);
    child.kill()?;
    child.wait()?;
    begun
}

/// Those who reply are in it, for a second.
fn put_lately(system: &System) -> anyhow::Result<()> {
    let segment = json!({"segment_id": SEGMENT, "account_id": ACCOUNT,
        "when": {"did": "broadcast.replied", "within": "1s"}});
    put_segment(system, &segment)
}

fn reply(key: &str, customer: u64) -> Message {
    let replied = event(ACCOUNT, "broadcast", "broadcast.replied", key, &customer.to_string());
    message("broadcast", replied)
}

/// Customers that enter the segment, and leave it again.
fn flow(system: &System, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let replies = (0..100).map(|_| {
            sent += 1;
            reply(&format!("f{sent}"), sent * 7_919 % 3_000)
        });
        system.publish(&replies.collect::<Vec<_>>())?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The copy that a subscriber has kept, if it stands at the end of a tick; compared with what ClickHouse says of
/// that time. How many members it has.
fn compare(system: &System, file: &Path) -> anyhow::Result<usize> {
    let copy: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let t_ms: i64 = copy["last_event_id"].as_str().context("no id")?.parse()?;
    eventually("clickhouse is as far", || {
        let sql = "SELECT toUnixTimestamp64Milli(min(complete_through)) FROM cebe.frontier";
        Ok((system.number(sql)? as i64 >= t_ms).then_some(()))
    })?;
    let sql = format!(
        "SELECT count(), groupBitXor(reinterpretAsUInt64(substring(SHA256(customer_id), 1, 8))) \
         FROM cebe.segment_members_as_of(t = toString(fromUnixTimestamp64Milli({t_ms}, 'UTC'))) \
         WHERE account_id = '{ACCOUNT}' AND segment_id = '{SEGMENT}'"
    );
    let found = system.rows(&sql)?;
    let members = copy["members"].as_array().map_or(0, Vec::len);
    ensure!(found == [json!([members, copy["hash"]])], "{found:?}: {members} {}", copy["hash"]);
    Ok(members)
}

/// Killed at random, beside a server that is killed too, a subscriber's copy is exact.
pub fn a_subscriber_keeps_an_exact_copy(system: &System) -> anyhow::Result<()> {
    let mut engine = system.engine()?;
    sources_on(system)?;
    put_lately(system)?;
    let file = system.data_dir("copy.json");
    let stop = AtomicBool::new(false);
    let members = thread::scope(|scope| {
        let load = scope.spawn(|| flow(system, &stop));
        let members = (0..KILLS).map(|kill| {
            keep(&engine, &file, Duration::from_millis(173 * kill as u64))?;
            if kill == KILLS / 2 {
                engine.restart(|| system.engine())?;
            }
            compare(system, &file)
        });
        let members = members.collect::<anyhow::Result<Vec<_>>>();
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the load does not panic").and(members)
    })?;
    let changes = system.rows(&format!(
        "SELECT countIf(change = 'entered'), countIf(change = 'exited') FROM cebe.segment_changes \
         WHERE account_id = '{ACCOUNT}'"
    ))?;
    let many = |at: usize| changes[0][at].as_u64() > Some(500);
    ensure!(many(0) && many(1), "entered and exited: {changes:?}");
    ensure!(members.iter().sum::<usize>() > 100, "in the copies: {members:?}");
    engine.stop()
}

/// Whoever comes back when Kafka has deleted what comes next is told so, and begins anew with an exact copy.
pub fn who_comes_back_too_late_begins_anew(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    put_lately(system)?;
    let file = system.data_dir("late.json");
    keep(&engine, &file, Duration::ZERO)?;
    let kept: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let id = kept["last_event_id"].as_str().context("no id")?;

    let mut sent = 0;
    eventually("something changes after that", || {
        let replies = (sent..sent + 50).map(|n| reply(&format!("late{n}"), n % 50));
        system.publish(&replies.collect::<Vec<_>>())?;
        sent += 50;
        let sql = format!(
            "SELECT count() FROM cebe.segment_changes \
             WHERE account_id = '{ACCOUNT}' AND toUnixTimestamp64Milli(logical_time) > {id}"
        );
        Ok((system.number(&sql)? > 0).then_some(()))
    })?;
    system.delete_records("cebe.out.segments")?;

    let url = format!("{}/v1/changes?account_id={ACCOUNT}&view=segments", engine.url());
    let mut answer = ureq::get(url).header("last-event-id", id).call()?;
    let mut told = String::new();
    answer.body_mut().as_reader().take(8).read_to_string(&mut told)?;
    drop(answer);
    ensure!(told == "event: g", "{told}");
    keep(&engine, &file, Duration::ZERO)?;
    compare(system, &file)?;
    let anew: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let anew = anew["last_event_id"].as_str().context("no id")?;
    ensure!(anew.parse::<i64>()? > id.parse::<i64>()?, "it begins at {anew}, not behind {id}");
    engine.stop()
}
