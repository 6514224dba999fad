//! From what is said to lines of a file.

use serde_json::{Value, json};

use super::pool::{
    ACCOUNTS, CUSTOMERS, EVENTS, PHONES, SEGMENTS, TEAMS, attribute, control, fill, identifiers,
};
use super::world::{Ago, DAY_MS, MINUTE_MS, Say, Step, WIDTHS};

/// Who tells something, and when it happened; `key` tells ties.
#[derive(Clone, Copy)]
struct When {
    account: usize,
    ago: Ago,
    key: u8,
}

/// Writes lines.
pub struct Writer {
    pub lines: Vec<String>,
    /// The events so far, and when they happened.
    events: Vec<(Value, i64)>,
    pub t: i64,
}

impl Writer {
    pub fn new(t: i64) -> Writer {
        Writer { lines: Vec::new(), events: Vec::new(), t }
    }

    fn happened(&self, which: usize) -> i64 {
        self.events.get(which % self.events.len().max(1)).map_or(self.t, |(_, at)| *at)
    }

    pub fn step(&mut self, step: Step) {
        let to = match step {
            Step::Ms(ms) => self.t + ms,
            Step::Edge(which, width, off) => {
                self.happened(which) + WIDTHS[width % WIDTHS.len()] + off
            }
            Step::Retention(which, off) => {
                let at = jiff::Timestamp::from_millisecond(self.happened(which)).expect("a time");
                let at = at.to_zoned(jiff::tz::TimeZone::UTC);
                let months = if off % 2 == 0 { 24 } else { 1 };
                let end = at.checked_add(jiff::Span::new().months(months)).expect("a time");
                end.timestamp().as_millisecond() + off / 2
            }
        };
        self.t = to.max(self.t).min(self.t + 800 * DAY_MS);
    }

    fn arrives(&mut self, mut line: Value) {
        let t = self.t;
        line["received_at"] = match self.lines.len() % 2 {
            0 => json!(t),
            _ => json!(jiff::Timestamp::from_millisecond(t).expect("a time").to_string()),
        };
        self.lines.push(line.to_string());
    }

    /// One event; `key` tells ties.
    fn event(
        &mut self,
        (source, name): (&str, &str),
        customer: Option<usize>,
        when: When,
        fill: impl FnOnce(&mut Value),
    ) {
        let When { account, ago, key } = when;
        let at = match ago {
            Ago::Ms(ms) => self.t - ms,
            Ago::Of(which, off) => (self.happened(which) + off).min(self.t + 5 * MINUTE_MS),
        };
        let n = self.events.len();
        let mut event = json!({"event_name": name, "schema_version": 1, "source_module": source,
            "idempotency_key": format!("{}{n}", ["k", "a", "z", "k"][usize::from(key) % 4]),
            "account_id": ACCOUNTS[account], "occurred_at": at, "properties": {}});
        if n % 3 == 1 {
            event["occurred_at"] =
                json!(jiff::Timestamp::from_millisecond(at).expect("a time").to_string());
        }
        if let Some(customer) = customer {
            event["qontak_customer_id"] = json!(CUSTOMERS[customer]);
        }
        fill(&mut event);
        self.events.push((event.clone(), at));
        self.arrives(event);
    }

