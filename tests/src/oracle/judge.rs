//! Verdicts and dedup (product §9.1), on lines of a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::control::{self, Control, text};
use super::value;

/// An accepted event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub ordinal: usize,
    pub arrival: i64,
    pub account: String,
    pub source: String,
    pub name: String,
    pub key: String,
    pub team: Option<String>,
    pub customer: Option<String>,
    /// (type, normal form).
    pub identifiers: Vec<(String, String)>,
    pub occurred_at: i64,
    pub properties: Map<String, Value>,
}

impl Event {
    /// An event of CDP by this name.
    pub fn is_cdp(&self, name: &str) -> bool {
        self.source == "cdp" && self.name == name
    }

    /// It sets attributes.
    pub fn describes(&self) -> bool {
        self.is_cdp("customer.created") || self.is_cdp("customer.updated")
    }

    /// The customer that it links its own to, or no longer.
    pub fn other(&self) -> Option<&str> {
        let field = match self.name.as_str() {
            "customer.merged" => "into",
            "customer.unmerged" => "from",
            _ => return None,
        };
        self.properties.get(field)?.as_str().filter(|_| self.source == "cdp")
    }

    /// What decides between two statements about one thing.
    pub fn stamp(&self) -> (i64, &str, usize) {
        (self.occurred_at, &self.key, self.ordinal)
    }

    /// The identifiers that it names, its attributes among them.
    pub fn named(&self) -> Vec<(String, String)> {
        let attribute = |kind: &str| {
            let raw = self.properties.get(kind)?.as_str()?;
            Some((kind.to_owned(), value::identifier(kind, raw)?))
        };
        let attributes = ["phone", "email"].into_iter().filter(|_| self.describes());
        let attributes = attributes.filter_map(attribute);
        self.identifiers.iter().cloned().chain(attributes).collect()
    }
}

