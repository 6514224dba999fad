//! `cebe.counts`, the view `reconciliation`, and `cebe reconcile`.

use std::thread;

use anyhow::{Context, ensure};
use cebe_dev::demo::{Message, Stream};
use cebe_schemas::time::format_rfc3339;
use cebe_tests::system::{PATIENCE, System, eventually};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, read_through, records_read, sources_on};

const HOUR_MS: i64 = 3_600_000;

fn click(account: &str, key: &str) -> Message {
    let mut click = event(account, "ads", "ad.clicked", key, "1");
    click["properties"] = json!({"campaign_id": "c"});
    message("ads", click)
}

fn count(system: &System, hour: impl Into<Value>, emitted: u64) -> anyhow::Result<()> {
    let count = json!({"source_module": "ads", "hour": hour.into(), "emitted": emitted});
    system.publish_record(BaseRecord::to("cebe.counts").key("ads").payload(&count.to_string()))
}

/// Exit status and JSON of `cebe reconcile`.
fn reconcile(system: &System, arguments: &[&str]) -> anyhow::Result<(i32, Value)> {
    let output = system.cebe(&[&["reconcile", "--json"], arguments].concat())?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(json!(error));
    Ok((output.status.code().context("killed")?, report))
}

fn equal(system: &System) -> anyhow::Result<()> {
    let (status, report) = reconcile(system, &[])?;
    ensure!(status == 0 && report["equal"] == true, "{status}: {}", report["differences"]);
    ensure!(report["not_checked"] == json!([]), "{}", report["not_checked"]);
    Ok(())
}

/// Hours ago, how many records came of it, what the source said, and what that is called.
const HOURS: [(i64, u64, Option<u64>, &str); 5] = [
    (7, 4, Some(4), "equal"),
    (6, 2, Some(5), "different"),
    (5, 2, None, "unknown"),
    (4, 0, Some(6), "different"),
    (3, 3, Some(2), "different"),
];

/// What a source has lost shows, and a count that never came is unknown. The ledger is exact in every row
/// that ever landed, and a recount finds everything equal while events flow.
pub fn counts_are_reconciled(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    let now = now_ms() / HOUR_MS * HOUR_MS;
    count(system, now - 7 * HOUR_MS, 9)?;
    count(system, "2026-11-23T04:30:00Z", 9)?;
    let mut expected = Vec::new();
    for (ago, sent, emitted, status) in HOURS {
        let hour = now - ago * HOUR_MS;
        for n in 0..sent {
            // One of them twice: what is sent twice is emitted twice.
            let Message { key, payload, .. } = click("counts", &format!("{ago}-{}", n / 2));
            let record = BaseRecord::to("cebe.events.ads").key(&*key).payload(&*payload);
            system.publish_record(record.timestamp(hour + n as i64))?;
        }
        if let Some(emitted) = emitted {
            // Said in both ways.
            let text = json!(format_rfc3339(hour));
            count(system, if ago % 2 == 0 { json!(hour) } else { text }, emitted)?;
        }
        let difference = emitted.map(|emitted| emitted as i64 - sent as i64);
        expected.push(json!([hour.to_string(), emitted, sent, difference, status]));
    }
    read_through(system, before + 11)?;
    let sql = format!(
        "SELECT toString(toUnixTimestamp64Milli(hour)), emitted, read, difference, status
         FROM cebe.reconciliation WHERE source_module = 'ads'
             AND toUnixTimestamp64Milli(hour) BETWEEN {} AND {} ORDER BY hour",
        now - 7 * HOUR_MS,
        now - 3 * HOUR_MS
    );
    let mut rows = Vec::new();
    eventually("the hours are reconciled", || {
        rows = system.rows(&sql)?;
        Ok((rows == expected).then_some(()))
    })
    .with_context(|| format!("{rows:?}, not {expected:?}"))?;
    let refused = "SELECT reason, pointer FROM cebe.rejected_events WHERE topic = 'cebe.counts'";
    let refused = system.rows(refused)?;
    ensure!(refused == [json!(["schema_violation", "/hour"])], "{refused:?}");

    let partition = add_partition(system)?;
    let read = "SELECT count() FROM cebe.ingest_ledger WHERE topic = 'cebe.events.ads' \
                AND accepted = 1 AND difference = 0 AND partition = ";
    eventually("the new partition is in the ledger", || {
        Ok((system.number(&format!("{read}{partition}"))? == 1).then_some(()))
    })?;

    thread::scope(|scope| {
        let load = scope.spawn(|| load(system));
        let outcome = (0..3).try_for_each(|_| equal(system));
        let published = load.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))??;
        outcome?;
        read_through(system, before + 12 + published)
    })?;
    equal(system)?;
    each_ledger_row_adds_up(system)?;
    system.verify()?;
    engine.stop()
}

