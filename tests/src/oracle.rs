//! What every table should hold after a list of records: a naive batch evaluation of the contract
//! which shares no code with the engine. It knows as much of the contract as
//! `cebe_dev::demo::Stream` exercises.

use std::collections::{BTreeMap, BTreeSet};

use cebe_dev::demo::Message;
use serde_json::Value;

const HOUR_MS: i64 = 3_600_000;
const HOLDERS_MAX: usize = 5;

/// (account, member) → canonical.
pub type Identities = BTreeMap<(String, String), String>;
/// (account, metric, group) → (numerator, denominator).
pub type Metrics = BTreeMap<(String, String, String), (u64, u64)>;

/// The answers, as the analysts' views show them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// By verdict: `accepted`, `duplicate`, `skipped`, or a reason code.
    pub verdicts: BTreeMap<String, u64>,
    /// (account, source, key) of every accepted event.
    pub events: BTreeSet<(String, String, String)>,
    /// The view `identities`.
    pub identities: Identities,
    /// The view `metric_values`.
    pub metrics: Metrics,
    /// (account, customer) with a reply in the last 30 days.
    pub repliers: BTreeSet<(String, String)>,
}

/// When, then key: the last statement wins.
type Stamp = (i64, String);
type Node = (String, String);

#[derive(Default)]
struct History {
    known: BTreeSet<Node>,
    attributes: BTreeMap<(Node, &'static str), (Stamp, Option<String>)>,
    links: BTreeMap<(Node, Node), (Stamp, bool)>,
    /// (who, event name, broadcast, when)
    touches: Vec<(Node, String, String, i64)>,
}

/// Evaluates `records` in order of arrival at `now_ms`, with every source in `sources` on.
pub fn evaluate(records: &[Message], sources: &[&str], now_ms: i64) -> Answers {
    let mut answers = Answers::default();
    let mut history = History::default();
    for record in records {
        let verdict = match judge(record, sources, now_ms) {
            Ok(event) => {
                let key = (
                    text(&event, "account_id"),
                    text(&event, "source_module"),
                    text(&event, "idempotency_key"),
                );
                if answers.events.insert(key) {
                    history.take_in(&event);
                    "accepted"
                } else {
                    "duplicate"
                }
            }
            Err(verdict) => verdict,
        };
        *answers.verdicts.entry(verdict.into()).or_default() += 1;
    }
    answers.identities = history.identities();
    history.rates_and_repliers(&mut answers, now_ms);
    answers
}

fn judge(record: &Message, sources: &[&str], now_ms: i64) -> Result<Value, &'static str> {
    let event: Value = serde_json::from_str(&record.payload).map_err(|_| "malformed_json")?;
    if !sources.contains(&record.source) {
        return Err("skipped");
    }
    let name = event["event_name"].as_str().unwrap_or_default();
    if name == "customer.teleported" {
        return Err("unknown_event");
    }
    if event["schema_version"] != 1 {
        return Err("unsupported_version");
    }
    let id = &event["qontak_customer_id"];
    let identified = id.is_string() || id.is_null() && event["identifiers"].is_array();
    let texts = event["idempotency_key"].is_string() && identified;
    let Some(occurred_at) = event["occurred_at"].as_i64().filter(|_| texts) else {
        return Err("schema_violation");
    };
    if occurred_at > now_ms + 5 * 60_000 { Err("future_event") } else { Ok(event) }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().into()
}

