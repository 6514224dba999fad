//! Events over HTTP: in the contract's shape, and in Mixpanel's.

use std::process::Command;

use anyhow::{Context, ensure};
use cebe_tests::system::{Answer, Engine, System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, now_ms, sources_on};

const ACCOUNT: &str = "doors";

fn post(engine: &Engine, path: &str, body: &[u8]) -> anyhow::Result<(u16, Value)> {
    let Answer { status, body, .. } = engine.request("POST", path, &[], body)?;
    Ok((status, serde_json::from_str(&body).with_context(|| body.clone())?))
}

fn sent(key: &str) -> Value {
    let mut sent = event(ACCOUNT, "broadcast", "broadcast.sent", key, "7");
    sent["properties"] = json!({"broadcast_id": "b"});
    sent
}

/// What is stored of the account, by key.
fn keys(system: &System) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT idempotency_key FROM cebe.events WHERE account_id = 'doors' ORDER BY 1";
    let rows = system.rows(sql)?;
    Ok(rows.iter().map(|row| row[0].as_str().unwrap_or_default().to_owned()).collect())
}

fn await_keys(system: &System, expected: &[&str]) -> anyhow::Result<()> {
    eventually(
        &format!("{expected:?} are there"),
        || Ok((keys(system)? == *expected).then_some(())),
    )
}

/// The state of a receipt, once it is none of those that pass.
fn state(engine: &Engine, receipt: &Value) -> anyhow::Result<Value> {
    let path = format!("/v1/receipts/{}", receipt["receipt"].as_str().context("no receipt")?);
    eventually("a receipt has a state", || {
        let (status, body) = engine.get(&path)?;
        let answer: Value = serde_json::from_str(&body)?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok((answer["state"] != "pending").then_some(answer))
    })
}

/// Good events are taken, bad ones told by index, key, field and reason; receipts say what became of them.
pub fn events_come_in_over_http(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let (status, answer) = post(
        &engine,
        "/v1/events",
        json!([sent("h1"), sent("h2"), sent("h1")]).to_string().as_bytes(),
    )?;
    ensure!(status == 200 && answer["num_records_imported"] == 3, "{status} {answer}");
    await_keys(system, &["h1", "h2"])?;
    let first = state(&engine, &answer["receipts"][0])?;
    ensure!(first["state"] == "accepted" && first["event"]["idempotency_key"] == "h1", "{first}");
    ensure!(first["visible_since"].as_str() <= first["complete_through"].as_str(), "{first}");
    let third = state(&engine, &answer["receipts"][2])?;
    ensure!(third["state"] == "duplicate", "{third}");

    let mut typo = sent("h4");
    typo["event_name"] = "broadcast.snet".into();
    let mut late = sent("h5");
    late["occurred_at"] = (now_ms() + 3_600_000).into();
    let batch = json!([typo, sent("h3"), late]).to_string();
    let (status, dry) = post(&engine, "/v1/events:validate", batch.as_bytes())?;
    ensure!(status == 400 && dry["num_records_valid"] == 1, "{status} {dry}");
    let (status, answer) = post(&engine, "/v1/events", batch.as_bytes())?;
    ensure!(status == 400 && answer["num_records_imported"] == 1, "{status} {answer}");
    ensure!(answer["failed_records"] == dry["failed_records"], "{dry} {answer}");
    let failed = |at: usize| &answer["failed_records"][at];
    let told = json!([
        failed(0)["index"],
        failed(0)["insert_id"],
        failed(0)["field"],
        failed(0)["reason"]
    ]);
    ensure!(told == json!([0, "h4", "/event_name", "unknown_event"]), "{answer}");
    ensure!(
        failed(0)["hint"].as_str().is_some_and(|hint| hint.contains("broadcast.sent")),
        "{answer}"
    );
    ensure!(failed(1)["reason"] == "future_event" && failed(1)["index"] == 2, "{answer}");
    await_keys(system, &["h1", "h2", "h3"])?;

    mixpanel(&engine)?;
    await_keys(system, &["h1", "h2", "h3", "m1", "m2", "m3", "m4", "m6"])?;
    let customers = system.rows(
        "SELECT DISTINCT qontak_customer_id FROM cebe.events \
         WHERE account_id = 'doors' AND startsWith(idempotency_key, 'm')",
    )?;
    ensure!(customers == [json!(["1048576"])], "{customers:?}");

    system.cebe_ok(&["source", "off", "ads"])?;
    eventually("who pushes for a source that is off is told so", || {
        let mut click = event(ACCOUNT, "ads", "ad.clicked", "off", "7");
        click["properties"] = json!({"campaign_id": "c"});
        let (status, answer) = post(&engine, "/v1/events", click.to_string().as_bytes())?;
        ensure!(status == 200, "{status} {answer}");
        let is_told = answer["notes"][0].as_str().is_some_and(|note| note.contains("ads"));
        if is_told {
            let off = state(&engine, &answer["receipts"][0])?;
            ensure!(off["state"] == "skipped", "{off}");
        }
        Ok(is_told.then_some(()))
    })?;
    system.cebe_ok(&["source", "on", "ads"])?;
    engine.stop()
}

