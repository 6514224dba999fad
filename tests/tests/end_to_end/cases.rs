use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use cebe_dev::demo::{Message, Stream};
use cebe_tests::compare::{first_difference, verdicts};
use cebe_tests::oracle::{Views, evaluate};
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

const SOURCES: [&str; 3] = ["cdp", "broadcast", "ads"];

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

pub(crate) fn event(
    account: &str,
    source: &'static str,
    name: &str,
    key: &str,
    customer: &str,
) -> Value {
    json!({
        "event_name": name, "schema_version": 1, "source_module": source, "account_id": account,
        "idempotency_key": key, "qontak_customer_id": customer, "occurred_at": now_ms(),
    })
}

pub(crate) fn message(source: &'static str, event: Value) -> Message {
    let key = format!("{}{}", event["account_id"], event["qontak_customer_id"]);
    Message { source, key, payload: event.to_string() }
}

pub(crate) fn sources_on(system: &System) -> anyhow::Result<()> {
    for source in SOURCES {
        system.cebe_ok(&["source", "on", source])?;
    }
    Ok(())
}

/// Waits until the ledger has read `n` records of all topics and adds up.
pub(crate) fn read_through(system: &System, n: u64) -> anyhow::Result<()> {
    let sql = "SELECT sum(records_read) FROM cebe.ingest_ledger";
    eventually(&format!("{n} records are read"), || {
        // ClickHouse may be on its way up.
        Ok(system.number(sql).ok().filter(|read| *read >= n))
    })?;
    Ok(())
}

pub(crate) fn records_read(system: &System) -> anyhow::Result<u64> {
    system.number("SELECT sum(records_read) FROM cebe.ingest_ledger")
}

/// A sent and its reply move the rate and the segment, and the customer can be looked up.
pub fn ac1_live_update(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let segment = json!({
        "segment_id": "repliers", "account_id": "ac1",
        "when": {"did": "broadcast.replied", "within": "2s"},
    });
    put_segment(system, &segment)?;
    let mut sent = event("ac1", "broadcast", "broadcast.sent", "s", "7");
    sent["properties"] = json!({"broadcast_id": "b-1"});
    let mut replied = event("ac1", "broadcast", "broadcast.replied", "r", "7");
    replied["properties"] = json!({"broadcast_id": "b-1"});
    let mut twin = event("ac1", "cdp", "customer.created", "c1", "7");
    twin["properties"] = json!({"phone": "0812-3456-7890"});
    let mut other = event("ac1", "cdp", "customer.created", "c2", "31");
    other["properties"] = json!({"phone": "+62 812 3456 7890"});
    // First the two become one: what happens at the same time as that has cause `merge`.
    system.publish(&[message("cdp", twin), message("cdp", other)])?;
    eventually("both ids are one person", || {
        let ids = system.rows(
            "SELECT qontak_customer_id, customer_id FROM cebe.identities \
             WHERE account_id = 'ac1' ORDER BY 1",
        )?;
        Ok((ids == [json!(["31", "7"]), json!(["7", "7"])]).then_some(()))
    })?;
    system.publish(&[message("broadcast", sent), message("broadcast", replied)])?;

    eventually("the rate is 1/1", || {
        let rows = system.rows(
            "SELECT group_key, numerator, denominator, rate = 1 FROM cebe.metric_values \
             WHERE account_id = 'ac1' AND metric = 'reply_rate'",
        )?;
        Ok((rows == [json!(["b-1", 1, 1, 1])]).then_some(()))
    })?;
    let (status, body) = engine.get("/v1/customers/31?account_id=ac1")?;
    ensure!(status == 200 && body.contains("\"7\""), "GET /v1/customers/31: {status} {body}");
    let (status, _) = engine.get("/v1/customers/404?account_id=ac1")?;
    ensure!(status == 404, "an unknown customer: {status}");

    // Time passes, nothing is published, and the person leaves the segment by itself.
    let changes = "SELECT change, cause FROM cebe.segment_changes WHERE account_id = 'ac1' \
                   ORDER BY logical_time";
    eventually("the window closes", || {
        let rows = system.rows(changes)?;
        Ok((rows == [json!(["entered", "event"]), json!(["exited", "time"])]).then_some(()))
    })
    .with_context(|| format!("{:?}", system.rows(changes)))?;
    engine.stop()
}

pub(crate) fn put_segment(system: &System, segment: &Value) -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), segment.to_string())?;
    let path = file.path().to_string_lossy().into_owned();
    system.cebe_ok(&["segment", "put", &path])?;
    Ok(())
}

