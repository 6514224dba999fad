//! Events from a seed. Each is made of its number alone, so that any can be published again.

use cebe_schemas::time::Millis;
use serde_json::{Value, json};

use crate::workload::{Random, START_MS};

/// Between two arrivals.
const PACE_MS: Millis = 100;
/// The account of the shared definitions.
pub const ACCOUNT: &str = "acc";
const HOUR_MS: Millis = 3_600_000;
/// A duplicate comes at most so many events after what it repeats.
const DISTANCE_MAX: u64 = 100_000;
const SEED: u64 = 42;

/// Events of one customer.
const EACH: u64 = 20;
/// Between two arrivals once the clock moves.
pub const STEP_MS: Millis = 1_000;

/// The workload.
#[derive(Clone, Copy)]
pub struct Seeded {
    /// The first events introduce them.
    pub customers: u64,
    /// From this event on the clock moves, and what it says before that event.
    pub moving_from: Option<(u64, Millis)>,
}

impl Seeded {
    /// `count` events and some more, about as many customers as that makes.
    pub fn of(count: u64) -> Seeded {
        Seeded { customers: count.div_ceil(EACH).max(1), moving_from: None }
    }

    /// When event `n` arrives.
    pub fn arrival_ms(&self, n: u64) -> Millis {
        match self.moving_from {
            Some((from, at_ms)) if n >= from => at_ms + (n - from + 1) as Millis * STEP_MS,
            _ => START_MS + n as Millis * PACE_MS,
        }
    }

    /// Source and envelope of event `n`.
    pub fn event(&self, n: u64) -> (&'static str, String) {
        let mut random = Random(SEED.wrapping_add(n.wrapping_mul(0xd134_2543_de82_ef95)));
        if n > 0 && random.below(100) == 0 {
            return self.event(n - 1 - random.below(n.min(DISTANCE_MAX)));
        }
        match n < self.customers {
            true => created(&mut random, n, self.arrival_ms(n)),
            false => happened(&mut random, n, self),
        }
    }
}

fn created(random: &mut Random, n: u64, at_ms: Millis) -> (&'static str, String) {
    let shares = random.below(100) < 4;
    let whose = if shares { random.below(n.max(1)) } else { n };
    let (mut phone, mut email) = (n, n);
    *(if n.is_multiple_of(2) { &mut phone } else { &mut email }) = whose;
    let city = ["jakarta", "bandung", "medan", "depok"][random.below(4) as usize];
    let tier = ["gold", "silver", "none"][random.below(3) as usize];
    let properties = json!({
        "phone": format!("0812{phone:09}"), "email": format!("c{email}@example.id"),
        "city": city, "tier": tier, "ltv": random.below(1_000),
    });
    ("cdp", envelope(random, ("cdp", "customer.created"), (n, at_ms), n, properties))
}

fn happened(random: &mut Random, n: u64, seeded: &Seeded) -> (&'static str, String) {
    let customer = random.below(seeded.customers);
    let (broadcast, campaign) = (random.below(1_000), random.below(50));
    let broadcast = json!({"broadcast_id": format!("b-{broadcast}")});
    let campaign = json!({"campaign_id": format!("c-{campaign}")});
    let (source, name, properties) = match random.below(20) {
        0..7 => ("broadcast", "broadcast.sent", broadcast),
        7..11 => ("broadcast", "broadcast.delivered", broadcast),
        11..14 => ("broadcast", "broadcast.read", broadcast),
        14..16 => ("broadcast", "broadcast.replied", broadcast),
        16..18 => ("ads", "ad.clicked", campaign),
        18 => ("ads", "ad.converted", campaign),
        _ => ("cdp", "customer.updated", json!({"ltv": random.below(1_000)})),
    };
    (source, envelope(random, (source, name), (n, seeded.arrival_ms(n)), customer, properties))
}

fn envelope(
    random: &mut Random,
    (source, name): (&str, &str),
    (n, at_ms): (u64, Millis),
    customer: u64,
    properties: Value,
) -> String {
    let late_ms = match random.below(50) {
        0 => 2 * HOUR_MS + random.below(72 * 3_600_000) as Millis,
        _ => random.below(5_000) as Millis,
    };
    // As a publisher writes it: keys as they come, not sorted.
    format!(
        r#"{{"event_name":"{name}","schema_version":1,"source_module":"{source}","idempotency_key":"k-{n}","account_id":"{ACCOUNT}","team_id":"team-1","qontak_customer_id":"{customer}","occurred_at":{},"properties":{properties}}}"#,
        at_ms - late_ms
    )
}