    pub fn say(&mut self, say: &Say, ago: Ago, key: u8) {
        let when = |account| When { account, ago, key };
        match say.clone() {
            Say::Event { who, event, group, more, team } => {
                self.event(EVENTS[event], Some(who.1), when(who.0), |e| {
                    fill(e, EVENTS[event].1, group, more, team)
                });
            }
            Say::Anonymous { account, named, event, group, team } => {
                self.event(EVENTS[event], None, when(account), |e| {
                    fill(e, EVENTS[event].1, group, (usize::from(named), 0), team);
                    e["identifiers"] = identifiers(named);
                });
            }
            Say::Describe { who, fields, further, team } => {
                let name = if further % 2 == 0 { "customer.updated" } else { "customer.created" };
                self.event(("cdp", name), Some(who.1), when(who.0), |e| {
                    for (field, value) in fields {
                        let (name, value) = attribute(field, value);
                        e["properties"][name] = value;
                    }
                    if further > 8 {
                        e["identifiers"] = identifiers(further);
                    }
                    e["team_id"] = team.map_or(Value::Null, |team| json!(TEAMS[team]));
                });
            }
            Say::Merge { account, pair: (a, b), linked } => {
                self.merge(when(account), (a, b), linked)
            }
            Say::Erase { who, of } => {
                let ago = of.map_or(ago, |which| Ago::Of(which, 0));
                let when = When { ago, ..when(who.0) };
                self.event(("cdp", "customer.erased"), Some(who.1), when, |_| {});
            }
            Say::Assert { who, named, segment, entered } => {
                let name = if entered { "segment.entered" } else { "segment.exited" };
                let account = who.map_or(0, |who| who.0);
                self.event(("cdp", name), who.map(|who| who.1), when(account), |e| {
                    e["properties"]["segment_id"] = json!(SEGMENTS[segment]);
                    if who.is_none() {
                        e["identifiers"] = identifiers(named);
                        e["team_id"] = json!(TEAMS[usize::from(named) % 2]);
                    }
                });
            }
            Say::Again { line, changed } => {
                let Some((event, _)) = self.events.get(line % self.events.len().max(1)).cloned()
                else {
                    return;
                };
                let mut event = event;
                if changed {
                    event["occurred_at"] = json!(self.t);
                    event["properties"]["note"] = json!("again");
                }
                let at = if changed { self.t } else { self.happened(line) };
                self.events.push((event.clone(), at));
                self.arrives(event);
            }
            Say::Broken(which) => self.broken(which),
            Say::Control(which, what) => self.arrives(json!({"control": control(which, what)})),
            Say::Chain { account, length, ring, cut } => {
                for at in 1..length {
                    self.merge(When { key: 0, ..when(account) }, (at - 1, at), true);
                }
                if ring {
                    self.merge(When { key: 0, ..when(account) }, (length - 1, 0), true);
                }
                if cut {
                    let when = When { account, ago: Ago::Ms(0), key: 2 };
                    self.merge(when, (length / 2, length / 2 - 1), false);
                }
            }
            Say::Hub { account, holders, phone } => {
                for customer in 0..holders {
                    self.event(("cdp", "customer.created"), Some(customer), when(account), |e| {
                        e["properties"]["phone"] = json!(PHONES[phone]);
                    });
                }
            }
        }
    }

    fn merge(&mut self, when: When, (a, b): (usize, usize), linked: bool) {
        let (name, field) =
            if linked { ("customer.merged", "into") } else { ("customer.unmerged", "from") };
        self.event(("cdp", name), Some(a), when, |e| {
            e["properties"][field] = json!(CUSTOMERS[b]);
        });
    }

    fn broken(&mut self, which: usize) {
        let mut good = json!({"event_name": "broadcast.read", "schema_version": 1,
            "source_module": "broadcast", "idempotency_key": format!("x{}", self.lines.len()),
            "account_id": "acc-1", "qontak_customer_id": "9", "occurred_at": self.t,
            "properties": {"broadcast_id": "b-1"}});
        let far = self.t + 5 * MINUTE_MS;
        match which % 22 {
            0 => return self.lines.push("{\"event_name\": \"broadcast.read\"".into()),
            1 => good["event_name"] = json!("broadcast.teleported"),
            2 => good["schema_version"] = json!(2),
            3 => good["schema_version"] = json!("1"),
            4 => good["idempotency_key"] = json!(""),
            5 => good["account_id"] = json!(17),
            6 => good["team_id"] = json!("t".repeat(65)),
            7 => good["qontak_customer_id"] = json!(9),
            8 => good["identifiers"] = json!([{"type": "phone"}]),
            9 => good["occurred_at"] = json!("yesterday"),
            10 => good["properties"]["broadcast_id"] = json!(7),
            11 => good["properties"] = json!({}),
            12 => good["qontak_customer_id"] = json!(null),
            13 => good["occurred_at"] = json!(far + 1),
            14 => good["occurred_at"] = json!(far),
            15 => good["occurred_at"] = json!(self.t - 800 * DAY_MS),
            16 => good["properties"]["deep"] = json!({"a": {"b": {"c": {"d": 1}}}}),
            17 => good["account_id"] = json!("a".repeat(65)),
            18 => good["source_module"] = json!("pos"),
            19 => {
                good["event_name"] = json!("customer.updated");
                good["source_module"] = json!("cdp");
                good["qontak_customer_id"] = json!([]);
                good["identifiers"] = json!([{"type": "phone", "value": "08123456789"}]);
            }
            20 => good["properties"]["broadcast_id"] = json!("b".repeat(65)),
            _ => good["identifiers"] = json!("none"),
        }
        self.arrives(good);
    }
}
