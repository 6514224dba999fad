//! How what is wanted differs from what is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cebe_schemas::control::ControlState;
use cebe_schemas::preview::Preview;
use serde_json::{Map, Value, json};

use super::folder::{Name, Wanted};
use crate::command::settings;

/// What is to be changed, in the order in which it is shown.
#[derive(Debug)]
pub struct Plan {
    changes: Vec<Change>,
    unchanged: usize,
}

/// One thing that changes.
#[derive(Debug, PartialEq)]
struct Change {
    kind: Kind,
    account: String,
    id: String,
    /// What is in force; none: nothing.
    before: Option<Value>,
    /// What is to be; none: nothing.
    after: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Segment,
    Metric,
    Setting,
    Source,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Segment => "segment",
            Kind::Metric => "metric",
            Kind::Setting => "setting",
            Kind::Source => "source",
        }
    }

    /// The field that puts it, the one that removes it, and its id there.
    fn fields(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Kind::Segment => Some(("segments", "remove_segments", "segment_id")),
            Kind::Metric => Some(("metrics", "remove_metrics", "metric")),
            Kind::Setting | Kind::Source => None,
        }
    }
}

impl Plan {
    /// With `prune`, what is in force of an account that is named and not wanted is removed.
    ///
    /// # Errors
    /// Something that is wanted cannot be in force: names the field.
    pub fn new(state: &ControlState, wanted: &Wanted, prune: bool) -> anyhow::Result<Plan> {
        let mut plan = Plan { changes: Vec::new(), unchanged: 0 };
        let (segments, metrics) = definitions(state);
        let named = wanted.segments.keys().chain(wanted.metrics.keys());
        let accounts: BTreeSet<&String> = named.map(|(account, _)| account).collect();
        for (kind, before, after) in [
            (Kind::Segment, &segments, &wanted.segments),
            (Kind::Metric, &metrics, &wanted.metrics),
        ] {
            for ((account, id), definition) in after {
                let before = before.get(&(account.clone(), id.clone()));
                plan.compare(kind, (account, id), before, Some(definition));
            }
            let gone = before.iter().filter(|(name, _)| prune && !after.contains_key(*name));
            for ((account, id), definition) in
                gone.filter(|((account, _), _)| accounts.contains(account))
            {
                plan.compare(kind, (account, id), Some(definition), None);
            }
        }
        let (settings, sources) = flags(state);
        for (kind, before, after) in
            [(Kind::Setting, settings, &wanted.settings), (Kind::Source, sources, &wanted.sources)]
        {
            for (id, value) in after {
                plan.compare(kind, ("", id), before.get(id), Some(value));
            }
        }
        // What is wrong is said before anything is asked or written.
        state.clone().apply(plan.record().to_string().as_bytes())?;
        Ok(plan)
    }

