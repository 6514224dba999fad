//! What a verdict costs: `cargo run --release -p cebe-schemas --example judge_cost`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::{Judge, Verdict};
use serde_json::{Value, json};

const ARRIVAL_MS: i64 = 1_795_408_260_000;
const EVENTS: u32 = 200_000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let judge =
        Judge { catalogue: Arc::new(Catalogue::shipped()?), keys: Arc::new(Keys::development()) };
    let control = ControlState::with_unlisted(Ingestion::On);
    let off = ControlState::new();
    let sent = event(
        "broadcast",
        "broadcast.sent",
        json!({"broadcast_id": "b-204", "channel": "whatsapp", "template": "Promo Lebaran"}),
    );
    let updated = event(
        "cdp",
        "customer.updated",
        json!({"phone": "0812-3456-7890", "email": "Budi@Example.id", "name": "Budi Santoso", "city": "Jakarta"}),
    );
    let wrong = event("broadcast", "broadcast.sent", json!({"broadcast_id": 204}));
    let document: Value = serde_json::from_str(
        judge.catalogue.text("broadcast", "broadcast.sent", None).unwrap_or("{}"),
    )?;
    let validator = jsonschema::validator_for(&document)?;

    println!("{:<44} {:>6} {:>9}", "", "bytes", "ns/event");
    for (name, payload) in [("broadcast.sent", &sent), ("customer.updated", &updated)] {
        let cost = |source: &str, control: &ControlState| {
            ns_per_event(|| judge.judge(source, black_box(payload), control, ARRIVAL_MS))
        };
        let source = if name == "broadcast.sent" { "broadcast" } else { "cdp" };
        assert!(matches!(judge.judge(source, payload, &control, ARRIVAL_MS), Verdict::Valid(_)));
        row(&format!("{name}: parse only (source off)"), payload, cost(source, &off));
        row(&format!("{name}: judge"), payload, cost(source, &control));
        row(
            &format!("{name}: serde_json::Value, parse only"),
            payload,
            ns_per_event(|| serde_json::from_slice::<Value>(black_box(payload))),
        );
    }
    row(
        "broadcast.sent: serde_json::Value + jsonschema",
        &sent,
        ns_per_event(|| {
            let event: Result<Value, _> = serde_json::from_slice(black_box(&sent));
            event.map(|event| validator.is_valid(&event["properties"]))
        }),
    );
    row(
        "broadcast.sent: rejected, with its message",
        &wrong,
        ns_per_event(|| judge.judge("broadcast", black_box(&wrong), &control, ARRIVAL_MS)),
    );
    Ok(())
}

fn event(source: &str, name: &str, properties: Value) -> Vec<u8> {
    let event = json!({
        "event_name": name, "schema_version": 1, "source_module": source,
        "idempotency_key": "7f3a0c52-4a1e-4c57-9f5e-6f2f6f0f8c11", "account_id": "acc-17", "team_id": "team-3",
        "qontak_customer_id": "1048576", "occurred_at": "2026-11-23T04:30:59.123Z", "properties": properties,
    });
    event.to_string().into_bytes()
}

/// The fastest of a few rounds, in time of the processor: the machine may be shared.
fn ns_per_event<T>(mut run: impl FnMut() -> T) -> f64 {
    let round = |_| {
        let (start, start_cpu_ns) = (Instant::now(), cpu_ns());
        for _ in 0..EVENTS {
            black_box(run());
        }
        let elapsed_ns = match (start_cpu_ns, cpu_ns()) {
            (Some(start), Some(end)) => (end - start) as f64,
            _ => start.elapsed().as_nanos() as f64,
        };
        elapsed_ns / f64::from(EVENTS)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// What this thread has used of a processor, where the system says so (Linux).
fn cpu_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn row(name: &str, payload: &[u8], ns: f64) {
    println!("{name:<44} {:>6} {ns:>9.0}", payload.len());
}
