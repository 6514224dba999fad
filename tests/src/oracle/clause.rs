//! Segments (product §5, §9.3): whether a definition, as given, is true of a person.

use serde_json::{Map, Value};

use super::control::{Control, text};
use super::judge::Event;
use super::people::Person;
use super::value;

/// Whether an event still counts: other events than `customer.*` and `segment.*` leave after their
/// retention.
pub fn is_kept(event: &Event, control: &Control, now: i64) -> bool {
    event.name.starts_with("customer.")
        || event.name.starts_with("segment.")
        || now < value::months_after(event.occurred_at, control.retention_months())
}

/// The times at which an answer about this event could change by itself.
pub fn boundaries(event: &Event, control: &Control) -> Vec<i64> {
    let mut times =
        vec![event.occurred_at, value::months_after(event.occurred_at, control.retention_months())];
    for when in control.segments.values() {
        durations(&when["when"], &mut |width| {
            times.extend([event.occurred_at + width, event.occurred_at + width + 1]);
        });
    }
    times
}

fn durations(value: &Value, visit: &mut impl FnMut(i64)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "within" | "recent" => visit(value::duration(field).expect("a duration")),
                    _ => durations(field, visit),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| durations(item, visit)),
        _ => {}
    }
}

/// Judges one person.
pub struct Judged<'j> {
    pub person: &'j Person<'j>,
    pub control: &'j Control,
    pub now: i64,
}

impl Judged<'_> {
    /// Whether a segment's definition holds.
    pub fn belongs(&self, segment: &str) -> bool {
        let id = (self.person.account.to_owned(), segment.to_owned());
        self.control.segments.get(&id).is_some_and(|definition| self.holds(&definition["when"]))
    }

    fn holds(&self, clause: &Value) -> bool {
        if let Some(all) = clause["all"].as_array() {
            return all.iter().all(|one| self.holds(one));
        }
        if let Some(any) = clause["any"].as_array() {
            return any.iter().any(|one| self.holds(one));
        }
        if clause["not"].is_object() {
            return !self.holds(&clause["not"]);
        }
        if let Some(segment) = clause["in_segment"].as_str() {
            return self.person.asserted().contains(segment) || self.belongs(segment);
        }
        if let Some(name) = clause["attribute"].as_str() {
            let personal = ["phone", "email", "name"].contains(&name);
            let value = self.person.attributes().get(name).copied();
            return passes(value, clause, "attribute", personal);
        }
        self.did(clause)
    }

    fn did(&self, clause: &Value) -> bool {
        let duration =
            |name: &str| clause.get(name).map(|d| value::duration(d).expect("a duration"));
        let number = |name: &str| clause.get(name).map(|n| n.as_u64().expect("a number") as usize);
        let events = |name: &str, filter: &str| -> Vec<&Event> {
            let name = text(&clause[name]);
            let kept = self.person.events.iter().filter(|e| {
                e.name == name
                    && e.occurred_at <= self.now
                    && is_kept(e, self.control, self.now)
                    && filtered(&e.properties, clause.get(filter))
            });
            kept.copied().collect()
        };
        let is_sequence = clause.get("then").is_some() || clause.get("then_not").is_some();
        let window = duration(if is_sequence { "recent" } else { "within" });
        let mut first = events("did", "where");
        first.retain(|e| window.is_none_or(|width| self.now - width < e.occurred_at));
        let followers = |name: &str| events(name, "then_where");
        let follows = |a: &Event, b: &Event| {
            let until = duration("within").map(|width| a.occurred_at + width);
            let same = clause["same"].as_str().is_none_or(|property| {
                equal(a.properties.get(property), b.properties.get(property))
            });
            same && a.occurred_at < b.occurred_at
                && until.is_none_or(|until| b.occurred_at <= until)
        };
        if let Some(property) = clause["same"].as_str() {
            first.retain(|e| e.properties.get(property).is_some_and(|value| !value.is_null()));
        }
        if clause.get("then").is_some() {
            let second = followers("then");
            first.retain(|a| second.iter().any(|b| follows(a, b)));
        }
        if clause.get("then_not").is_some() {
            let second = followers("then_not");
            let width = duration("within").expect("then_not has a within");
            first.retain(|a| {
                self.now > a.occurred_at + width && !second.iter().any(|b| follows(a, b))
            });
        }
        let count = first.len();
        if let Some(exactly) = number("exactly") {
            return count == exactly;
        }
        let most = number("at_most");
        let least = number("at_least").unwrap_or(if most.is_some() { 0 } else { 1 });
        count >= least && most.is_none_or(|most| count <= most)
    }
}

/// Whether the properties of an event pass a `where`.
pub fn filtered(properties: &Map<String, Value>, filters: Option<&Value>) -> bool {
    let Some(filters) = filters.and_then(Value::as_array) else { return true };
    filters
        .iter()
        .all(|filter| passes(properties.get(&text(&filter["property"])), filter, "property", false))
}

/// Whether a value passes every operator that stands beside the name of what is tested.
fn passes(value: Option<&Value>, test: &Value, name: &str, personal: bool) -> bool {
    let value = value.filter(|value| !value.is_null());
    let plain = |value: &Value| match value {
        Value::String(raw) if personal => Value::String(value::personal(raw)),
        other => other.clone(),
    };
    let value = value.map(plain);
    let value = value.as_ref();
    test.as_object().expect("an object").iter().filter(|(key, _)| *key != name).all(
        |(operator, operand)| {
            let operand = match operand {
                Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
                other => plain(other),
            };
            let compared = value.and_then(|value| order(value, &operand));
            match operator.as_str() {
                "eq" => compared == Some(0),
                "ne" => compared != Some(0),
                "gt" => compared == Some(1),
                "gte" => compared.is_some_and(|o| o >= 0),
                "lt" => compared == Some(-1),
                "lte" => compared.is_some_and(|o| o <= 0),
                "exists" => value.is_some() == operand.as_bool().expect("a boolean"),
                "in" => {
                    let all = operand.as_array().expect("an array");
                    all.iter().any(|one| value.and_then(|value| order(value, one)) == Some(0))
                }
                "prefix" => {
                    text(value.unwrap_or(&Value::Null)).starts_with(&text(&operand))
                        && value.is_some_and(Value::is_string)
                }
                "contains" => match value {
                    Some(Value::String(whole)) => {
                        operand.as_str().is_some_and(|part| whole.contains(part))
                    }
                    Some(Value::Array(items)) => {
                        items.iter().any(|item| order(item, &operand) == Some(0))
                    }
                    _ => false,
                },
                other => panic!("the oracle does not know {other}"),
            }
        },
    )
}

/// −1, 0 or 1; none across types.
fn order(a: &Value, b: &Value) -> Option<i8> {
    let order = match (a, b) {
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?)?,
        _ => return None,
    };
    Some(order as i8)
}

fn equal(a: Option<&Value>, b: Option<&Value>) -> bool {
    a.zip(b).and_then(|(a, b)| order(a, b)) == Some(0)
}