/// The same key counts once: in one batch, later, with another payload, and after a restart.
pub fn ac2_same_key_once(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    let copy = |city: &str| {
        let mut event = event("ac2", "cdp", "customer.updated", "same", "1");
        event["properties"] = json!({ "city": city });
        message("cdp", event)
    };
    system.publish(&[copy("Jakarta"), copy("Jakarta"), copy("Depok")])?;
    read_through(system, before + 3)?;
    engine.stop()?;
    let engine = system.engine()?;
    system.publish(&[copy("Medan")])?;
    read_through(system, before + 4)?;
    let rows = system.rows(
        "SELECT count(), any(JSONExtractString(payload, 'properties', 'city')) \
         FROM cebe.events WHERE account_id = 'ac2'",
    )?;
    ensure!(rows == [json!([1, "Jakarta"])], "{rows:?}");
    verdicts(system)?;
    engine.stop()
}

/// With ClickHouse down publishers and feeds notice nothing; when it is back nothing is missing.
pub fn err1_clickhouse_down_buffers(system: &System) -> anyhow::Result<()> {
    let mut engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    let mut stream = Stream::new(11, "err1-", &["err1-a", "err1-b"]);
    let mut published: Vec<Message> = Vec::new();
    cebe_dev::clickhouse::kill(system.services.options())?;
    for _ in 0..20 {
        let part: Vec<_> = (0..200).map(|_| stream.next(now_ms())).collect();
        system.publish(&part)?;
        published.extend(part);
        thread::sleep(Duration::from_millis(200));
    }
    ensure!(engine.is_running()?, "the engine ended: {}", engine.log());
    cebe_dev::clickhouse::start(system.services.options())?;
    read_through(system, before + published.len() as u64)?;
    equal_to_oracle(system, "err1-", &published, &[])?;
    system.verify()?;
    engine.stop()
}

/// A source that is off is skipped, counted, and nothing else; back on, it is taken in.
pub fn err2_flag_off(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    let skipped = "SELECT sum(skipped) FROM cebe.ingest_ledger";
    let skipped_before = system.number(skipped)?;
    system.cebe_ok(&["source", "off", "ads"])?;
    let listed = system.cebe_ok(&["source", "list", "--json"])?;
    ensure!(serde_json::from_str::<Value>(&listed)?["ads"] == "off", "{listed}");
    let click = |key: &str, account: &str| {
        let mut event = event(account, "ads", "ad.clicked", key, "1");
        event["properties"] = json!({"campaign_id": "c"});
        message("ads", event)
    };
    let broken = Message { source: "ads", key: "x".into(), payload: "{\"event_name\": 1}".into() };
    system.publish(&[click("k1", "err2"), broken])?;
    read_through(system, before + 2)?;
    ensure!(system.number(skipped)? == skipped_before + 2);
    // A canary: one account is taken in, the other is skipped.
    system.cebe_ok(&["source", "on", "ads", "--accounts", "err2"])?;
    system.publish(&[click("k1", "err2"), click("k1", "err2-other")])?;
    read_through(system, before + 4)?;
    ensure!(system.number(skipped)? == skipped_before + 3);
    let rows = "SELECT count() FROM cebe.events WHERE startsWith(account_id, 'err2')";
    ensure!(system.number(rows)? == 1);
    verdicts(system)?;
    engine.stop()
}

/// `kill -9` of the engine, again and again while events flow: every table equals the oracle.
pub fn kill_9_under_load(system: &System) -> anyhow::Result<()> {
    let mut engine = system.engine()?;
    sources_on(system)?;
    let segments = ["kill-a", "kill-b", "kill-c"].map(|account| {
        json!({
            "segment_id": "repliers", "account_id": account,
            "when": {"did": "broadcast.replied", "within": "30d"},
        })
    });
    segments.iter().try_for_each(|segment| put_segment(system, segment))?;
    let before = (records_read(system)?, verdicts(system)?);
    let mut stream = Stream::new(23, "kill-", &["kill-a", "kill-b", "kill-c"]);
    let mut published: Vec<Message> = Vec::new();
    for round in 0..4 {
        for _ in 0..10 {
            let part: Vec<_> = (0..250).map(|_| stream.next(now_ms())).collect();
            system.publish(&part)?;
            published.extend(part);
            thread::sleep(Duration::from_millis(50 + 17 * round));
        }
        engine.kill()?;
        engine = if round < 3 { system.spawn_engine()? } else { system.engine()? };
        // The next kill may hit the replay, or the first ticks after it.
        thread::sleep(Duration::from_millis(1_200 * round));
    }
    read_through(system, before.0 + published.len() as u64)?;
    let expected = equal_to_oracle(system, "kill-", &published, &segments)?;
    let mut counts = before.1;
    for (verdict, n) in expected.verdicts() {
        *counts.entry(verdict).or_default() += n;
    }
    ensure!(verdicts(system)? == counts, "{:?} is not {counts:?}", verdicts(system)?);
    system.verify()?;
    engine.stop()
}

