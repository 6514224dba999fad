//! A believable stream of customer events: people that exist twice, broadcasts and replies, ads,
//! and the late, repeated and broken records that real publishers send. The same seed and the
//! same times give the same stream.

use std::collections::VecDeque;

use fastrand::Rng;
use serde_json::{Value, json};

use super::broken;

/// One Kafka record of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Which source publishes it: the suffix of the topic.
    pub source: &'static str,
    /// The record's key.
    pub key: String,
    /// The record's value.
    pub payload: String,
}

/// How many of the last records are candidates for being sent again.
const REPEATABLE: usize = 512;
const HOUR_MS: i64 = 3_600_000;

/// An endless stream over several accounts.
pub struct Stream {
    rng: Rng,
    /// Makes keys and ids of this run differ from those of another.
    run: String,
    accounts: Vec<Account>,
    sent: u64,
    recent: VecDeque<Message>,
}

struct Account {
    id: String,
    customers: Vec<Customer>,
    broadcasts: u64,
    /// (customer, broadcast) pairs that may still answer.
    open: VecDeque<(usize, String)>,
}

struct Customer {
    id: String,
    phone: String,
    email: String,
}

impl Stream {
    /// A stream over `accounts` with keys and customer ids that carry `run`.
    pub fn new(seed: u64, run: &str, accounts: &[&str]) -> Stream {
        let account = |id: &&str| Account {
            id: id.to_string(),
            customers: Vec::new(),
            broadcasts: 0,
            open: VecDeque::new(),
        };
        Stream {
            rng: Rng::with_seed(seed),
            run: run.into(),
            accounts: accounts.iter().map(account).collect(),
            sent: 0,
            recent: VecDeque::new(),
        }
    }

    /// The next record, published at `now_ms`.
    pub fn next(&mut self, now_ms: i64) -> Message {
        self.sent += 1;
        if self.rng.u32(..1000) < 15
            && let Some(again) = self.rng.choice(&self.recent)
        {
            return again.clone();
        }
        let (source, mut event) = self.event(now_ms);
        let key = format!(
            "{}{}",
            event["account_id"].as_str().unwrap_or_default(),
            event["qontak_customer_id"].as_str().unwrap_or_default()
        );
        let payload = if self.rng.u32(..1000) < 10 {
            broken::break_one_thing(&mut self.rng, &mut event, now_ms)
        } else {
            event.to_string()
        };
        let message = Message { source, key, payload };
        self.recent.push_back(message.clone());
        if self.recent.len() > REPEATABLE {
            self.recent.pop_front();
        }
        message
    }

    fn event(&mut self, now_ms: i64) -> (&'static str, Value) {
        let at = self.rng.usize(..self.accounts.len());
        let roll = if self.accounts[at].customers.len() < 20 { 0 } else { self.rng.u32(..1000) };
        let occurred_at = if self.rng.u32(..1000) < 20 {
            now_ms - self.rng.i64(2..400) * HOUR_MS
        } else {
            now_ms
        };
        let number = self.sent;
        let run = self.run.clone();
        let (source, name, customer, properties) = match roll {
            0..80 => self.created(at),
            80..110 => self.updated(at),
            110..116 => self.linked(at),
            116..520 => self.touched(at, "broadcast.sent"),
            520..660 => self.answered(at, "broadcast.delivered"),
            660..780 => self.answered(at, "broadcast.read"),
            780..910 => self.answered(at, "broadcast.replied"),
            910..925 => self.asserted(at),
            _ => self.advertised(at),
        };
        let account = &self.accounts[at];
        let customer_id = &account.customers[customer].id;
        let mut event = json!({
            "event_name": name,
            "schema_version": 1,
            "source_module": source,
            "idempotency_key": format!("{run}-{number}"),
            "account_id": account.id,
            "team_id": format!("team-{}", customer % 4),
            "qontak_customer_id": customer_id,
            "occurred_at": occurred_at,
            "properties": properties,
        });
        // A device that knows the number and nothing else.
        if name == "broadcast.read" && self.rng.u32(..20) == 0 {
            let phone = json!({"type": "phone", "value": account.customers[customer].phone});
            event["identifiers"] = json!([phone]);
            event["qontak_customer_id"] = Value::Null;
        }
        (source, event)
    }

    fn created(&mut self, at: usize) -> Statement {
        let account = &mut self.accounts[at];
        let number = account.customers.len();
        let mut customer = Customer {
            id: format!("{}{:05}", self.run, number),
            phone: format!("08{:010}", self.rng.u64(..10_000_000_000)),
            email: format!("person.{}.{number}@example.org", self.run),
        };
        // Some people register twice: with their phone written another way, or the same email.
        if number > 20 && self.rng.u32(..100) < 12 {
            let twin = &account.customers[self.rng.usize(..number)];
            if self.rng.bool() {
                customer.phone = format!("+62 {}", &twin.phone[1..]);
            } else {
                customer.email = twin.email.to_uppercase();
            }
        }
        let properties = json!({
            "phone": customer.phone,
            "email": customer.email,
            "name": NAMES[number % NAMES.len()],
            "city": CITIES[self.rng.usize(..CITIES.len())],
            "tier": TIERS[self.rng.usize(..TIERS.len())],
        });
        account.customers.push(customer);
        ("cdp", "customer.created", number, properties)
    }