/// What Mixpanel's clients take for success.
fn is_taken(body: &str) -> bool {
    serde_json::from_str(body).is_ok_and(|body: Value| body == json!({"status": 1, "error": null}))
}

/// As its clients for Python and Node send events: `m1` to `m4`, and a profile: `m6`.
fn mixpanel(engine: &Engine) -> anyhow::Result<()> {
    let event = |key: &str| {
        json!({"event": "broadcast.sent", "properties": {
            "token": ACCOUNT, "distinct_id": 1_048_576, "time": now_ms() as f64 / 1e3,
            "$insert_id": key, "mp_lib": "test", "broadcast_id": "m"}})
    };
    let packed = |event: &Value| -> anyhow::Result<String> {
        let mut base64 = Command::new("base64");
        let mut child = base64
            .arg("-w0")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        std::io::Write::write_all(
            &mut child.stdin.take().context("no input")?,
            event.to_string().as_bytes(),
        )?;
        Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
    };
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let get = format!("/track?ip=0&verbose=0&data={}", packed(&event("m1"))?);
    let Answer { status, body, .. } = engine.request("GET", &get, &[], b"")?;
    ensure!(status == 200 && body == "1", "{status} {body}");
    let data = format!("data={}", packed(&json!([event("m2")]))?);
    let Answer { status, body, .. } =
        engine.request("POST", "/track?verbose=1", &form, data.as_bytes())?;
    ensure!(status == 200 && is_taken(&body), "{status} {body}");
    let data = format!("data={}&verbose=1&ip=0", event("m3"));
    let Answer { status, body, .. } = engine.request("POST", "/import", &form, data.as_bytes())?;
    ensure!(status == 200 && is_taken(&body), "{status} {body}");
    let mut wrong = event("m5");
    wrong["properties"]["distinct_id"] = "anon".into();
    let lines = format!("{}\n{wrong}\n", event("m4"));
    let ndjson = [("content-type", "application/x-ndjson")];
    let Answer { status, body, .. } =
        engine.request("POST", "/import?strict=1", &ndjson, lines.as_bytes())?;
    let answer: Value = serde_json::from_str(&body)?;
    ensure!(status == 400 && answer["num_records_imported"] == 1, "{status} {body}");
    let failed = &answer["failed_records"][0];
    let told = json!([failed["index"], failed["insert_id"], failed["field"]]);
    ensure!(told == json!([1, "m5", "/properties/distinct_id"]), "{body}");
    let profile = |operation: &str, of: Value| {
        let profile = json!({"$token": ACCOUNT, "$distinct_id": "1048576", "$time": now_ms() / 1_000,
            "$insert_id": "m6", operation: of});
        format!("data={profile}&verbose=1")
    };
    let set = profile("$set", json!({"$email": "budi@example.id", "tier": "gold"}));
    let Answer { status, body, .. } = engine.request("POST", "/engage", &form, set.as_bytes())?;
    ensure!(status == 200 && is_taken(&body), "{status} {body}");
    let added = profile("$add", json!({"visits": 1}));
    let Answer { body, .. } = engine.request("POST", "/engage", &form, added.as_bytes())?;
    ensure!(!is_taken(&body) && body.contains("no other operation"), "{body}");
    Ok(())
}

