//! Definitions that look at new properties, while events flow, ClickHouse is away and the engine dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use cebe_dev::demo::Message;
use cebe_tests::system::{Engine, System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, read_through, records_read, sources_on};

const ACCOUNT: &str = "define";

/// Sent to some of 40 customers on one of two channels, and answered by half of them.
fn part(number: u64, size: u64) -> Vec<Message> {
    let mut messages = Vec::new();
    for n in number * size..(number + 1) * size {
        let customer = (n % 40).to_string();
        let mut sent = event(ACCOUNT, "broadcast", "broadcast.sent", &format!("s{n}"), &customer);
        sent["occurred_at"] = json!(now_ms() - 7_200_000);
        sent["properties"] = json!({"broadcast_id": format!("b-{}", n % 7),
            "channel": (if n % 3 == 0 { "wa" } else { "sms" }), "cost": n % 5});
        messages.push(message("broadcast", sent));
        if n % 2 == 0 {
            let mut replied =
                event(ACCOUNT, "broadcast", "broadcast.replied", &format!("r{n}"), &customer);
            replied["properties"] = json!({"broadcast_id": format!("b-{}", n % 7),
                "channel": "wa", "cost": n % 4});
            if n % 10 == 0 {
                replied["qontak_customer_id"] = Value::Null;
                replied["identifiers"] =
                    json!([{"type": "phone", "value": format!("08120000{:04}", n % 40)}]);
            }
            messages.push(message("broadcast", replied));
        }
    }
    messages
}

fn customers() -> Vec<Message> {
    let created = |n: u64| {
        let mut created =
            event(ACCOUNT, "cdp", "customer.created", &format!("c{n}"), &n.to_string());
        created["properties"] = json!({"phone": format!("08120000{n:04}")});
        message("cdp", created)
    };
    (0..40).map(created).collect()
}

fn put(system: &System, what: &str, definition: &Value, wait: bool) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), definition.to_string())?;
    let path = file.path().to_string_lossy().into_owned();
    let arguments: Vec<&str> =
        [what, "put", &path].into_iter().chain(wait.then_some("--wait")).collect();
    let output = system.cebe(&arguments)?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {stderr}");
    Ok(stderr)
}

fn over(name: &str, property: &str, operator: &str, value: Value) -> Value {
    json!({"did": name, "where": [{"property": property, operator: value}]})
}

fn segment(id: &str, when: Value) -> Value {
    json!({"segment_id": id, "account_id": ACCOUNT, "title": "A test", "when": when})
}

/// Whether a definition of the account waits for history.
fn waits(system: &System, kind: &str) -> anyhow::Result<bool> {
    let output = system.cebe(&[kind, "list", "--json", "--account", ACCOUNT])?;
    // ClickHouse may be on its way up.
    let Ok(listed) = serde_json::from_slice::<Value>(&output.stdout) else { return Ok(true) };
    Ok(listed["waiting"].as_array().is_none_or(|waiting| !waiting.is_empty()))
}

/// A segment with a new `where`, its edit and its removal, and a metric with a new `group_by`, under
/// load: ClickHouse away, the engine killed while it reads. Every answer is that of the events.
pub fn definitions_change_while_events_flow(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    system.publish(&customers())?;
    for number in 0..8 {
        system.publish(&part(number, 500))?;
    }
    // All that is sent, and a reply to half of it.
    read_through(system, before + 40 + 8 * 750)?;
    let stop = AtomicBool::new(false);
    let engine = thread::scope(|scope| {
        let load = scope.spawn(|| -> anyhow::Result<()> {
            let mut number = 1_000;
            while !stop.load(Ordering::Relaxed) {
                system.publish(&part(number, 20))?;
                number += 1;
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        });
        let changed = change(system, engine);
        stop.store(true, Ordering::Relaxed);
        load.join().map_err(|_| anyhow!("the load panicked"))??;
        changed
    })?;
    system.verify()?;
    engine.stop()
}

fn change(system: &System, engine: Engine) -> anyhow::Result<Engine> {
    // Nobody has so many yet; who counts history twice finds some.
    let mut often = over("broadcast.sent", "cost", "eq", json!(4));
    often["at_least"] = json!(190);
    put(system, "segment", &segment("often", often), true)?;
    let warm = segment("warm", over("broadcast.sent", "channel", "eq", json!("wa")));
    let said = put(system, "segment", &warm, true)?;
    ensure!(said.contains("waits for history"), "it does not wait: {said}");
    members(system, 40)?;

    // ClickHouse is away: these wait, and nothing else does.
    cebe_dev::clickhouse::kill(system.services.options())?;
    let edited = segment("warm", over("broadcast.replied", "cost", "gte", json!(2)));
    let said = put(system, "segment", &edited, false)?;
    ensure!(said.contains("waits for history"), "the edit does not wait: {said}");
    let metric = json!({"metric": "by_channel", "account_id": ACCOUNT, "group_by": "channel",
        "denominator": "broadcast.sent", "numerator": "broadcast.replied", "within": "72h",
        "numerator_where": [{"property": "cost", "lt": 3}]});
    put(system, "metric", &metric, false)?;
    let listed = system.cebe(&["segment", "list"])?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains("warm") && listed.contains("waits for history"), "{listed}");

    // The engine dies while they wait, and again while their history is being read.
    engine.kill()?;
    let engine = system.spawn_engine()?;
    let says = |what: &str| {
        eventually(what, || Ok(engine.log().contains(what).then_some(())))
            .with_context(|| engine.log())
    };
    says("history waits for clickhouse")?;
    cebe_dev::clickhouse::start(system.services.options())?;
    says("history is read again")?;
    engine.kill()?;
    let engine = system.engine()?;
    let in_force = || {
        let waits = waits(system, "segment")? || waits(system, "metric")?;
        Ok((!waits).then_some(()))
    };
    eventually("nothing waits", in_force).with_context(|| engine.log())?;
    members(system, 10)?;
    let groups = format!(
        "SELECT group_key FROM cebe.metric_values WHERE account_id = '{ACCOUNT}' \
         AND metric = 'by_channel' AND numerator > 0 ORDER BY group_key"
    );
    eventually("the metric is by channel", || {
        Ok((system.rows(&groups)? == [json!(["wa"])]).then_some(()))
    })?;
    system.cebe_ok(&["segment", "remove", "--account", ACCOUNT, "warm"])?;
    members(system, 0)?;
    let causes = format!(
        "SELECT change, cause, count() FROM cebe.segment_changes WHERE account_id = '{ACCOUNT}' \
         AND segment_id = 'warm' GROUP BY ALL ORDER BY change"
    );
    let causes = system.rows(&causes)?;
    let expected = [json!(["entered", "definition", 40]), json!(["exited", "definition", 40])];
    ensure!(causes == expected, "{causes:?}");
    Ok(engine)
}

fn members(system: &System, number: u64) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT count() FROM cebe.segment_members WHERE account_id = '{ACCOUNT}' AND segment_id = 'warm'"
    );
    eventually(&format!("{number} are members"), || {
        Ok((system.number(&sql).ok() == Some(number)).then_some(()))
    })
}