    fn compare(
        &mut self,
        kind: Kind,
        (account, id): (&str, &str),
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        if before == after {
            self.unchanged += 1;
            return;
        }
        let (before, after) = (before.cloned(), after.cloned());
        let (account, id) = (account.to_owned(), id.to_owned());
        self.changes.push(Change { kind, account, id, before, after });
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// The control record that makes it so.
    pub fn record(&self) -> Value {
        let mut record = self.definitions().unwrap_or_else(|| json!({}));
        for change in &self.changes {
            let field = match change.kind {
                Kind::Setting => "settings",
                Kind::Source => "sources",
                Kind::Segment | Kind::Metric => continue,
            };
            if let Some(after) = &change.after {
                record[field][&change.id] = after.clone();
            }
        }
        record
    }

    /// Its part about definitions; none: there is none.
    pub fn definitions(&self) -> Option<Value> {
        let mut document = Map::new();
        for change in &self.changes {
            let Some((put, remove, id)) = change.kind.fields() else { continue };
            let (field, entry) = match &change.after {
                Some(definition) => (put, definition.clone()),
                None => (remove, json!({"account_id": change.account, id: change.id})),
            };
            if let Value::Array(entries) = document.entry(field).or_insert_with(|| json!([])) {
                entries.push(entry);
            }
        }
        (!document.is_empty()).then_some(Value::Object(document))
    }

    /// For machines.
    pub fn json(&self, preview: Option<&Option<Preview>>) -> Value {
        let change = |change: &Change| {
            json!({"kind": change.kind.as_str(), "account_id": change.account, "id": change.id,
                "before": change.before, "after": change.after})
        };
        let changes: Vec<Value> = self.changes.iter().map(change).collect();
        json!({"changes": changes, "unchanged": self.unchanged, "preview": preview})
    }
}

/// Segments and metrics in force, as they were given. Shipped metrics belong to no account, and are not among them.
fn definitions(state: &ControlState) -> (BTreeMap<Name, Value>, BTreeMap<Name, Value>) {
    let definitions = state.definitions();
    let given = |text: &str| {
        let mut given: Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(fields) = given.as_object_mut() {
            fields.remove("changed_by");
        }
        given
    };
    let segments = definitions.segments.iter().map(|segment| {
        let name = (segment.account_id.to_string(), segment.segment_id.to_string());
        (name, given(&segment.about.definition))
    });
    let metrics = definitions.metrics.iter().filter_map(|metric| {
        let name = (metric.account_id.as_ref()?.to_string(), metric.metric.to_string());
        Some((name, given(&metric.about.definition)))
    });
    (segments.collect(), metrics.collect())
}

/// Settings and flags in force, as a document would give them.
fn flags(state: &ControlState) -> (Map<String, Value>, Map<String, Value>) {
    let sources = state.sources().iter().map(|(name, flag)| (name.clone(), flag.to_json()));
    (settings::shown(state.settings()), sources.collect())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { kind, account, id, before, after } in &self.changes {
            let version = |value: &Value| value["version"].as_u64().unwrap_or(1);
            let (mark, more) = match (kind.fields(), before, after) {
                (Some(_), None, Some(after)) => ('+', format!("version {}", version(after))),
                (Some(_), Some(before), Some(after)) if version(before) == version(after) => {
                    ('~', format!("version {} still: raise it, members carry it", version(after)))
                }
                (Some(_), Some(before), Some(after)) => {
                    ('~', format!("version {} → {}", version(before), version(after)))
                }
                (_, _, None) => ('-', String::new()),
                (None, before, Some(after)) => {
                    let before = before.as_ref().map_or("(default)".into(), Value::to_string);
                    ('~', format!("{before} → {after}"))
                }
            };
            let name = if account.is_empty() { id.clone() } else { format!("{account} {id}") };
            writeln!(f, "{mark} {:8} {name:40} {more}", kind.as_str())?;
        }
        writeln!(f, "{} to change, {} as they are", self.changes.len(), self.unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(document: Value) -> Wanted {
        let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        std::fs::write(file.path(), document.to_string()).unwrap();
        Wanted::read(file.path()).unwrap()
    }

    fn segment(id: &str, account: &str, version: u32) -> Value {
        json!({"segment_id": id, "account_id": account, "version": version,
            "when": {"did": "broadcast.replied"}})
    }

    fn state() -> ControlState {
        let mut state = ControlState::new();
        let record = json!({"segments": [segment("s", "a", 1), segment("t", "a", 1), segment("u", "b", 1)],
            "settings": {"max_customers_per_identifier": 3}, "sources": {"cdp": "on"},
            "changed_by": "somebody"});
        state.apply(record.to_string().as_bytes()).unwrap();
        state
    }

    #[test]
    fn a_plan_is_what_differs() {
        let wanted = wanted(json!({
            "segments": [segment("s", "a", 1), segment("t", "a", 2), segment("n", "a", 1)],
            "settings": {"max_customers_per_identifier": 3, "retention_months": 12},
            "sources": {"cdp": "on", "ads": {"accounts": ["a"]}}}));
        let plan = Plan::new(&state(), &wanted, false).unwrap();
        let told = plan.to_string();
        for line in [
            "+ segment  a n",
            "~ segment  a t",
            "version 1 → 2",
            "retention_months",
            "~ source   ads",
            "4 to change, 3 as they are",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        let record = plan.record();
        assert_eq!(record["segments"].as_array().unwrap().len(), 2);
        assert_eq!(record["settings"], json!({"retention_months": 12}));
        let mut next = state();
        next.apply(record.to_string().as_bytes()).unwrap();
        assert!(
            Plan::new(&next, &wanted, false).unwrap().is_empty(),
            "once it is so, nothing is to be done"
        );
    }

    #[test]
    fn only_of_accounts_that_are_named_anything_is_removed() {
        let only = wanted(json!({"segments": [segment("s", "a", 1)]}));
        assert!(Plan::new(&state(), &only, false).unwrap().is_empty());
        let plan = Plan::new(&state(), &only, true).unwrap();
        assert_eq!(
            plan.record(),
            json!({"remove_segments": [{"account_id": "a", "segment_id": "t"}]})
        );
    }

    #[test]
    fn what_cannot_be_in_force_is_refused() {
        let mut wrong = segment("s", "a", 1);
        wrong["when"] = json!({"did": "broadcast.replied", "within": "soon"});
        let error = Plan::new(&state(), &wanted(json!({"segments": [wrong]})), false).unwrap_err();
        assert!(error.to_string().contains("/segments/0/when/within"), "{error}");
    }
}
