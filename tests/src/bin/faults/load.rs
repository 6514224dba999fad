//! What is published: the same seed and the same times give the same records.
//!
//! Three tenants on all sources. One of them is small enough for the naive evaluation of the
//! contract, and its records are never skipped; another one's are, from time to time.

use std::collections::VecDeque;

use cebe_dev::demo::{Message, Stream};
use fastrand::Rng;
use serde_json::{Value, json};

/// The tenant that the naive evaluation is done for.
pub const SMALL: &str = "faults-small";
/// The tenant that is sometimes left out.
const SKIPPED: &str = "faults-canary";
const LARGE: &str = "faults-large";

/// Of 20 events, so many are of each tenant.
const SHARES: [(&str, u32); 3] = [(SMALL, 1), (SKIPPED, 7), (LARGE, 12)];
/// An operator changes something about every so many events.
const CONTROL_EVERY: u32 = 1_500;
/// One of so many events is an erasure.
const ERASURE_EVERY: u32 = 400;
/// Candidates for erasure.
const RECENT: usize = 500;

pub const CONTROL_TOPIC: &str = "cebe.control";

/// A record for Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub topic: String,
    pub key: String,
    pub payload: String,
}

/// An endless sequence of events and of changes by an operator.
pub struct Load {
    rng: Rng,
    tenants: Vec<(&'static str, u32, Stream)>,
    /// Account and customer of the last events.
    recent: VecDeque<(&'static str, String)>,
    sent: u64,
    versions: u32,
}

impl Load {
    /// Segments that are in force before the first event.
    pub const SEGMENTS: u64 = 9;

    pub fn new(seed: u64) -> Load {
        let tenant = |(at, (account, share)): (usize, (&'static str, u32))| {
            let seed = seed.wrapping_mul(31).wrapping_add(at as u64);
            (account, share, Stream::new(seed, &format!("{at}-"), &[account]))
        };
        Load {
            rng: Rng::with_seed(seed),
            tenants: SHARES.into_iter().enumerate().map(tenant).collect(),
            recent: VecDeque::new(),
            sent: 0,
            versions: 1,
        }
    }

    /// What has to be in force before the first event: every source is off by default.
    pub fn opening() -> Vec<Outgoing> {
        let segments: Vec<Value> =
            SHARES.iter().flat_map(|(account, _)| segments(account)).collect();
        vec![
            control(&json!({"sources": {"cdp": "on", "broadcast": "on", "ads": "on"}})),
            control(&json!({ "segments": segments })),
        ]
    }

    /// What puts an end to what is still changing: everybody is taken in again.
    pub fn closing() -> Outgoing {
        control(&json!({"sources": {"cdp": "on", "broadcast": "on", "ads": "on"}}))
    }

    pub fn next(&mut self, now_ms: i64) -> Outgoing {
        self.sent += 1;
        if self.rng.u32(..CONTROL_EVERY) == 0 {
            return control(&self.change());
        }
        if self.recent.len() > 100 && self.rng.u32(..ERASURE_EVERY) == 0 {
            return self.erasure(now_ms);
        }
        let mut roll = self.rng.u32(..20);
        let mut at = 0;
        while roll >= self.tenants[at].1 {
            roll -= self.tenants[at].1;
            at += 1;
        }
        let (account, _, stream) = &mut self.tenants[at];
        let message = stream.next(now_ms);
        if let Some(customer) = message.key.strip_prefix(*account).filter(|id| !id.is_empty()) {
            self.recent.push_back((account, customer.to_owned()));
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        event(message)
    }

    fn erasure(&mut self, now_ms: i64) -> Outgoing {
        let (account, customer) = self.recent[self.rng.usize(..self.recent.len())].clone();
        let erased = json!({
            "event_name": "customer.erased", "schema_version": 1, "source_module": "cdp",
            "idempotency_key": format!("erase-{}", self.sent), "account_id": account,
            "qontak_customer_id": customer, "occurred_at": now_ms - self.rng.i64(0..20_000),
        });
        let key = format!("{account}{customer}");
        event(Message { source: "cdp", key, payload: erased.to_string() })
    }

    /// A flag, a setting, or a definition: put, edited, removed.
    fn change(&mut self) -> Value {
        self.versions += 1;
        let version = self.versions;
        let account = SHARES[self.rng.usize(..SHARES.len())].0;
        let source = ["cdp", "broadcast", "ads"][self.rng.usize(..3)];
        match self.rng.u32(..8) {
            0 | 1 => json!({"sources": {source: {"accounts": [SMALL, LARGE]}}}),
            2 => json!({"sources": {source: "on"}}),
            3 => json!({"settings": {"max_customers_per_identifier": self.rng.u32(3..7)}}),
            4 => json!({"segments": [
                {"segment_id": "changing", "account_id": account, "version": version,
                 "when": {"did": "broadcast.replied", "at_least": self.rng.u32(1..4), "within": "30d"}}]}),
            5 => json!({"remove_segments": [{"segment_id": "changing", "account_id": account}]}),
            // These look at properties, and wait for the history of those.
            6 => json!({"segments": [
                {"segment_id": "buyers", "account_id": account, "version": version,
                 "when": {"did": "ad.converted",
                    "where": [{"property": "value", "gte": self.rng.u32(1..5) * 100_000}]}}]}),
            _ => json!({"metrics": [
                {"metric": "lead_rate", "account_id": account, "version": version,
                 "denominator": "ad.clicked", "numerator": "ad.lead", "group_by": "campaign_id",
                 "within": format!("{}h", self.rng.u32(1..72))}]}),
        }
    }
}

/// What there is from the beginning: by attribute, by events, by the passing of time, by both.
fn segments(account: &str) -> [Value; 3] {
    let replied = json!({"did": "broadcast.replied", "within": "30d"});
    let read = json!({"did": "broadcast.read", "within": "4s"});
    let gold = json!({"attribute": "tier", "eq": "gold"});
    [
        json!({"segment_id": "repliers", "account_id": account, "when": replied}),
        json!({"segment_id": "just-read", "account_id": account, "when": read}),
        json!({"segment_id": "gold", "account_id": account,
            "when": {"all": [gold, {"not": {"in_segment": "repliers"}}]}}),
    ]
}

fn control(record: &Value) -> Outgoing {
    Outgoing { topic: CONTROL_TOPIC.into(), key: String::new(), payload: record.to_string() }
}

fn event(Message { source, key, payload }: Message) -> Outgoing {
    Outgoing { topic: format!("cebe.events.{source}"), key, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seed: u64, count: i64) -> Vec<Outgoing> {
        let mut load = Load::new(seed);
        (0..count).map(|n| load.next(1_700_000_000_000 + n)).collect()
    }

    #[test]
    fn same_seed_same_load() {
        assert_eq!(take(1, 3_000), take(1, 3_000));
        assert_ne!(take(1, 3_000), take(2, 3_000));
    }

    #[test]
    fn it_opens_with_what_it_says() {
        let opening: Vec<Value> =
            Load::opening().iter().map(|one| serde_json::from_str(&one.payload).unwrap()).collect();
        let segments = opening[1]["segments"].as_array().unwrap().len();
        assert_eq!(segments as u64, Load::SEGMENTS);
    }

    #[test]
    fn it_holds_every_kind() {
        let all = take(3, 100_000);
        let count = |word: &str| all.iter().filter(|one| one.payload.contains(word)).count();
        for word in [
            "customer.erased",
            "customer.unmerged",
            "customer.teleported",
            r#"{"sources":{"ads":{"accounts""#,
            "max_customers_per_identifier",
            "remove_segments",
            "lead_rate",
            "buyers",
        ] {
            assert!(count(word) > 1, "{word}");
        }
        let small = count(&format!(r#""account_id":"{SMALL}""#));
        assert!((4_000..6_000).contains(&small), "{small} events of the small tenant");
    }
}
