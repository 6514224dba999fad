//! A start without snapshots for which Kafka no longer reaches back: the state comes from ClickHouse.

use anyhow::ensure;
use cebe_dev::demo::Message;
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, put_segment, read_through, records_read, sources_on};
use crate::recovery::{clicks, held};

const ACCOUNT: &str = "rebuilt";

/// Snapshots and key index are deleted, and so are all records that sources have published.
fn lose(system: &System) -> anyhow::Result<()> {
    std::fs::remove_dir_all(system.data_dir("engine"))?;
    cut(system)
}

fn cut(system: &System) -> anyhow::Result<()> {
    ["cdp", "broadcast", "ads"]
        .iter()
        .try_for_each(|source| system.delete_records(&format!("cebe.events.{source}")))
}

fn of_customer(name: &str, key: &str, customer: &str, properties: Value) -> Message {
    let mut event = event(ACCOUNT, "cdp", name, key, customer);
    event["properties"] = properties;
    message("cdp", event)
}

fn without_id(key: &str, phone: &str) -> Message {
    let mut click = event(ACCOUNT, "ads", "ad.clicked", key, "");
    click["qontak_customer_id"] = Value::Null;
    click["identifiers"] = json!([{"type": "phone", "value": phone}]);
    click["properties"] = json!({"campaign_id": "c"});
    message("ads", click)
}

/// Sorted (segment, customer).
fn members(system: &System) -> anyhow::Result<Vec<Value>> {
    system.rows(&format!(
        "SELECT segment_id, customer_id FROM cebe.segment_members WHERE account_id = '{ACCOUNT}' ORDER BY 1, 2"
    ))
}

fn exits(system: &System) -> anyhow::Result<Vec<Value>> {
    system.rows(&format!(
        "SELECT segment_id, customer_id, cause FROM cebe.segment_changes \
         WHERE account_id = '{ACCOUNT}' AND change = 'exited' ORDER BY 1, 2"
    ))
}

fn adds_up(system: &System) -> anyhow::Result<()> {
    let difference = system.number("SELECT sum(difference) FROM cebe.ingest_ledger")?;
    ensure!(difference == 0, "the ledger differs by {difference}");
    Ok(())
}

/// Keys, links, members, names of the erased and counters are as before: what comes next shows it.
pub fn an_engine_is_rebuilt_from_clickhouse(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let segment =
        |id: &str, when: Value| json!({"segment_id": id, "account_id": ACCOUNT, "when": when});
    put_segment(system, &segment("jakarta", json!({"attribute": "city", "eq": "Jakarta"})))?;
    let clicked = json!({"did": "ad.clicked", "where": [{"property": "campaign_id", "eq": "c"}]});
    put_segment(system, &segment("clicked", clicked))?;
    let before = records_read(system)?;
    system.publish(&clicks(ACCOUNT, 0..30))?;
    let in_jakarta = |phone: &str| json!({"city": "Jakarta", "phone": phone});
    system.publish(&[
        of_customer("customer.created", "c1", "1", in_jakarta("0812 3456 7001")),
        of_customer("customer.created", "c2", "2", in_jakarta("0812 3456 7002")),
        of_customer("customer.created", "c9", "9", in_jakarta("0812 3456 7009")),
        without_id("anonymous", "0812 3456 7009"),
    ])?;
    read_through(system, before + 34)?;
    system.publish(&[of_customer("customer.erased", "e9", "9", json!({}))])?;
    read_through(system, before + 35)?;
    let emptied =
        format!("SELECT count() FROM cebe.events WHERE account_id = '{ACCOUNT}' AND payload = ''");
    eventually("what is erased is emptied", || Ok((system.number(&emptied)? == 3).then_some(())))?;
    let all = |ids: &[&str]| -> Vec<Value> {
        let clicked = ids.iter().map(|id| json!(["clicked", id]));
        clicked.chain([json!(["jakarta", "1"]), json!(["jakarta", "2"])]).collect()
    };
    // The second segment may have waited for history.
    let expected = all(&["0", "1", "2"]);
    eventually("all are members", || Ok((members(system)? == expected).then_some(())))?;
    engine.stop()?;

    lose(system)?;
    let engine = system.engine()?;
    let log = engine.log();
    ensure!(log.contains("rebuilt from clickhouse") && log.contains("restored from"), "{log}");
    system.publish(&clicks(ACCOUNT, 20..40))?;
    let mut moved = event(ACCOUNT, "cdp", "customer.updated", "u1", "1");
    moved["properties"] = json!({"city": "Bandung"});
    moved["occurred_at"] = json!(now_ms() + 1_000);
    system.publish(&[
        of_customer("customer.created", "c1", "1", json!({"city": "Depok"})),
        of_customer("customer.merged", "m", "2", json!({"into": "1"})),
        message("cdp", moved),
        without_id("later", "0812 3456 7002"),
    ])?;
    read_through(system, before + 59)?;
    ensure!(held(system, ACCOUNT)? == (30 + 5 + 10 + 3, 2), "{:?}", held(system, ACCOUNT)?);
    let expected = [json!(["clicked", "0"]), json!(["clicked", "1"])];
    ensure!(members(system)? == expected, "{:?}", members(system)?);
    let left = exits(system)?;
    let of = |segment: &str, customer: &str| {
        left.iter().any(|exit| exit[0] == segment && exit[1] == customer)
    };
    ensure!(of("jakarta", "1") && of("jakarta", "2") && of("clicked", "2"), "{left:?}");
    adds_up(system)?;
    // An exact copy of the state: a replay from its own snapshot publishes the same.
    engine.kill()?;
    system.engine()?.stop()
}

