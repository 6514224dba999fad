//! What is published: the same seed and the same times give the same records.
//!
//! Three tenants at a time on all sources. One of them is small enough for the naive evaluation of the
//! contract, and its records are never skipped: once it has grown, another small one takes its place.
//! The records of one of the others are skipped from time to time. Events of all come by both lanes, that
//! of live ones and that of backfills.

use std::collections::VecDeque;

use cebe_dev::demo::{Message, Stream};
use fastrand::Rng;
use serde_json::{Value, json};

/// The tenants that the naive evaluation is done for, one after the other.
pub const SMALL: [&str; 24] = [
    "small-00", "small-01", "small-02", "small-03", "small-04", "small-05", "small-06", "small-07",
    "small-08", "small-09", "small-10", "small-11", "small-12", "small-13", "small-14", "small-15",
    "small-16", "small-17", "small-18", "small-19", "small-20", "small-21", "small-22", "small-23",
];
/// So many events of one of them, then the next one's. What the naive evaluation takes grows with their square.
const SMALL_EVENTS: u32 = 5_000;
/// The tenant that is sometimes left out.
const SKIPPED: &str = "faults-canary";
const LARGE: &str = "faults-large";

/// Of 20 events, one is a small tenant's, so many are the skipped one's, and the rest the large one's.
const SKIPPED_SHARE: u32 = 7;
/// An operator changes something about every so many events.
const CONTROL_EVERY: u32 = 1_500;
/// One of so many events is an erasure.
const ERASURE_EVERY: u32 = 400;
/// One of so many events comes by the lane for the past.
const BACKFILL_EVERY: u32 = 6;
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
    seed: u64,
    small: Tenant,
    skipped: Tenant,
    large: Tenant,
    small_sent: u32,
    /// Account and customer of the last events.
    recent: VecDeque<(&'static str, String)>,
    sent: u64,
    versions: u32,
}

struct Tenant {
    account: &'static str,
    stream: Stream,
}

impl Tenant {
    fn new(seed: u64, account: &'static str) -> Tenant {
        let own = account.bytes().fold(seed, |own, byte| own.wrapping_mul(31) + u64::from(byte));
        Tenant { account, stream: Stream::new(own, &format!("{account}-"), &[account]) }
    }
}

impl Load {
    /// Segments that are in force before the first event.
    pub const SEGMENTS: u64 = 3 * (2 + SMALL.len() as u64);

    pub fn new(seed: u64) -> Load {
        Load {
            rng: Rng::with_seed(seed),
            seed,
            small: Tenant::new(seed, SMALL[0]),
            skipped: Tenant::new(seed, SKIPPED),
            large: Tenant::new(seed, LARGE),
            small_sent: 0,
            recent: VecDeque::new(),
            sent: 0,
            versions: 1,
        }
    }

    /// What has to be in force before the first event: every source is off by default.
    pub fn opening() -> Vec<Outgoing> {
        let accounts = [SKIPPED, LARGE].into_iter().chain(SMALL);
        let segments: Vec<Value> = accounts.flat_map(segments).collect();
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
        let tenant = match self.rng.u32(..20) {
            0 => self.next_small(),
            1..=SKIPPED_SHARE => &mut self.skipped,
            _ => &mut self.large,
        };
        let (account, message) = (tenant.account, tenant.stream.next(now_ms));
        if let Some(customer) = message.key.strip_prefix(account).filter(|id| !id.is_empty()) {
            self.recent.push_back((account, customer.to_owned()));
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        match self.rng.u32(..BACKFILL_EVERY) {
            0 => event("backfill", message),
            _ => event("events", message),
        }
    }

    /// The small tenant of the next event.
    fn next_small(&mut self) -> &mut Tenant {
        let turn = (self.small_sent / SMALL_EVENTS) as usize % SMALL.len();
        if self.small.account != SMALL[turn] {
            self.small = Tenant::new(self.seed, SMALL[turn]);
        }
        self.small_sent += 1;
        &mut self.small
    }

    fn erasure(&mut self, now_ms: i64) -> Outgoing {
        let (account, customer) = self.recent[self.rng.usize(..self.recent.len())].clone();
        let erased = json!({
            "event_name": "customer.erased", "schema_version": 1, "source_module": "cdp",
            "idempotency_key": format!("erase-{}", self.sent), "account_id": account,
            "qontak_customer_id": customer, "occurred_at": now_ms - self.rng.i64(0..20_000),
        });
        let key = format!("{account}{customer}");
        event("events", Message { source: "cdp", key, payload: erased.to_string() })
    }

    /// A flag, a setting, or a definition: put, edited, removed.
    fn change(&mut self) -> Value {
        self.versions += 1;
        let version = self.versions;
        let account = [self.small.account, SKIPPED, LARGE][self.rng.usize(..3)];
        let source = ["cdp", "broadcast", "ads"][self.rng.usize(..3)];
        match self.rng.u32(..8) {
            0 | 1 => {
                let accounts: Vec<&str> = SMALL.into_iter().chain([LARGE]).collect();
                json!({"sources": {source: {"accounts": accounts}}})
            }
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

/// An event by one of the lanes `events` and `backfill`.
fn event(lane: &str, Message { source, key, payload }: Message) -> Outgoing {
    Outgoing { topic: format!("cebe.{lane}.{source}"), key, payload }
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
        let past = all.iter().filter(|one| one.topic.starts_with("cebe.backfill.")).count();
        assert!((15_000..18_000).contains(&past), "{past} events of the past");
        let of = |account: &str| count(&format!(r#""account_id":"{account}""#));
        let small: usize = SMALL.into_iter().map(of).sum();
        assert!((4_000..6_000).contains(&small), "{small} events of small tenants");
    }

    #[test]
    fn small_tenants_take_turns() {
        let mut load = Load::new(1);
        let turns: Vec<&str> = (0..2 * SMALL_EVENTS).map(|_| load.next_small().account).collect();
        let turns: Vec<_> =
            turns.chunk_by(|a, b| a == b).map(|turn| (turn[0], turn.len())).collect();
        let each = SMALL_EVENTS as usize;
        assert_eq!(turns, [(SMALL[0], each), (SMALL[1], each)]);
    }
}
