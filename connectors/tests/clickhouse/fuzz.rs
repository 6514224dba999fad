//! Whatever JSON an accepted event carries, its insert does not fail.

use std::sync::Arc;

use anyhow::{Context, ensure};
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::{Judge, ValidEvent, Verdict};
use fastrand::Rng;
use serde_json::json;

use crate::engine::{Engine, Publisher};
use crate::loading::Running;
use crate::services::{Place, Services};

const EVENTS: usize = 4_000;

pub async fn no_accepted_event_fails_its_insert(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "fuzz")?;
    let (mut engine, publisher) =
        (Engine::new(11), Publisher::new(&services.kafka, &place.prefix)?);
    let seed = std::env::var("CEBE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CEBE_FUZZ_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let judge =
        Judge { catalogue: Arc::new(Catalogue::shipped()?), keys: Arc::new(Keys::development()) };
    let control = ControlState::with_unlisted(Ingestion::On);

    let (mut events, mut rejected) = (Vec::new(), 0);
    while events.len() < EVENTS {
        let record = record(&mut rng);
        match judge.judge("broadcast", record.as_bytes(), &control, engine.t_ms) {
            Verdict::Valid(event) => events.push(*event),
            Verdict::Rejected(_) => rejected += 1,
            Verdict::Skipped => anyhow::bail!("skipped: {record}"),
        }
    }
    ensure!(rejected < 2 * EVENTS, "{rejected} records were rejected: the fuzz tries too little");

    fits_without_help(&place, &events).await.with_context(|| format!("seed {seed}"))?;
    let tick = engine
        .tick_of(events.iter().map(|event| (event.properties.clone(), event.payload.clone())));
    publisher.publish(&tick)?;
    let mut running = Running::start(place.loader(&services.url))?;
    running.until(engine.t_ms).await?;

    let empty = events.iter().filter(|event| event.properties == json!({})).count();
    let expected = vec![json!([EVENTS, empty]).to_string()];
    let counts = "SELECT count(), countIf(toString(properties) = '{}') FROM events";
    if let Err(error) = place.expect(counts, expected).await {
        let culprit = culprit(&place, &events).await?;
        return Err(error.context(format!("seed {seed}: {culprit}")));
    }
    let payloads = events.iter().map(|event| json!([event.payload]).to_string());
    place.expect("SELECT payload FROM events", payloads.collect()).await?;
    place.drop_database().await
}

/// The column takes the sanitised properties also without the loader's lenient settings, and each
/// of their leaves is a path of its own.
async fn fits_without_help(place: &Place<'_>, events: &[ValidEvent]) -> anyhow::Result<()> {
    place.migrate().await?;
    let table =
        "CREATE TABLE strict (number UInt64, properties JSON) ENGINE = MergeTree ORDER BY number";
    place.execute(table).await?;
    let properties: Vec<serde_json::Value> = events
        .iter()
        .map(|event| serde_json::from_str(&event.properties))
        .collect::<Result<_, _>>()?;
    let lines = properties.iter().enumerate().map(|(number, properties)| {
        json!({"number": number, "properties": properties}).to_string() + "\n"
    });
    let client = place.client().with_setting("async_insert", "0");
    let mut insert = client.insert_formatted_with("INSERT INTO strict FORMAT JSONEachRow");
    insert.send(lines.collect::<String>().into_bytes().into()).await?;
    insert.end().await?;
    let paths = properties
        .iter()
        .enumerate()
        .map(|(number, properties)| json!([number, leaves(properties)]).to_string());
    place
        .expect("SELECT number, length(JSONAllPaths(properties)) FROM strict", paths.collect())
        .await
}

fn leaves(value: &serde_json::Value) -> usize {
    value.as_object().map_or(1, |members| members.values().map(leaves).sum())
}

/// An event whose properties have not arrived.
async fn culprit(place: &Place<'_>, events: &[ValidEvent]) -> anyhow::Result<String> {
    let sql = "SELECT payload FROM events WHERE toString(properties) = '{}'";
    for row in place.rows(sql).await? {
        let (payload,): (String,) = serde_json::from_str(&row)?;
        let event = events.iter().find(|event| event.payload == payload).context("unknown row")?;
        if event.properties != "{}" {
            return Ok(event.properties.clone());
        }
    }
    Ok("none is empty: a row is missing".into())
}

fn record(rng: &mut Rng) -> String {
    let broadcast = rng.u16(..);
    format!(
        r#"{{"event_name":"broadcast.sent","schema_version":1,"source_module":"broadcast","idempotency_key":"{:x}","account_id":"a","qontak_customer_id":"1","occurred_at":{},"properties":{{"broadcast_id":"b-{broadcast}"{}}}{}}}"#,
        rng.u128(..),
        json!(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| d.as_millis() as i64)
                - 7_200_000
        ),
        members(rng, 3),
        if rng.bool() { members(rng, 2) } else { String::new() },
    )
}

fn members(rng: &mut Rng, depth: usize) -> String {
    (0..rng.usize(..6)).map(|_| format!(",{}:{}", text(rng), value(rng, depth))).collect()
}

fn object(rng: &mut Rng, depth: usize) -> String {
    format!("{{{}}}", members(rng, depth).trim_start_matches(','))
}

fn value(rng: &mut Rng, depth: usize) -> String {
    match rng.u8(..if depth == 0 { 12 } else { 18 }) {
        0 => "null".into(),
        1 => "true".into(),
        2 => "false".into(),
        3 => rng.i64(..).to_string(),
        4 => rng.u64(..).to_string(),
        5 => format!("{}{}", rng.u64(..), rng.u64(..)),
        6 => format!("-{}{:07}", u64::MAX, rng.u32(..)),
        7 => format!("{}e{}", rng.i8(..), rng.i16(-400..300)),
        8 => ["0", "-0", "-0.0", "1.0", "1e0", "0.1e-7"][rng.usize(..6)].into(),
        9 => [
            "\"2026-01-02\"",
            "\"2026-01-02T03:04:05Z\"",
            "\"1\"",
            "\"true\"",
            "\"\"",
            "\"2026-01-02 03:04:05.123456789\"",
        ][rng.usize(..6)]
        .into(),
        10 | 11 => text(rng),
        12..15 => object(rng, depth - 1),
        _ => {
            let items: Vec<String> = (0..rng.usize(..5)).map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
    }
}

/// Few different ones, so that keys repeat and paths meet.
fn text(rng: &mut Rng) -> String {
    const PARTS: [&str; 26] = [
        "a",
        "b",
        "a",
        "b",
        ".",
        ".",
        "_",
        "[",
        "]",
        "`",
        "\\\"",
        "\\\\",
        "\\u0000",
        "\\n",
        " ",
        ":",
        "Int64",
        "^",
        "é",
        "😀",
        "\\ud83d\\ude00",
        "\\ud800",
        "%2E",
        "SKIP",
        "\u{202e}",
        "'",
    ];
    let parts: String = (0..rng.usize(..4)).map(|_| PARTS[rng.usize(..PARTS.len())]).collect();
    format!("\"{parts}\"")
}