impl History {
    fn take_in(&mut self, event: &Value) {
        let account = text(event, "account_id");
        let who = (account.clone(), text(event, "qontak_customer_id"));
        let when = event["occurred_at"].as_i64().unwrap_or_default();
        let stamp = (when, text(event, "idempotency_key"));
        let name = text(event, "event_name");
        let properties = &event["properties"];
        if event["qontak_customer_id"].is_null() {
            // Only `broadcast.read` comes without an id, and no answer below looks at it.
            return;
        }
        self.known.insert(who.clone());
        match name.as_str() {
            "customer.created" | "customer.updated" => {
                let phone = properties["phone"].as_str().map(international);
                let email = properties["email"].as_str().map(|e| e.trim().to_lowercase());
                for (slot, value) in [("phone", phone), ("email", email)] {
                    if value.is_some() {
                        latest(&mut self.attributes, (who.clone(), slot), stamp.clone(), value);
                    }
                }
            }
            "customer.merged" | "customer.unmerged" => {
                let linked = name == "customer.merged";
                let other = text(properties, if linked { "into" } else { "from" });
                let other = (account, other);
                self.known.insert(other.clone());
                let pair = if who < other { (who, other) } else { (other, who) };
                if pair.0 != pair.1 {
                    latest(&mut self.links, pair, stamp, linked);
                }
            }
            _ => self.touches.push((who, name, text(properties, "broadcast_id"), when)),
        }
    }

    /// Every pair of customers with a link, merged until nothing moves.
    fn identities(&self) -> Identities {
        let mut holders: BTreeMap<(&str, &str, &str), Vec<&Node>> = BTreeMap::new();
        for ((who, slot), (_, value)) in &self.attributes {
            if let Some(value) = value {
                holders.entry((&who.0, slot, value)).or_default().push(who);
            }
        }
        let shared = holders
            .values()
            .filter(|h| h.len() <= HOLDERS_MAX)
            .flat_map(|h| h.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())));
        let explicit = self.links.iter().filter(|(_, (_, on))| *on).map(|(pair, _)| pair.clone());
        let links: Vec<(Node, Node)> = shared.chain(explicit).collect();
        let mut canonical: BTreeMap<Node, String> =
            self.known.iter().map(|node| (node.clone(), node.1.clone())).collect();
        loop {
            let mut moved = false;
            for (one, other) in &links {
                let least = shortlex_least(&canonical[one], &canonical[other]);
                for node in [one, other] {
                    moved |= canonical.insert(node.clone(), least.clone()) != Some(least.clone());
                }
            }
            if !moved {
                return canonical;
            }
        }
    }

    fn rates_and_repliers(&self, answers: &mut Answers, now_ms: i64) {
        // (account, broadcast) → person → (sent at, replied at)
        type Times = (Vec<i64>, Vec<i64>);
        let mut by_broadcast: BTreeMap<(String, String), BTreeMap<String, Times>> = BTreeMap::new();
        for (who, name, broadcast, when) in &self.touches {
            let person = answers.identities[who].clone();
            if name == "broadcast.replied" && now_ms - 720 * HOUR_MS < *when && *when <= now_ms {
                answers.repliers.insert((who.0.clone(), person.clone()));
            }
            let persons = by_broadcast.entry((who.0.clone(), broadcast.clone())).or_default();
            let times = persons.entry(person).or_default();
            match name.as_str() {
                "broadcast.sent" => times.0.push(*when),
                "broadcast.replied" => times.1.push(*when),
                _ => {}
            }
        }
        for ((account, broadcast), persons) in by_broadcast {
            let reached: Vec<&Times> =
                persons.values().filter(|(sent, _)| !sent.is_empty()).collect();
            let answered = |(sent, replied): &&&Times| {
                sent.iter().any(|s| replied.iter().any(|r| s <= r && *r <= s + 72 * HOUR_MS))
            };
            let numerator = reached.iter().filter(answered).count() as u64;
            if !reached.is_empty() {
                let key = (account, "reply_rate".into(), broadcast);
                answers.metrics.insert(key, (numerator, reached.len() as u64));
            }
        }
    }
}

fn latest<K: Ord, V>(map: &mut BTreeMap<K, (Stamp, V)>, key: K, stamp: Stamp, value: V) {
    if map.get(&key).is_none_or(|(held, _)| *held < stamp) {
        map.insert(key, (stamp, value));
    }
}

fn shortlex_least(one: &str, other: &str) -> String {
    if (one.len(), one) <= (other.len(), other) { one.into() } else { other.into() }
}

/// Indonesian numbers, as the stream writes them.
fn international(phone: &str) -> String {
    let digits = phone.replace(' ', "");
    match digits.strip_prefix('0') {
        Some(rest) => format!("+62{rest}"),
        None => digits,
    }
}