/// A few seconds of events.
fn load(system: &System) -> anyhow::Result<u64> {
    let mut stream = Stream::new(5, "counts-", &["counts-a", "counts-b"]);
    let mut published = 0;
    for _ in 0..60 {
        let part: Vec<_> = (0..100).map(|_| stream.next(now_ms())).collect();
        system.publish(&part)?;
        published += part.len() as u64;
        thread::sleep(std::time::Duration::from_millis(100));
    }
    Ok(published)
}

fn admin(system: &System) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", &system.services.kafka_bootstrap).create()?)
}

/// Adds a partition to a topic that is being read, and publishes one event to it.
fn add_partition(system: &System) -> anyhow::Result<i32> {
    const PARTITION: i32 = 4;
    let new = [NewPartitions::new("cebe.events.ads", PARTITION as usize + 1)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin = admin(system)?;
    let added = runtime.block_on(admin.create_partitions(&new, &AdminOptions::new()))?;
    added
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    // The producer of the others does not know it yet.
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &system.services.kafka_bootstrap).create()?;
    let Message { payload, .. } = click("counts", "new-partition");
    eventually("the new partition takes a record", || {
        let record = BaseRecord::<str, str>::to("cebe.events.ads").partition(PARTITION);
        Ok(producer.send(record.payload(&payload)).ok())
    })?;
    producer.flush(PATIENCE)?;
    Ok(PARTITION)
}

/// Not only the last row of each partition: every one that has landed, against the events by then.
/// A row that is emptied is a millisecond later; one that was a duplicate counts from when a backfill was undone.
const COUNTS_FROM: &str = "if(logical_time > received_at + toIntervalMillisecond(1), \
     logical_time - toIntervalMillisecond(1), received_at)";

fn each_ledger_row_adds_up(system: &System) -> anyhow::Result<()> {
    let sum = "ledger.accepted + ledger.duplicate + ledger.rejected + ledger.skipped";
    let sql = format!(
        "SELECT count(), countIf(read != sum OR accepted != stored) FROM (
             SELECT any(ledger.records_read) AS read, any({sum}) AS sum,
                 any(ledger.accepted) AS accepted,
                 countIf(event.counts_from <= ledger.logical_time AND event.topic != '') AS stored
             FROM cebe.landing_ledger AS ledger FINAL
             LEFT JOIN (SELECT topic, partition, {COUNTS_FROM} AS counts_from
                 FROM cebe.landing_events FINAL) AS event
                 ON event.topic = ledger.topic AND event.partition = ledger.partition
             GROUP BY ledger.topic, ledger.partition, ledger.logical_time)"
    );
    let rows = system.rows(&sql)?;
    let [rows, wrong] = [0, 1].map(|at| rows[0][at].as_u64().unwrap_or(u64::MAX));
    ensure!(wrong == 0 && rows > 10, "{wrong} of {rows} rows of the ledger do not add up");
    Ok(())
}

