//! The rows of every view, in the columns that are compared. A masked text is an object with its
//! one key [`TOKEN`]: the text that it stands for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::State;
use super::history::{History, Rate};
use super::judge::{Event, Judge};
use super::people::{Person, people};
use super::value::{self, text_of_time};

/// Marks a text of which only equality is known.
pub const TOKEN: &str = "\u{1}token";

/// View → rows, in no order.
type Rows = BTreeMap<&'static str, Vec<Value>>;

/// The views at one time.
pub struct Views {
    pub(super) rows: Rows,
    events: Vec<Value>,
}

fn token(account: &str, text: &str) -> Value {
    json!({TOKEN: format!("{account} {text}")})
}

impl Views {
    /// The rows of one view; of `events`, only what tells one from another.
    pub fn of(&self, view: &str) -> &[Value] {
        match view {
            "events" => &self.events,
            view => self.rows.get(view).map_or(&[], Vec::as_slice),
        }
    }

    /// Some columns of a view, each row as an array.
    pub fn table(&self, view: &str, columns: &[&str]) -> Vec<Value> {
        let row = |row: &Value| columns.iter().map(|column| row[*column].clone()).collect();
        self.of(view).iter().map(row).collect()
    }

    /// Records by verdict: `accepted`, `duplicate`, `skipped`, or the reason of a rejection.
    pub fn verdicts(&self) -> BTreeMap<String, u64> {
        let mut verdicts = BTreeMap::new();
        for row in self.of("ingest_ledger") {
            for name in ["accepted", "duplicate", "skipped"] {
                let count = row[name].as_u64().expect("a count");
                *verdicts.entry(name.to_owned()).or_default() += count;
            }
        }
        for row in self.of("rejected_events") {
            *verdicts.entry(row["reason"].as_str().expect("a reason").to_owned()).or_default() += 1;
        }
        verdicts.retain(|_, count| *count > 0);
        verdicts
    }

    pub(super) fn new(state: &State, history: &History, judge: &Judge) -> Views {
        let people = people(state);
        let mut rows = Rows::new();
        let identity = |person: &Person| {
            let row = |member: &&str| {
                json!({"account_id": person.account,
                "qontak_customer_id": member, "customer_id": person.canonical()})
            };
            person.members.iter().map(row).collect::<Vec<_>>()
        };
        rows.insert("identities", people.persons.iter().flat_map(identity).collect());
        rows.insert("customers", people.persons.iter().map(customer).collect());
        let quarantine = people.quarantine.iter().map(|(account, reason, identifier, ids)| {
            let identifier = identifier.as_ref();
            let token = identifier.map(|(kind, text)| token(account, &format!("{kind} {text}")));
            json!({"account_id": account, "reason": reason,
                "identifier_token": token.unwrap_or(json!("")), "customer_ids": ids})
        });
        rows.insert("identity_quarantine", quarantine.collect());
        rows.insert(
            "rejected_events",
            judge
                .rejected
                .iter()
                .map(|row| {
                    json!({"topic": row.topic, "offset": row.line, "account_id": row.account,
                "source_module": row.source, "event_name": row.event_name, "reason": row.reason,
                "pointer": row.pointer, "received_at": text_of_time(row.arrival)})
                })
                .collect(),
        );
        rows.insert("ingest_ledger", judge.ledger.iter().map(|(topic, counts)| {
            let [read, accepted, duplicate, rejected, skipped] = counts;
            json!({"topic": topic, "partition": 0, "records_read": read, "accepted": accepted,
                "duplicate": duplicate, "rejected": rejected, "skipped": skipped, "difference": 0})
        }).collect());
        derived(&mut rows, history);
        let event = |event: &Event| {
            json!({"account_id": event.account, "source_module": event.source,
                "idempotency_key": event.key})
        };
        Views { rows, events: state.events.iter().map(event).collect() }
    }
}

fn derived(rows: &mut Rows, history: &History) {
    let members = history.members.iter().map(|((account, segment, customer), (at, version))| {
        json!({"account_id": account, "segment_id": segment, "customer_id": customer,
            "entered_at": text_of_time(*at), "definition_version": version})
    });
    rows.insert("segment_members", members.collect());
    let changes = history.segment_changes.iter().map(|change| {
        let (account, segment, customer) = &change.key;
        json!({"account_id": account, "segment_id": segment, "customer_id": customer,
            "change": if change.entered { "entered" } else { "exited" }, "cause": change.cause,
            "logical_time": text_of_time(change.at), "definition_version": change.version})
    });
    rows.insert("segment_changes", changes.collect());
    let values = history.rates();
    let values = values.iter().map(|((account, metric, group), value)| {
        json!({"account_id": account, "metric": metric, "group_key": group,
            "numerator": value.0, "denominator": value.1, "rate": rate(*value)})
    });
    rows.insert("metric_values", values.collect());
    let changes = history.metric_changes.iter().map(|change| {
        let (account, metric, group) = &change.key;
        json!({"account_id": account, "metric": metric, "group_key": group,
            "old_numerator": change.old.0, "old_denominator": change.old.1,
            "old_rate": rate(change.old), "new_numerator": change.new.0,
            "new_denominator": change.new.1, "new_rate": rate(change.new),
            "cause": change.cause, "logical_time": text_of_time(change.at)})
    });
    rows.insert("metric_changes", changes.collect());
}

fn rate((numerator, denominator): Rate) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

fn customer(person: &Person) -> Value {
    let shown = |(name, value): (&str, &Value)| {
        let personal = ["phone", "email", "name"].contains(&name);
        let value = match value {
            Value::String(raw) if personal && !raw.is_empty() => {
                token(person.account, &value::personal(raw))
            }
            other => other.clone(),
        };
        (name.to_owned(), value)
    };
    let attributes: Map<String, Value> = person.attributes().into_iter().map(shown).collect();
    let times = || person.events.iter().map(|event| event.occurred_at);
    json!({"account_id": person.account, "customer_id": person.canonical(),
        "member_ids": person.members, "attributes": attributes, "team_ids": person.teams(),
        "first_seen": times().min().map(text_of_time),
        "last_seen": times().max().map(text_of_time)})
}
