//! Services that define and ask over HTTP.

use anyhow::{Context, ensure};
use cebe_tests::system::{Answer, Engine, System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, sources_on};

fn call(engine: &Engine, method: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
    let headers = [("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let Answer { status, body, .. } = engine.request(method, path, &headers, body.as_bytes())?;
    Ok((status, serde_json::from_str(&body).with_context(|| body.clone())?))
}

fn in_force(engine: &Engine, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let (status, answer) = call(engine, method, path, body)?;
    ensure!(status == 200 && answer["state"] == "in_force", "{path}: {status} {answer}");
    Ok(answer)
}

/// Put, edited and removed without a command, each at one logical time that the answer names.
pub fn definitions_come_in_over_http(system: &System) -> anyhow::Result<()> {
    const PATH: &str = "/v1/definitions/segments/fresh";
    let engine = system.engine()?;
    for source in ["cdp", "broadcast", "ads"] {
        in_force(&engine, "PUT", &format!("/v1/sources/{source}"), &json!("on"))?;
    }
    let (_, sources) = call(&engine, "GET", "/v1/sources", &Value::Null)?;
    ensure!(sources["cdp"] == "on", "{sources}");
    let replied =
        message("broadcast", event("defined", "broadcast", "broadcast.replied", "d1", "1"));
    let sent = message("broadcast", event("defined", "broadcast", "broadcast.replied", "d2", "2"));
    system.publish(&[replied, sent])?;
    let segment = |version: u32, at_least: u32| {
        json!({"account_id": "defined", "version": version,
            "when": {"did": "broadcast.replied", "at_least": at_least}})
    };
    in_force(&engine, "PUT", PATH, &segment(1, 1))?;
    let members = |wanted: usize| {
        eventually(&format!("it has {wanted} members"), || {
            let path = "/v1/segments/fresh/members?account_id=defined";
            let (_, answer) = call(&engine, "GET", path, &Value::Null)?;
            let found = answer["members"].as_array().map(Vec::len);
            Ok((found == Some(wanted)).then_some(answer))
        })
    };
    members(2)?;
    let edited = in_force(&engine, "PUT", PATH, &segment(2, 2))?;
    members(0)?;
    let wrong = json!({"account_id": "defined", "when": {"did": "x", "within": "soon"}});
    let (status, problem) = call(&engine, "PUT", PATH, &wrong)?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(status == 400 && detail.contains("/segments/0/when/within"), "{status} {problem}");
    let document = json!({"segments": [segment(3, 1)]});
    let (status, _) = call(&engine, "POST", "/v1/definitions?dry_run=true", &document)?;
    ensure!(status == 400, "a segment without id is none");
    let versions = eventually("both versions are loaded", || {
        let (_, answer) =
            call(&engine, "GET", &format!("{PATH}?account_id=defined"), &Value::Null)?;
        Ok((answer["versions"].as_array().map(Vec::len) == Some(2)).then_some(answer))
    })?;
    let newest = &versions["versions"][0];
    ensure!(newest["valid_from"] == edited["in_force_since"], "{versions} {edited}");
    ensure!(newest["changed_by"] == "http" && newest["valid_to"].is_null(), "{versions}");
    in_force(&engine, "DELETE", &format!("{PATH}?account_id=defined"), &Value::Null)?;
    let path = "/v1/definitions?account_id=defined";
    let (_, left) = call(&engine, "GET", path, &Value::Null)?;
    ensure!(left["segments"] == json!([]), "{left}");
    engine.stop()
}

/// By a phone number written in another way, with the rates that the person counts in; and by nobody's.
pub fn customers_are_found_by_what_they_hold(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let mut created = event("found", "cdp", "customer.created", "f1", "20");
    created["properties"] = json!({"phone": "0812-5550-0001", "email": "Budi@example.id"});
    let mut same = event("found", "cdp", "customer.created", "f2", "7");
    same["properties"] = json!({"phone": "+62 812 5550 0001"});
    let mut sent = event("found", "broadcast", "broadcast.sent", "f3", "20");
    sent["properties"] = json!({"broadcast_id": "b"});
    let mut replied = event("found", "broadcast", "broadcast.replied", "f4", "7");
    replied["properties"] = json!({"broadcast_id": "b"});
    let events = [created, same].map(|event| message("cdp", event));
    system.publish(&events)?;
    system.publish(&[message("broadcast", sent), message("broadcast", replied)])?;
    let find = |by: &str| {
        call(&engine, "GET", &format!("/v1/customers?account_id=found&{by}"), &Value::Null)
    };
    let rate = json!({"metric": "reply_rate", "group_key": "b", "in_numerator": true});
    let found = eventually("it is found with its rates", || {
        let (_, answer) = find("phone=62%20812%205550%200001&include=rates")?;
        let counts = answer["rates"].as_array().is_some_and(|rates| rates.contains(&rate));
        // The rates are the engine's, and the rest is as far as ClickHouse is.
        let is_whole = counts && answer["member_ids"] == json!(["7", "20"]);
        Ok(is_whole.then_some(answer))
    })?;
    ensure!(found["customer_id"] == "7", "{found}");
    let (status, by_email) = find("email=budi@EXAMPLE.id")?;
    ensure!(status == 200 && by_email["customer_id"] == "7", "{status} {by_email}");
    for (by, wanted) in [
        ("email=nobody@example.id", 404),
        ("phone=-", 400),
        ("phone=0812-5550-0001&email=a@b.id", 400),
        ("identifier=wa_id:1", 404),
        ("identifier=wa_id", 400),
        ("", 400),
    ] {
        let (status, answer) = find(by)?;
        ensure!(status == wanted, "{by}: {status} {answer}");
    }
    let other = "/v1/customers?account_id=others&phone=081255500001";
    let (status, answer) = call(&engine, "GET", other, &Value::Null)?;
    ensure!(status == 404, "accounts are apart: {status} {answer}");
    is_as_in_clickhouse(&engine)?;
    engine.stop()?;
    let engine = system.engine()?;
    is_as_in_clickhouse(&engine)?;
    engine.stop()
}

/// What is told from memory is what the tables say as of the same time.
fn is_as_in_clickhouse(engine: &Engine) -> anyhow::Result<()> {
    eventually("customers are held in memory", || {
        let (_, metrics) = engine.get("/metrics")?;
        let through = "cebe_replica_complete_through_ms ";
        let mut through = metrics.lines().filter_map(|line| line.strip_prefix(through));
        Ok(through.any(|ms| ms != "0").then_some(()))
    })?;
    for id in ["7", "20"] {
        let path = format!("/v1/customers/{id}?account_id=found");
        let (_, held) = call(engine, "GET", &path, &Value::Null)?;
        let through = held["complete_through"].as_str().unwrap_or_default();
        let (_, loaded) = call(engine, "GET", &format!("{path}&as_of={through}"), &Value::Null)?;
        ensure!(held == loaded, "{held} in memory, {loaded} in clickhouse");
    }
    Ok(())
}