/// Waits until the tables equal the oracle: the last tick may still be on its way.
fn equal_to_oracle(
    system: &System,
    prefix: &str,
    published: &[Message],
    segments: &[Value],
) -> anyhow::Result<Views> {
    let lines: Vec<String> = published.iter().map(|message| message.payload.clone()).collect();
    let expected = evaluate(Some(&json!({"segments": segments})), &lines, now_ms());
    let mut last = None;
    eventually("the tables equal the oracle", || {
        last = first_difference(system, prefix, &expected)?;
        Ok(last.is_none().then_some(()))
    })
    .with_context(|| last.clone().unwrap_or_default())?;
    let merged = |row: &Value| row["qontak_customer_id"] != row["customer_id"];
    ensure!(expected.of("identities").iter().any(merged), "nobody was merged");
    let replied = |row: &Value| row["metric"] == "reply_rate" && row["numerator"] != 0;
    ensure!(expected.of("metric_values").iter().any(replied), "nobody replied");
    Ok(expected)
}

/// An engine that is started beside a running one stops by itself and says why.
pub fn second_engine_is_refused(system: &System) -> anyhow::Result<()> {
    let mut first = system.engine()?;
    sources_on(system)?;
    let mut second = system.spawn_engine()?;
    ensure!(!second.wait_exit()?, "the second engine ended successfully");
    let log = second.log();
    ensure!(log.contains("another engine"), "it does not say why: {log}");
    let before = records_read(system)?;
    system.publish(&[message("cdp", event("two", "cdp", "customer.updated", "k", "1"))])?;
    read_through(system, before + 1)?;
    ensure!(first.is_running()?, "the first engine ended: {}", first.log());
    verdicts(system)?;
    first.stop()
}

/// An engine that was frozen while another took over stops when it wakes, and does no harm.
pub fn frozen_engine_is_fenced(system: &System) -> anyhow::Result<()> {
    let mut frozen = system.engine()?;
    sources_on(system)?;
    frozen.signal("STOP")?;
    // On another machine: the frozen one still holds its key index.
    let mut second = system.spawn_engine_in("elsewhere", &[])?;
    second.wait_ready()?;
    let before = records_read(system)?;
    let events = |keys: std::ops::Range<u32>| -> Vec<Message> {
        keys.map(|k| {
            message("cdp", event("frozen", "cdp", "customer.updated", &k.to_string(), "1"))
        })
        .collect()
    };
    system.publish(&events(0..50))?;
    frozen.signal("CONT")?;
    system.publish(&events(50..100))?;
    ensure!(!frozen.wait_exit()?, "the frozen engine ended successfully");
    let log = frozen.log();
    ensure!(log.contains("fenced"), "it does not say why: {log}");
    read_through(system, before + 100)?;
    let rows = "SELECT count() FROM cebe.events WHERE account_id = 'frozen'";
    ensure!(system.number(rows)? == 100);
    verdicts(system)?;
    second.stop()
}

/// `cebe verify` reports a row that no input gives, a row that is gone, and the feed as untouched.
pub fn verify_finds_a_tampered_row(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    system.publish(&[message("cdp", event("verify", "cdp", "customer.updated", "k", "1"))])?;
    read_through(system, before + 1)?;
    engine.stop()?;
    system.verify()?;
    let fake = "INSERT INTO cebe.landing_segments SELECT 'verify', 'vip', '1', 'entered', 'event', 1, \
                min(complete_through), 4294967295, 0 FROM cebe.frontier";
    system.services.query(fake)?;
    system
        .services
        .query("ALTER TABLE cebe.landing_identities DELETE WHERE account_id = 'verify' SETTINGS mutations_sync = 1")?;
    let output = system.cebe(&["verify", "--json"])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let of = |name: &str| {
        let all = report["comparisons"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["name"] == name).unwrap_or_default()
    };
    for name in ["view segment_members_as_of", "view segment_members", "view segment_changes"] {
        let comparison = of(name);
        ensure!(comparison["differences"] == 1, "{name}: {comparison}");
        let found = comparison["first"]["found"].as_str().unwrap_or_default();
        ensure!(found.contains("\"vip\"") && comparison["first"]["expected"].is_null(), "{found}");
    }
    let gone = of("view identities_as_of");
    ensure!(gone["differences"] == 1 && gone["first"]["found"].is_null(), "{gone}");
    for name in ["view identities", "view customers", "feed segments", "feed identities"] {
        ensure!(of(name)["differences"] == 0, "{name}: {}", of(name));
    }
    // As it was, for the cases after this one.
    let now = "INSERT INTO cebe.landing_identities SELECT account_id, qontak_customer_id, '', \
               customer_id, 'event', version, 0, 0 FROM cebe.state_identities \
               WHERE account_id = 'verify'";
    system.services.query(now)?;
    for table in ["landing_segments", "state_segment_members", "state_customer_segments"] {
        let delete = format!(
            "ALTER TABLE cebe.{table} DELETE WHERE account_id = 'verify' SETTINGS mutations_sync = 1"
        );
        system.services.query(&delete)?;
    }
    system.verify()
}