    fn updated(&mut self, at: usize) -> Statement {
        let account = &mut self.accounts[at];
        let which = self.rng.usize(..account.customers.len());
        let properties = if self.rng.u32(..10) == 0 {
            let phone = format!("08{:010}", self.rng.u64(..10_000_000_000));
            account.customers[which].phone = phone.clone();
            json!({ "phone": phone })
        } else {
            json!({ "city": CITIES[self.rng.usize(..CITIES.len())] })
        };
        ("cdp", "customer.updated", which, properties)
    }

    fn linked(&mut self, at: usize) -> Statement {
        let account = &self.accounts[at];
        let one = self.rng.usize(..account.customers.len());
        let other = &account.customers[self.rng.usize(..account.customers.len())].id;
        if self.rng.u32(..4) == 0 {
            ("cdp", "customer.unmerged", one, json!({ "from": other }))
        } else {
            ("cdp", "customer.merged", one, json!({ "into": other }))
        }
    }

    fn touched(&mut self, at: usize, name: &'static str) -> Statement {
        let account = &mut self.accounts[at];
        // A new broadcast every 400 messages or so; the last three are going out.
        if account.broadcasts == 0 || self.rng.u32(..400) == 0 {
            account.broadcasts += 1;
        }
        let number = account.broadcasts - self.rng.u64(..account.broadcasts.min(3));
        let broadcast = format!("{}-b{number}", self.run);
        let which = self.rng.usize(..account.customers.len());
        account.open.push_back((which, broadcast.clone()));
        if account.open.len() > 2_000 {
            account.open.pop_front();
        }
        ("broadcast", name, which, json!({ "broadcast_id": broadcast }))
    }

    fn answered(&mut self, at: usize, name: &'static str) -> Statement {
        let open = &self.accounts[at].open;
        match self.rng.choice(open).cloned() {
            Some((which, broadcast)) => {
                ("broadcast", name, which, json!({ "broadcast_id": broadcast }))
            }
            None => self.touched(at, "broadcast.sent"),
        }
    }

    fn asserted(&mut self, at: usize) -> Statement {
        let which = self.rng.usize(..self.accounts[at].customers.len());
        let name = if self.rng.u32(..3) == 0 { "segment.exited" } else { "segment.entered" };
        ("cdp", name, which, json!({ "segment_id": "vip" }))
    }

    fn advertised(&mut self, at: usize) -> Statement {
        let which = self.rng.usize(..self.accounts[at].customers.len());
        let campaign = format!("{}-c{}", self.run, self.rng.u32(1..4));
        match self.rng.u32(..10) {
            0..7 => ("ads", "ad.clicked", which, json!({ "campaign_id": campaign })),
            7..9 => ("ads", "ad.lead", which, json!({ "campaign_id": campaign })),
            _ => {
                let value = self.rng.u32(10..500) * 1_000;
                ("ads", "ad.converted", which, json!({ "campaign_id": campaign, "value": value }))
            }
        }
    }
}

/// Source, event name, index of the customer, properties.
type Statement = (&'static str, &'static str, usize, Value);

const NAMES: [&str; 6] = ["Sari", "Budi", "Dewi", "Agus", "Rina", "Joko"];
const CITIES: [&str; 5] = ["Jakarta", "Depok", "Bandung", "Surabaya", "Medan"];
const TIERS: [&str; 3] = ["gold", "silver", "basic"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_stream() {
        let take = |seed| {
            let mut stream = Stream::new(seed, "r", &["a", "b"]);
            (0..2_000).map(|i| stream.next(1_000_000_000 + i)).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn it_holds_what_it_promises() {
        let mut stream = Stream::new(7, "r", &["a", "b"]);
        let all: Vec<_> = (0..20_000).map(|i| stream.next(1_000_000_000_000 + i)).collect();
        let count = |word: &str| all.iter().filter(|m| m.payload.contains(word)).count();
        for word in [
            "customer.merged",
            "customer.unmerged",
            "broadcast.replied",
            "ad.converted",
            "segment.exited",
            r#""qontak_customer_id":null"#,
        ] {
            assert!(count(word) > 5, "{word}");
        }
        let distinct: std::collections::BTreeSet<_> = all.iter().map(|m| &m.payload).collect();
        assert!(all.len() - distinct.len() > 100, "records are repeated");
    }
}