/// Each number of a table that is changed makes `cebe reconcile` end with 1 and name it.
pub fn reconcile_names_what_was_tampered_with(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    let mut wrong = event("tamper", "cdp", "customer.updated", "k2", "1");
    wrong["occurred_at"] = json!("soon");
    let right = event("tamper", "cdp", "customer.updated", "k1", "1");
    system.publish(&[message("cdp", right), message("cdp", wrong)])?;
    read_through(system, before + 2)?;
    engine.stop()?;
    equal(system)?;
    for table in ["landing_events", "landing_rejected"] {
        system.services.query(&format!(
            "CREATE TABLE cebe.kept_{table} ENGINE = Memory
             AS SELECT * FROM cebe.{table} WHERE account_id = 'tamper'"
        ))?;
    }
    let partition = system.number("SELECT partition FROM cebe.kept_landing_events")?;
    let place = format!("cebe.events.cdp/{partition}");
    let (accepted, rejected) = (format!("{place} accepted"), format!("{place} rejected"));
    let of = format!("topic = 'cebe.events.cdp' AND partition = {partition}");
    let alter = |table: &str, what: &str| {
        format!("ALTER TABLE cebe.{table} {what} SETTINGS mutations_sync = 1")
    };
    let kept = |table: &str, what: &str| {
        format!("INSERT INTO cebe.{table} SELECT {what} FROM cebe.kept_{table}")
    };
    let gone = |table: &str| alter(table, "DELETE WHERE account_id = 'tamper'");
    let ledger = |change: &str| alter("state_ledger", &format!("UPDATE {change} WHERE {of}"));
    let hours = |change: &str| {
        alter("state_reconciliation", &format!("UPDATE {change} WHERE source_module = 'cdp'"))
    };
    let twice = "* REPLACE (ordinal + 1000000000 AS ordinal)";
    let skipped = format!(
        "INSERT INTO cebe.state_skipped_ranges SELECT topic, partition, -7, -6, version
         FROM cebe.state_ledger FINAL WHERE {of}"
    );
    for (change, undo, names) in [
        (gone("landing_events"), kept("landing_events", "*"), vec![accepted.clone()]),
        (
            kept("landing_events", twice),
            alter("landing_events", "DELETE WHERE ordinal >= 1000000000"),
            vec![accepted.clone()],
        ),
        (gone("landing_rejected"), kept("landing_rejected", "*"), vec![rejected]),
        (
            skipped,
            alter("state_skipped_ranges", "DELETE WHERE from_offset = -7"),
            vec![format!("{place} skipped")],
        ),
        (
            ledger("accepted = accepted + 1"),
            ledger("accepted = accepted - 1"),
            vec![format!("{place} sum"), accepted],
        ),
        (
            ledger("records_read = records_read + 1, duplicate = duplicate + 1"),
            ledger("records_read = records_read - 1, duplicate = duplicate - 1"),
            vec![format!("{place} records")],
        ),
        (hours("read = read + 1"), hours("read = read - 1"), vec!["cdp ".into()]),
        (hours("emitted = 7"), hours("emitted = NULL"), vec!["cdp ".into()]),
    ] {
        system.services.query(&change)?;
        let (status, report) = reconcile(system, &[])?;
        ensure!(status == 1 && report["equal"] == false, "{change}: {status}: {report}");
        let found: Vec<&str> = report["differences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let named = |name: &String| found.iter().any(|line| line.starts_with(&**name));
        let known = |line: &&str| names.iter().any(|name| line.starts_with(&**name));
        ensure!(names.iter().all(named) && found.iter().all(known), "{change}: {found:?}");
        let (status, report) = reconcile(system, &["--topic", "cebe.events.broadcast"])?;
        ensure!(status == 0, "{change}: another topic: {status}: {report}");
        system.services.query(&undo)?;
    }
    equal(system)?;
    for table in ["landing_events", "landing_rejected"] {
        system.services.query(&format!("DROP TABLE cebe.kept_{table}"))?;
    }
    let (status, report) = reconcile(system, &["--topic", "cebe.events.none"])?;
    ensure!(status == 2 && report.to_string().contains("cebe.events.none"), "{status}: {report}");
    Ok(())
}

/// What the retention of a topic has deleted is said to be gone, and what is left is checked.
pub fn what_is_gone_is_not_counted_as_equal(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    for key in ["k1", "k2", "k3"] {
        system.publish(&[click("gone", key)])?;
        thread::sleep(std::time::Duration::from_millis(200));
    }
    read_through(system, before + 3)?;
    engine.stop()?;
    let place = "SELECT partition, min(offset), max(offset) FROM cebe.events WHERE account_id = 'gone' GROUP BY 1";
    let place = system.rows(place)?;
    let [partition, offset, last] = [0, 1, 2].map(|at| place[0][at].as_i64().unwrap_or_default());
    let mut offsets = TopicPartitionList::new();
    let topic = "cebe.events.ads";
    offsets.add_partition_offset(topic, partition as i32, Offset::Offset(offset + 1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin = admin(system)?;
    runtime.block_on(admin.delete_records(&offsets, &AdminOptions::new()))?;
    let (status, report) = reconcile(system, &[])?;
    ensure!(status == 0, "{status}: {}", report["differences"]);
    let unchecked = report["not_checked"].to_string();
    let says = format!("{topic}/{partition} records: not checkable before offset {}", offset + 1);
    ensure!(last == offset + 2 && unchecked.contains(&says), "{unchecked}, not {says}");
    let all = report["checks"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| {
        let is_of = |check: &&Value| check["check"] == "records" && check["partition"] == partition;
        all.iter().find(|check| is_of(check) && check["topic"] == topic).map(|c| c[name].clone())
    };
    ensure!(of("counted") == Some(json!(2)) && of("engine") == Some(json!(2)), "{all:?}");
    let hour = |check: &&Value| check["check"] == "read" && check["source_module"] == "ads";
    ensure!(all.iter().filter(hour).all(|check| check["status"] == "unknown"), "{all:?}");
    Ok(())
}
