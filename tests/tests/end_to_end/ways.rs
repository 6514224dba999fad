//! History from a query, from Parquet, from squads themselves, and from jobs that stop.

use std::process::Command;

use anyhow::{Context, ensure};
use cebe_tests::system::{System, eventually};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use crate::cases::{event, sources_on};

const ACCOUNT: &str = "ways";
const ROWS: u64 = 50;
const LEGACY: &str = "CREATE TABLE cebe.legacy_clicks ENGINE = MergeTree ORDER BY id AS \
     SELECT number AS id, now64(3, 'UTC') - toIntervalDay(number) AS at FROM numbers(50)";
const QUERY: &str = "SELECT 'ad.clicked' AS event_name, 1 AS schema_version, 'ads' AS source_module, \
     concat('q', toString(id)) AS idempotency_key, 'ways' AS account_id, \
     toString(id % 7) AS qontak_customer_id, at AS occurred_at, 'c' AS `properties.campaign_id` \
     FROM cebe.legacy_clicks ORDER BY id";

/// The same rows under other keys, in a file that ClickHouse has written.
fn parquet(system: &System) -> anyhow::Result<String> {
    let rows = QUERY.replace("'q'", "'p'");
    let write = format!("INSERT INTO FUNCTION file('clicks.parquet', 'Parquet') {rows}");
    system.services.query(&write)?;
    let folder = &system.services.options().dir;
    let found = Command::new("find").arg(folder).args(["-name", "clicks.parquet"]).output()?;
    Ok(String::from_utf8(found.stdout)?.trim().to_owned())
}

fn clicks(keys: std::ops::Range<u64>) -> Vec<String> {
    let click = |n: u64| {
        let mut click = event(ACCOUNT, "ads", "ad.clicked", &format!("c{n}"), &(n % 7).to_string());
        click["properties"] = json!({"campaign_id": "c"});
        click.to_string()
    };
    keys.map(click).collect()
}

fn start(system: &System, more: &[&str]) -> anyhow::Result<Value> {
    let arguments = [&["backfill", "start", "--source", "ads", "--json"], more].concat();
    Ok(serde_json::from_str(&system.cebe_ok(&arguments)?)?)
}

fn stored(system: &System) -> anyhow::Result<u64> {
    system.number(&format!("SELECT count() FROM cebe.events WHERE account_id = '{ACCOUNT}'"))
}

/// Each way counts the same, and a job that stops leaves what it has brought.
pub fn history_comes_in_other_ways(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    system.services.query(LEGACY)?;
    let done = start(system, &["--from", QUERY])?;
    ensure!(done["standing"] == "done" && done["accepted"] == ROWS, "{done}");

    let done = start(system, &["--from", &parquet(system)?])?;
    let counts = [&done["accepted"], &done["difference"]];
    ensure!(done["standing"] == "done" && counts == [ROWS, 0], "{done}");

    let of_nobody =
        "SELECT sum(accepted) FROM cebe.backfills WHERE source_module = 'ads' AND job = ''";
    let before = system.number(of_nobody)?;
    for click in clicks(0..5) {
        system.publish_record(BaseRecord::to("cebe.backfill.ads").key("k").payload(&click))?;
    }
    eventually("what squads publish is there", || {
        Ok((system.number(of_nobody)? == before + 5).then_some(()))
    })?;

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("clicks.jsonl");
    std::fs::write(&file, clicks(0..30).join("\n"))?;
    let from = file.to_string_lossy();
    let few = ["backfill", "start", "--source", "ads", "--from", &from, "--events-max", "10"];
    let stopped = system.cebe(&few)?;
    let says = String::from_utf8_lossy(&stopped.stderr);
    ensure!(!stopped.status.success() && says.contains("--events-max"), "{says}");
    let list = system.cebe_ok(&["backfill", "list", "--json"])?;
    let job: Value = serde_json::from_str(list.lines().next().context("no job")?)?;
    ensure!(job["standing"] == "paused" && job["published"] == 10, "{job}");
    let id = job["job"].as_str().context("no id")?;
    system.cebe_ok(&["backfill", "cancel", id])?;
    let resumed = system.cebe(&["backfill", "resume", id])?;
    ensure!(!resumed.status.success(), "what was cancelled goes on");

    let again = start(system, &["--from", &from])?;
    let counts = [&again["accepted"], &again["duplicate"], &again["difference"]];
    ensure!(counts == [20, 10, 0], "{again}");
    eventually(
        "everything is there once",
        || Ok((stored(system)? == 2 * ROWS + 30).then_some(())),
    )?;
    engine.stop()
}