/// What becomes of a line.
pub enum Outcome {
    Accepted(Box<Event>),
    Duplicate,
    Skipped,
    /// Reason and pointer.
    Rejected(&'static str, String),
    /// A control record.
    Control,
}

/// A row of `rejected_events`, as far as it is compared.
#[derive(Clone, Debug)]
pub struct Rejected {
    pub topic: String,
    pub line: usize,
    pub account: String,
    pub source: String,
    pub event_name: String,
    pub reason: &'static str,
    pub pointer: String,
    pub arrival: i64,
}

/// Read, accepted, duplicate, rejected, skipped.
pub type Counts = [u64; 5];

/// Judges lines in order.
#[derive(Default)]
pub struct Judge {
    schemas: BTreeMap<(String, String), BTreeMap<i64, Value>>,
    /// Arrival of the accepted copy.
    keys: BTreeMap<(String, String, String), i64>,
    pub rejected: Vec<Rejected>,
    /// By topic.
    pub ledger: BTreeMap<String, Counts>,
}

type Fault = (&'static str, String);

impl Judge {
    /// The verdict on a line that arrives at `t`.
    pub fn take(&mut self, line: usize, raw: &str, t: i64, control: &Control) -> Outcome {
        if control::record(raw).is_some() {
            return Outcome::Control;
        }
        let parsed = serde_json::from_str::<Value>(raw).ok();
        let object = parsed.as_ref().and_then(Value::as_object).cloned();
        let source = object.as_ref().map(|o| o.get("source_module").map(text).unwrap_or_default());
        let source = source.unwrap_or_default();
        let outcome = self.judge(line, raw.len(), object.clone(), &source, t, control);
        let topic = format!("cebe.events.{source}");
        let counts = self.ledger.entry(topic.clone()).or_default();
        counts[0] += 1;
        counts[match &outcome {
            Outcome::Accepted(_) => 1,
            Outcome::Duplicate => 2,
            Outcome::Rejected(..) => 3,
            Outcome::Skipped => 4,
            Outcome::Control => unreachable!("no event"),
        }] += 1;
        if let Outcome::Rejected(reason, pointer) = &outcome {
            let field = |name: &str| {
                object
                    .as_ref()
                    .map_or(String::new(), |o| text(&o.get(name).cloned().unwrap_or_default()))
            };
            let (mut account, mut event_name) = (field("account_id"), field("event_name"));
            if account.len() > 64 {
                account.clear();
            }
            if *reason == "oversized" {
                account.clear();
                event_name.clear();
            }
            let (pointer, arrival) = (pointer.clone(), t);
            self.rejected.push(Rejected {
                topic,
                line,
                account,
                source,
                event_name,
                reason,
                pointer,
                arrival,
            });
        }
        outcome
    }

    fn judge(
        &mut self,
        line: usize,
        bytes: usize,
        object: Option<Map<String, Value>>,
        source: &str,
        t: i64,
        control: &Control,
    ) -> Outcome {
        if bytes > 70_000 {
            return Outcome::Rejected("oversized", String::new());
        }
        let Some(mut object) = object else {
            return Outcome::Rejected("malformed_json", String::new());
        };
        object.retain(|_, value| !value.is_null() && *value != Value::Array(vec![]));
        let account = object.get("account_id").and_then(Value::as_str).filter(|a| !a.is_empty());
        if !control.takes(source, account) {
            return Outcome::Skipped;
        }
        match self.examine(line, &object, source, t, control) {
            Err((reason, pointer)) => Outcome::Rejected(reason, pointer),
            Ok(event) => {
                let key = (event.account.clone(), event.source.clone(), event.key.clone());
                match self.keys.get(&key) {
                    Some(first) if t - first < control.dedup_horizon() => Outcome::Duplicate,
                    _ => {
                        self.keys.insert(key, t);
                        Outcome::Accepted(Box::new(event))
                    }
                }
            }
        }
    }

    fn examine(
        &mut self,
        ordinal: usize,
        object: &Map<String, Value>,
        source: &str,
        t: i64,
        control: &Control,
    ) -> Result<Event, Fault> {
        let violation = |pointer: &str| ("schema_violation", pointer.to_owned());
        let name = id(object, "event_name", usize::MAX)?.ok_or(violation("/event_name"))?;
        id(object, "source_module", usize::MAX)?.ok_or(violation("/source_module"))?;
        let version = object.get("schema_version").filter(|v| v.is_i64() || v.is_u64());
        let version = version.ok_or(violation("/schema_version"))?.as_i64();
        let schemas = self.schemas(source, &name);
        if schemas.is_empty() {
            return Err(("unknown_event", "/event_name".into()));
        }
        let schema = version.and_then(|version| schemas.get(&version).cloned());
        let schema = schema.ok_or(("unsupported_version", "/schema_version".to_owned()))?;
        let key = id(object, "idempotency_key", 128)?.ok_or(violation("/idempotency_key"))?;
        let account = id(object, "account_id", 64)?.ok_or(violation("/account_id"))?;
        let team = id(object, "team_id", 64)?;
        let customer = id(object, "qontak_customer_id", 64)?;
        let given = identifiers(object.get("identifiers"))?;
        let occurred_at = object.get("occurred_at").and_then(value::time);
        let occurred_at = occurred_at.ok_or(violation("/occurred_at"))?;
        let properties = properties(object.get("properties"), &schema)?;
        if customer.is_none() && (name.starts_with("customer.") || given.is_empty()) {
            return Err(("missing_identity", String::new()));
        }
        if occurred_at > t + 5 * 60_000 {
            return Err(("future_event", "/occurred_at".into()));
        }
        if occurred_at < value::months_after(t, -control.retention_months()) {
            return Err(("too_old", "/occurred_at".into()));
        }
        let normal = |(kind, raw): (String, String)| {
            let normal = value::identifier(&kind, &raw)?;
            Some((kind, normal))
        };
        let identifiers = given.into_iter().filter_map(normal).collect();
        let source = source.to_owned();
        Ok(Event {
            ordinal,
            arrival: t,
            account,
            source,
            name,
            key,
            team,
            customer,
            identifiers,
            occurred_at,
            properties,
        })
    }

    /// The schemas of an event type by version, from their files.
    fn schemas(&mut self, source: &str, name: &str) -> &BTreeMap<i64, Value> {
        self.schemas.entry((source.to_owned(), name.to_owned())).or_insert_with(|| {
            let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas");
            let is_plain = |part: &str| !part.is_empty() && !part.contains('/');
            let folder = root.join(source).join(name);
            let files =
                std::fs::read_dir(folder).ok().filter(|_| is_plain(source) && is_plain(name));
            let read = |path: PathBuf| {
                let version = path.file_stem()?.to_str()?.parse().ok()?;
                Some((version, serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?))
            };
            files.into_iter().flatten().filter_map(|file| read(file.ok()?.path())).collect()
        })
    }
}

fn id(object: &Map<String, Value>, field: &str, max: usize) -> Result<Option<String>, Fault> {
    match object.get(field) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= max => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(("schema_violation", format!("/{field}"))),
    }
}

fn identifiers(given: Option<&Value>) -> Result<Vec<(String, String)>, Fault> {
    let violation = |pointer: String| ("schema_violation", pointer);
    let Some(given) = given else { return Ok(vec![]) };
    let all = given.as_array().ok_or_else(|| violation("/identifiers".into()))?;
    let one = |(at, one): (usize, &Value)| {
        let field = |name: &str| {
            let text = one.get(name).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| violation(format!("/identifiers/{at}/{name}")))
        };
        Ok((field("type")?, field("value")?))
    };
    all.iter().enumerate().map(one).collect()
}

/// Checks properties by the few keywords that the schemas use.
fn properties(given: Option<&Value>, schema: &Value) -> Result<Map<String, Value>, Fault> {
    let at = |name: &str| ("schema_violation", format!("/properties{name}"));
    let given = match given {
        None => Map::new(),
        Some(given) => given.as_object().ok_or_else(|| at(""))?.clone(),
    };
    if given.len() > 255 || given.values().map(depth).max().unwrap_or(0) > 4 {
        return Err(at(""));
    }
    let present =
        |name: &str| given.get(name).filter(|v| !v.is_null() && **v != Value::Array(vec![]));
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        present(name).ok_or_else(|| at(&format!("/{name}")))?;
    }
    for (name, rules) in schema["properties"].as_object().into_iter().flatten() {
        let Some(value) = present(name) else { continue };
        let length = value.as_str().map_or(0, str::len);
        let is_typed = match rules["type"].as_str() {
            None => true,
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some(other) => panic!("the oracle does not know the type {other}"),
        };
        let max = rules["x-cebe-max-bytes"].as_u64().unwrap_or(u64::MAX);
        let min = rules["minLength"].as_u64().filter(|_| value.is_string()).unwrap_or(0);
        if !is_typed || length as u64 > max || (length as u64) < min {
            return Err(at(&format!("/{name}")));
        }
    }
    Ok(given)
}

/// Levels of objects and arrays.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