/// What was published comes into ClickHouse sooner or later; what never was is missing, by name.
pub fn what_was_not_loaded_is_waited_for_or_missed(_: &System) -> anyhow::Result<()> {
    let system = System::start()?;
    let engine = system.engine()?;
    sources_on(&system)?;
    system.publish(&clicks(ACCOUNT, 0..10))?;
    read_through(&system, 10)?;
    cebe_dev::clickhouse::kill(system.services.options())?;
    system.publish(&clicks(ACCOUNT, 10..20))?;
    eventually("they are bound", || {
        let (_, metrics) = engine.get("/metrics")?;
        let read = metrics
            .lines()
            .any(|line| line.starts_with("cebe_events_ingested_total") && line.ends_with(" 20"));
        Ok(read.then_some(()))
    })?;
    // They are counted before they are published.
    std::thread::sleep(std::time::Duration::from_millis(500));
    engine.kill()?;
    lose(&system)?;
    let mut engine = system.spawn_engine()?;
    eventually("it waits", || {
        let waits = engine.log().contains("the rebuild waits for clickhouse");
        Ok(waits.then_some(()))
    })?;
    cebe_dev::clickhouse::start(system.services.options())?;
    engine.wait_ready()?;
    ensure!(engine.log().contains("rebuilt from clickhouse"), "{}", engine.log());
    read_through(&system, 20)?;
    system.publish(&clicks(ACCOUNT, 15..25))?;
    read_through(&system, 30)?;
    ensure!(held(&system, ACCOUNT)? == (25, 3), "{:?}", held(&system, ACCOUNT)?);
    adds_up(&system)?;
    engine.stop()?;

    system.publish(&clicks(ACCOUNT, 25..30))?;
    let mut engine = system.spawn_engine_as("engine", &[], &[("CEBE_FAULT", "after_bind")])?;
    ensure!(!engine.wait_exit()?, "it did not die");
    lose(&system)?;
    let mut engine = system.spawn_engine()?;
    ensure!(!engine.wait_exit()?, "it left out what nobody has published");
    let why = engine.log();
    let named = why.contains("cebe.events.ads/") && why.contains("offsets ");
    ensure!(named && why.contains("that were never published"), "{why}");
    Ok(())
}
