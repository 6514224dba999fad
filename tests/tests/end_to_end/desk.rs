//! The engine is asked while events flow: what a definition would change, and why somebody is in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use cebe_dev::demo::Message;
use cebe_tests::system::{Engine, System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, put_segment, sources_on};

const ACCOUNT: &str = "desk";
const CUSTOMERS: usize = 200;

/// The odd ones are in Jakarta, the first half replied. 0 and 200 have one phone.
fn people() -> Vec<Message> {
    let mut messages = Vec::new();
    for number in 0..=CUSTOMERS {
        let id = number.to_string();
        let mut created = event(ACCOUNT, "cdp", "customer.created", &format!("c-{id}"), &id);
        let city = if number % 2 == 1 { "Jakarta" } else { "Depok" };
        let phone = format!("0812-555-{:04}", number % CUSTOMERS);
        created["properties"] = json!({"city": city, "phone": phone});
        messages.push(message("cdp", created));
        if number < CUSTOMERS / 2 {
            messages.push(replied(&format!("r-{id}"), &id));
        }
    }
    messages
}

fn replied(key: &str, id: &str) -> Message {
    let mut replied = event(ACCOUNT, "broadcast", "broadcast.replied", key, id);
    replied["properties"] = json!({"broadcast_id": "b-1", "channel": "wa"});
    message("broadcast", replied)
}

/// Touches the same people all the time, in ways that no definition here looks at.
fn load(system: &System, stop: &AtomicBool) -> anyhow::Result<()> {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let read = |number: usize| {
            let (id, key) = (number.to_string(), format!("l-{round}-{number}"));
            let mut read = event(ACCOUNT, "broadcast", "broadcast.read", &key, &id);
            read["properties"] = json!({"broadcast_id": "b-2"});
            message("broadcast", read)
        };
        system.publish(&(0..CUSTOMERS).map(read).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn preview(system: &System, engine: &Engine, definition: &Value) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("segment.json");
    std::fs::write(&file, definition.to_string())?;
    let path = file.to_str().context("path")?;
    let output = system.ask(engine, &["segment", "preview", path, "--json"])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "preview: {stderr}");
    let preview: Value = serde_json::from_slice(&output.stdout)?;
    Ok(preview["segments"][0].clone())
}

/// Canonical ids that changed, by this change and because of the definition.
fn changed(system: &System, change: &str) -> anyhow::Result<Vec<Value>> {
    let rows = system.rows(&format!(
        "SELECT customer_id FROM cebe.segment_changes WHERE account_id = '{ACCOUNT}' \
         AND segment_id = 'repliers' AND change = '{change}' AND cause = 'definition' \
         ORDER BY length(customer_id), customer_id"
    ))?;
    Ok(rows.into_iter().map(|row| row[0].clone()).collect())
}

/// What is previewed under load is what then happens; an explanation names the events.
pub fn the_engine_is_asked_under_load(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    system.publish(&people())?;
    eventually("everybody is known", || {
        let sql = format!("SELECT count() FROM cebe.identities WHERE account_id = '{ACCOUNT}'");
        Ok((system.number(&sql)? == CUSTOMERS as u64 + 1).then_some(()))
    })?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| load(system, &stop));
        let asked = ask(system, &engine);
        stop.store(true, Ordering::Relaxed);
        load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        asked
    })?;
    engine.stop()
}

fn ask(system: &System, engine: &Engine) -> anyhow::Result<()> {
    let segment =
        |when: Value| json!({"segment_id": "repliers", "account_id": ACCOUNT, "when": when});
    let did = json!({"did": "broadcast.replied"});
    let new = preview(system, engine, &segment(did.clone()))?;
    ensure!(new["edit"] == "new" && new["entering"] == 100 && new["leaving"] == 0, "{new}");
    ensure!(changed(system, "entered")?.is_empty(), "a preview changes nothing");
    put_segment(system, &segment(did.clone()))?;
    let entered = eventually("they have entered", || {
        Ok(Some(changed(system, "entered")?).filter(|entered| entered.len() == 100))
    })?;
    ensure!(new["enter"] == json!(entered), "previewed {}, came {entered:?}", new["enter"]);

    let both = segment(json!({"all": [did, {"attribute": "city", "eq": "Jakarta"}]}));
    let edited = preview(system, engine, &both)?;
    ensure!(edited["edit"] == "edited" && edited["leaving"] == 50, "{edited}");
    put_segment(system, &both)?;
    let exited = eventually("they have left", || {
        Ok(Some(changed(system, "exited")?).filter(|exited| exited.len() == 50))
    })?;
    ensure!(edited["leave"] == json!(exited), "previewed {}, came {exited:?}", edited["leave"]);

    explained(system, engine)?;
    refused(system, engine, &segment)?;
    let (status, body) = engine.get(&format!("/v1/definitions?account_id={ACCOUNT}"))?;
    let in_force: Value = serde_json::from_str(&body)?;
    ensure!(status == 200 && in_force["segments"][0]["segment_id"] == "repliers", "{body}");
    Ok(())
}

fn explained(system: &System, engine: &Engine) -> anyhow::Result<()> {
    let explain = |customer: &str, more: &[&str]| {
        let asked =
            ["explain", "--account", ACCOUNT, "--segment", "repliers", "--customer", customer];
        system.ask(engine, &[&asked[..], more].concat())
    };
    // 0 replied, and is one person with 200; the person's city is what was said last.
    let output = explain("200", &["--json"])?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(told["person"]["member_ids"] == json!(["0", "200"]), "{told}");
    ensure!(
        told["person"]["links"][0]["identifier"]["customer_ids"] == json!(["0", "200"]),
        "{told}"
    );
    ensure!(told["is_member"] == false && told["clause"]["holds"] == false, "{told}");
    let [did, city] = [0, 1].map(|at| &told["clause"]["clauses"][at]);
    ensure!(did["holds"] == true && did["counted"]["count"] == 1, "{did}");
    let found = &did["counted"]["events"][0]["found"][0];
    ensure!(found["idempotency_key"] == "r-0" && found["source_module"] == "broadcast", "{did}");
    ensure!(city["holds"] == false && city["attribute"]["value"] == "Depok", "{city}");
    let text = explain("1", &[])?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(text.contains("customer 1 of desk is in segment repliers"), "{text}");
    ensure!(text.contains("r-1 of broadcast, 1"), "{text}");
    let unknown = explain("nobody", &[])?;
    let message = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(unknown.status.code() == Some(1), "{message}");
    ensure!(message.contains("account desk has no customer nobody"), "{message}");
    Ok(())
}

/// What cannot be previewed, and why.
fn refused(
    system: &System,
    engine: &Engine,
    segment: &dyn Fn(Value) -> Value,
) -> anyhow::Result<()> {
    let filters = json!([{"property": "channel", "eq": "wa"}]);
    for (when, names) in [
        (json!({"did": "broadcast.replied", "where": filters}), "channel of broadcast.replied"),
        (json!({"did": "broadcast.replied", "within": "soon"}), "/when/within"),
        (json!({"in_segment": "repliers"}), "cycle: repliers → repliers"),
    ] {
        let error = preview(system, engine, &segment(when)).err().context("it is not refused")?;
        ensure!(format!("{error:#}").contains(names), "{error:#}");
    }
    Ok(())
}
