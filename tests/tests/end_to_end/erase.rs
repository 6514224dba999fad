//! An erasure reaches what is stored: events keep a row without content.

use anyhow::ensure;
use cebe_tests::system::{System, eventually};
use serde_json::{Value, json};

use crate::cases::{event, message, now_ms, sources_on};

/// By key, whether an event has its payload, its properties and its identifiers.
fn contents(system: &System) -> anyhow::Result<Vec<Value>> {
    system.rows(
        "SELECT idempotency_key, payload != '', toString(properties) != '{}', \
         notEmpty(identifier_tokens) FROM cebe.events WHERE account_id = 'erase' ORDER BY 1",
    )
}

/// Events of an erased customer, of its identifiers, and those that arrive later but happened
/// before, lose payload, properties and identifiers; those of others, and what comes after, do not.
pub fn erased_events_lose_their_content(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let at = now_ms() - 60_000;
    let read = |key: &str, customer: &str, occurred_at: i64| {
        let mut read = event("erase", "broadcast", "broadcast.read", key, customer);
        read["properties"] = json!({"broadcast_id": "b-1"});
        read["occurred_at"] = json!(occurred_at);
        read["identifiers"] = json!([{"type": "phone", "value": "0812-0000-1111"}]);
        if customer.is_empty() {
            read["qontak_customer_id"] = Value::Null;
        }
        message("broadcast", read)
    };
    let mut erased = event("erase", "cdp", "customer.erased", "e", "7");
    erased["occurred_at"] = json!(at);
    let wait = |what: &str, expected: &[Value]| {
        eventually(what, || Ok((contents(system)? == *expected).then_some(())))
    };
    let row =
        |key: &str, there: bool| json!([key, u8::from(there), u8::from(there), u8::from(there)]);

    let earlier = at - 1_000;
    let others = event("erase", "broadcast", "broadcast.read", "o", "8");
    let mut others = others;
    others["properties"] = json!({"broadcast_id": "b-1"});
    others["identifiers"] = json!([{"type": "phone", "value": "0812-2222-3333"}]);
    system.publish(&[
        read("a", "7", earlier),
        read("b", "", earlier),
        message("broadcast", others),
    ])?;
    wait("all is there", &[row("a", true), row("b", true), row("o", true)])?;
    let copy = "CREATE TABLE cebe.late ENGINE = MergeTree ORDER BY () AS SELECT * FROM cebe.landing_events \
                WHERE account_id = 'erase'";
    system.services.query(copy)?;

    system.publish(&[message("cdp", erased)])?;
    let gone = [row("a", false), row("b", false), row("e", false), row("o", true)];
    wait("what was erased is empty", &gone)?;

    system.publish(&[
        read("c", "7", earlier),
        read("d", "", earlier),
        read("f", "7", at + 1_000),
        read("g", "", at + 1_000),
    ])?;
    // A loader that was frozen since before the erasure wakes and inserts what it had.
    system.services.query("INSERT INTO cebe.landing_events SELECT * FROM cebe.late")?;
    let later = [
        row("a", false),
        row("b", false),
        row("c", false),
        row("d", false),
        row("e", false),
        row("f", true),
        row("g", true),
        row("o", true),
    ];
    wait("what comes late is empty", &later)?;
    let listed = system.rows(
        "SELECT qontak_customer_id, notEmpty(identifier_token) FROM cebe.erasures \
         WHERE account_id = 'erase' ORDER BY 1",
    )?;
    ensure!(listed == [json!(["", 1]), json!(["7", 0])], "{listed:?}");
    system.services.query("DROP TABLE cebe.late")?;
    engine.stop()?;
    system.verify()
}
