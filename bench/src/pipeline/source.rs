//! Envelopes as a publisher writes them.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cebe_connectors::kafka::source::Record;
use cebe_schemas::time::{Millis, parse_rfc3339};
use serde_json::{Value, json};

use crate::workload::{Random, START_MS};

/// Events of one customer.
const EACH: u64 = 20;
/// Between two arrivals.
const PACE_MS: Millis = 100;
const HOUR_MS: Millis = 3_600_000;
/// The account of the shared definitions.
const ACCOUNT: &str = "acc";

/// Where events come from.
pub enum Source {
    /// Made from a seed.
    Seeded(Box<Seeded>),
    /// Read from a file.
    File(Lines<BufReader<File>>),
}

/// A record, and when it arrives if it says so.
pub struct Arrival {
    pub record: Record,
    pub at_ms: Option<Millis>,
}

impl Source {
    /// `count` events of the seeded workload, or the lines of a file.
    pub fn open(events: Option<&Path>, count: u64) -> anyhow::Result<Source> {
        let Some(path) = events else {
            return Ok(Source::Seeded(Box::new(Seeded::new(count))));
        };
        let file =
            File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        Ok(Source::File(BufReader::with_capacity(1 << 20, file).lines()))
    }

    /// The next one.
    pub fn next(&mut self, offset: i64) -> anyhow::Result<Option<Arrival>> {
        match self {
            Source::Seeded(seeded) => Ok(Some(seeded.next(offset))),
            Source::File(lines) => {
                let Some(line) = lines.next().transpose()? else { return Ok(None) };
                let event: Value = serde_json::from_str(&line)?;
                let received_at = &event["received_at"];
                let at_ms = received_at.as_i64().or(received_at.as_str().and_then(parse_rfc3339));
                let source = event["source_module"].as_str().unwrap_or_default();
                Ok(Some(Arrival { record: record(source, offset, line), at_ms }))
            }
        }
    }
}

/// Up to `count` records, and when the last one says that it arrives.
pub fn take(
    source: &mut Source,
    count: usize,
    offset: u64,
) -> anyhow::Result<(Vec<Record>, Option<Millis>)> {
    let (mut records, mut last) = (Vec::with_capacity(count), None);
    while records.len() < count {
        let Some(Arrival { record, at_ms }) = source.next(offset as i64 + records.len() as i64)?
        else {
            break;
        };
        records.push(record);
        last = at_ms.or(last);
    }
    Ok((records, last))
}

fn record(source: &str, offset: i64, line: String) -> Record {
    let topic: Arc<str> = format!("cebe.events.{source}").into();
    Record { topic, partition: 0, offset, created_ms: -1, payload: line.into_bytes() }
}

/// The seeded workload.
pub struct Seeded {
    random: Random,
    customers: u64,
    n: u64,
    /// Some of what was published, to be published again.
    recent: Vec<(&'static str, String)>,
}

impl Seeded {
    fn new(count: u64) -> Seeded {
        let customers = count.div_ceil(EACH).max(1);
        Seeded { random: Random(42), customers, n: 0, recent: Vec::new() }
    }

    fn next(&mut self, offset: i64) -> Arrival {
        let (n, at_ms) = (self.n, START_MS + self.n as Millis * PACE_MS);
        self.n += 1;
        let arrival = |(source, line): (&str, String)| Arrival {
            record: record(source, offset, line),
            at_ms: Some(at_ms),
        };
        let again = self.random.below(100) == 0;
        if let (true, Some(recent)) = (again, self.recent.last()) {
            return arrival(recent.clone());
        }
        // The first events introduce the customers.
        let made =
            if n < self.customers { self.created(n, at_ms) } else { self.happened(n, at_ms) };
        self.recent.clear();
        self.recent.push(made.clone());
        arrival(made)
    }

    fn created(&mut self, n: u64, at_ms: Millis) -> (&'static str, String) {
        let shares = self.random.below(100) < 4;
        let whose = if shares { self.random.below(n.max(1)) } else { n };
        let (mut phone, mut email) = (n, n);
        *(if n.is_multiple_of(2) { &mut phone } else { &mut email }) = whose;
        let city = ["jakarta", "bandung", "medan", "depok"][self.random.below(4) as usize];
        let tier = ["gold", "silver", "none"][self.random.below(3) as usize];
        let properties = json!({
            "phone": format!("0812{phone:09}"), "email": format!("c{email}@example.id"),
            "city": city, "tier": tier,
            "ltv": self.random.below(1_000),
        });
        ("cdp", self.envelope("cdp", "customer.created", n, n, at_ms, properties))
    }

    fn happened(&mut self, n: u64, at_ms: Millis) -> (&'static str, String) {
        let customer = self.random.below(self.customers);
        let (broadcast, campaign) = (self.random.below(1_000), self.random.below(50));
        let broadcast = json!({"broadcast_id": format!("b-{broadcast}")});
        let campaign = json!({"campaign_id": format!("c-{campaign}")});
        let (source, name, properties) = match self.random.below(20) {
            0..7 => ("broadcast", "broadcast.sent", broadcast),
            7..11 => ("broadcast", "broadcast.delivered", broadcast),
            11..14 => ("broadcast", "broadcast.read", broadcast),
            14..16 => ("broadcast", "broadcast.replied", broadcast),
            16..18 => ("ads", "ad.clicked", campaign),
            18 => ("ads", "ad.converted", campaign),
            _ => ("cdp", "customer.updated", json!({"ltv": self.random.below(1_000)})),
        };
        (source, self.envelope(source, name, n, customer, at_ms, properties))
    }

    fn envelope(
        &mut self,
        source: &str,
        name: &str,
        n: u64,
        customer: u64,
        at_ms: Millis,
        properties: Value,
    ) -> String {
        let late_ms = match self.random.below(50) {
            0 => 2 * HOUR_MS + self.random.below(72 * 3_600_000) as Millis,
            _ => self.random.below(5_000) as Millis,
        };
        json!({
            "event_name": name, "schema_version": 1, "source_module": source,
            "idempotency_key": format!("k-{n}"), "account_id": ACCOUNT, "team_id": "team-1",
            "qontak_customer_id": customer.to_string(), "occurred_at": at_ms - late_ms,
            "properties": properties,
        })
        .to_string()
    }
}
