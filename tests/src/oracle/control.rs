//! What is in force: sources, segments, metrics, settings. Only valid records are understood.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::value;

/// (account, id).
pub type Id = (String, String);

/// The control state.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// Sources that are not listed are on.
    on_by_default: bool,
    sources: BTreeMap<String, Value>,
    /// Definitions as given.
    pub segments: BTreeMap<Id, Value>,
    /// Definitions as given; account "" is every account.
    pub metrics: BTreeMap<Id, Value>,
    /// As given.
    pub settings: Map<String, Value>,
}

impl Default for Control {
    fn default() -> Control {
        Control::new(None)
    }
}

impl Control {
    /// What a definitions file puts in force.
    pub fn new(definitions: Option<&Value>) -> Control {
        let mut control = Control {
            on_by_default: definitions.is_none_or(|given| given.get("sources").is_none()),
            sources: BTreeMap::new(),
            segments: BTreeMap::new(),
            metrics: BTreeMap::new(),
            settings: Map::new(),
        };
        let (reply, convert) = ("broadcast.replied", "ad.converted");
        for (name, denominator, numerator, by, within) in [
            ("reply_rate", "broadcast.sent", reply, "broadcast_id", "72h"),
            ("reply_rate_delivered", "broadcast.delivered", reply, "broadcast_id", "72h"),
            ("reply_rate_read", "broadcast.read", reply, "broadcast_id", "72h"),
            ("ads_conversion", "ad.clicked", convert, "campaign_id", "7d"),
            ("reply_rate_daily", "broadcast.sent", reply, "broadcast_id", "72h"),
            ("ads_conversion_daily", "ad.clicked", convert, "campaign_id", "7d"),
        ] {
            let metric = json!({"metric": name, "denominator": denominator, "numerator": numerator,
                "group_by": by, "within": within, "daily": name.ends_with("_daily")});
            control.metrics.insert((String::new(), name.into()), metric);
        }
        definitions.into_iter().for_each(|given| control.apply(given));
        control
    }

    /// Puts a valid record in force.
    pub fn apply(&mut self, record: &Value) {
        let list = |name: &str| record[name].as_array().cloned().unwrap_or_default();
        let fields = |name: &str| record[name].as_object().cloned().unwrap_or_default();
        self.sources.extend(fields("sources"));
        self.settings.extend(fields("settings"));
        let id = |one: &Value, field: &str| (text(&one["account_id"]), text(&one[field]));
        for one in list("remove_segments") {
            self.segments.remove(&id(&one, "segment_id"));
        }
        for one in list("segments") {
            self.segments.insert(id(&one, "segment_id"), one);
        }
        for one in list("remove_metrics") {
            self.metrics.remove(&id(&one, "metric"));
        }
        for one in list("metrics") {
            self.metrics.insert(id(&one, "metric"), one);
        }
    }

    /// Whether records of a source are examined, for an account where it can be read.
    pub fn takes(&self, source: &str, account: Option<&str>) -> bool {
        match self.sources.get(source) {
            None => self.on_by_default,
            Some(Value::String(flag)) => flag == "on",
            Some(flag) => {
                let accounts = flag["accounts"].as_array().expect("a canary list");
                account.is_none_or(|account| accounts.iter().any(|one| one == account))
            }
        }
    }

    /// A setting that is a number.
    pub fn number(&self, name: &str, default: i64) -> i64 {
        self.settings.get(name).map_or(default, |value| value.as_i64().expect("a number"))
    }

    /// Milliseconds for which a key is used up.
    pub fn dedup_horizon(&self) -> i64 {
        let given = self.settings.get("dedup_horizon");
        given.map_or(400 * 86_400_000, |text| value::duration(text).expect("a duration"))
    }

    /// Calendar months for which events are kept.
    pub fn retention_months(&self) -> i64 {
        self.number("retention_months", 24)
    }

    /// Whether the block list has an identifier.
    pub fn blocks(&self, kind: &str, normal: &str) -> bool {
        let list = self.settings.get("block_list").and_then(Value::as_array);
        let is = |entry: &Value| value::identifier(kind, entry.as_str()?).filter(|e| e == normal);
        list.is_some_and(|list| list.iter().any(|entry| is(entry).is_some()))
    }

    /// The time zone of an account.
    pub fn zone(&self, account: &str) -> String {
        let zone = self.settings.get("time_zones").and_then(|zones| zones.get(account));
        zone.map_or("Asia/Jakarta".into(), text)
    }

    /// The metrics of an account, by name; its own stand for those of every account.
    pub fn metrics_of(&self, account: &str) -> BTreeMap<&str, &Value> {
        let of = |whose: String| {
            let mine = self.metrics.iter().filter(move |((account, _), _)| *account == whose);
            mine.map(|((_, name), metric)| (name.as_str(), metric))
        };
        of(String::new()).chain(of(account.to_owned())).collect()
    }
}

/// The control record of a line, if it is one.
pub fn record(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("event_name").is_some() { None } else { line.get("control").cloned() }
}

/// A string, or nothing.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