/// With a key file nobody comes in without a key, and a key publishes and sees only what is its own.
pub fn keys_say_who_pushes(system: &System) -> anyhow::Result<()> {
    let new = |arguments: &[&str]| -> anyhow::Result<(String, String)> {
        let output = system.cebe(&[&["key", "new"], arguments].concat())?;
        let (entry, says) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        let secret = says.trim().strip_prefix("Authorization: ").context("no secret")?.to_owned();
        Ok((entry, secret))
    };
    let (squad, squad_key) = new(&[
        "squad",
        "--account",
        ACCOUNT,
        "--team",
        "t",
        "--scope",
        "push",
        "--source",
        "broadcast",
    ])?;
    let (bi, bi_key) = new(&["bi", "--account", ACCOUNT, "--scope", "query"])?;
    let file = system.data_dir("keys.toml");
    std::fs::write(&file, squad + &bi)?;
    let path = file.to_string_lossy().into_owned();
    let variables = [
        ("CEBE_HTTP_KEYS_FILE", &*path),
        ("CEBE_HTTP_PUSH_EVENTS_PER_SECOND", "1"),
        ("CEBE_HTTP_PUSH_EVENTS_BURST", "20"),
    ];
    let mut engine = system.spawn_engine_as("engine", &[], &variables)?;
    engine.wait_ready()?;
    sources_on(system)?;
    let push = |key: &str, events: &Value| {
        engine.request(
            "POST",
            "/v1/events",
            &[("authorization", key)],
            events.to_string().as_bytes(),
        )
    };
    let nobody = engine.request("POST", "/v1/events", &[], b"[]")?;
    ensure!(nobody.status == 401 && nobody.head.contains("www-authenticate: bearer"), "{nobody:?}");
    ensure!(push("Bearer squad.guess", &json!([]))?.status == 401, "a wrong secret");
    ensure!(push(&bi_key, &json!([sent("k0")]))?.status == 403, "a key that may only query");
    let mut other = sent("k1");
    other["account_id"] = "elsewhere".into();
    let mut click = event(ACCOUNT, "ads", "ad.clicked", "k2", "7");
    click["properties"] = json!({"campaign_id": "c"});
    let answer = push(&squad_key, &json!([other, click, sent("k3")]))?;
    let body: Value = serde_json::from_str(&answer.body)?;
    let fields = json!([body["failed_records"][0]["field"], body["failed_records"][1]["field"]]);
    ensure!(fields == json!(["/account_id", "/source_module"]), "{body}");
    let receipt =
        format!("/v1/receipts/{}", body["receipts"][0]["receipt"].as_str().context("no receipt")?);
    ensure!(engine.get(&receipt)?.0 == 401, "a receipt without a key");
    let customer = |key: &str, query: &str| {
        engine.request("GET", &format!("/v1/customers/7{query}"), &[("authorization", key)], b"")
    };
    eventually("a key is about its own account", || {
        Ok((customer(&bi_key, "")?.status == 200).then_some(()))
    })?;
    ensure!(customer(&bi_key, "?account_id=elsewhere")?.status == 403, "another account");
    ensure!(customer(&squad_key, "")?.status == 403, "a key that may only push");
    let token = json!([{"event": "broadcast.sent", "properties": {"token": squad_key.replace("Bearer ", ""),
        "distinct_id": "7", "$insert_id": "k4", "broadcast_id": "b"}}]);
    ensure!(
        engine.request("POST", "/track", &[], token.to_string().as_bytes())?.status == 200,
        "a token"
    );
    let payload = eventually("its event is there, without the secret", || {
        let sql =
            "SELECT payload FROM cebe.events WHERE account_id = 'doors' AND idempotency_key = 'k4'";
        Ok(system.rows(sql)?.pop())
    })?;
    ensure!(!payload.to_string().contains("squad"), "{payload}");
    let many: Vec<Value> = (0..20).map(|n| sent(&format!("n{n}"))).collect();
    push(&squad_key, &json!(many))?;
    let refused = push(&squad_key, &json!(many))?;
    ensure!(refused.status == 429 && refused.head.contains("retry-after: "), "{refused:?}");
    engine.stop()
}
