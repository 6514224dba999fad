//! Plays the engine on: persons, quarantine and definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::{self, Cause, Quarantine};
use cebe_schemas::fact::AttributeValue;
use cebe_schemas::row::{CustomerRow, DefinitionRow, QuarantineRow, Row, SeenRow};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use serde_json::{Map, Value, json};

use crate::engine::{Building, Engine, PARTITIONS};

/// Account and canonical id.
type Person = (String, String);
/// Members, attributes, teams.
type Profile = (Vec<String>, Map<String, Value>, Vec<String>);

/// What the views of persons, quarantine and definitions must say.
#[derive(Clone, Default)]
pub struct People {
    profiles: BTreeMap<Person, Profile>,
    /// First and last.
    seen: BTreeMap<Person, (Millis, Millis)>,
    /// (account, reason, token, cluster, customer).
    quarantine: BTreeSet<(String, &'static str, String, String, String)>,
    definitions: Vec<Defined>,
}

#[derive(Clone)]
struct Defined {
    kind: &'static str,
    account_id: String,
    id: String,
    version: u32,
    from: Millis,
    to: Option<Millis>,
}

impl People {
    /// The rows of `customers`, without `complete_through` and `is_stale`.
    pub fn customers(&self) -> Vec<String> {
        let row = |(key, profile): (&Person, &Profile)| {
            let (members, attributes, teams) = profile;
            let attributes = serde_json::to_string(attributes).unwrap();
            let seen = self.seen.get(key);
            let (first, last) =
                (seen.map(|s| format_rfc3339(s.0)), seen.map(|s| format_rfc3339(s.1)));
            json!([key.0, key.1, members, attributes, teams, first, last]).to_string()
        };
        self.profiles.iter().map(row).collect()
    }

    /// The rows of `identity_quarantine`.
    pub fn quarantine(&self) -> Vec<String> {
        let mut groups: BTreeMap<_, Vec<&String>> = BTreeMap::new();
        for (account, reason, token, cluster, customer) in &self.quarantine {
            groups.entry((account, reason, token, cluster)).or_default().push(customer);
        }
        let row = |((account, reason, token, _), mut ids): ((_, _, _, _), Vec<&String>)| {
            ids.sort_by_key(|id| (id.len(), *id));
            json!([account, reason, token, ids]).to_string()
        };
        groups.into_iter().map(row).collect()
    }

    /// The rows of `segment_definitions` or `metric_definitions`, without the words of people.
    pub fn definitions(&self, kind: &str) -> Vec<String> {
        let of_kind = self.definitions.iter().filter(|d| d.kind == kind);
        let row = |d: &Defined| {
            let (from, to) = (format_rfc3339(d.from), d.to.map(format_rfc3339));
            json!([d.account_id, d.id, d.version, from, to]).to_string()
        };
        of_kind.map(row).collect()
    }
}

/// As the dataflow says it.
fn told((members, attributes, teams): Profile) -> Arc<change::Profile> {
    let texts = |texts: Vec<String>| texts.into_iter().map(Arc::from).collect();
    let attribute =
        |(name, value): (String, Value)| (name.into(), Arc::new(AttributeValue::new(value)));
    Arc::new(change::Profile {
        member_ids: texts(members),
        attributes: attributes.into_iter().map(attribute).collect(),
        team_ids: texts(teams),
    })
}

impl Engine {
    pub(crate) fn person(&mut self, tick: &mut Building) {
        let key = (format!("acc-{}", self.rng.u8(..5)), format!("{}", self.rng.u16(..60)));
        if tick.touch(View::Customers, &format!("{key:?}")) {
            let gone = self.rng.u8(..4) == 0;
            self.profile(tick, key.clone(), gone);
        }
        if tick.touch(View::Seen, &format!("{key:?}")) {
            self.seen(tick, key);
        }
    }

    fn profile(&mut self, tick: &mut Building, key: Person, gone: bool) {
        let old = self.truth.people.profiles.get(&key).cloned();
        let mut attributes = Map::new();
        let values = [
            json!(u64::MAX),
            json!("日本 \" \\ \n \u{1F600}"),
            json!({"a": [1, {"b": null}], "2026-01-01": {"a.b": -1.5e300}}),
        ];
        for value in values {
            if self.rng.bool() {
                attributes.insert(format!("né {}", self.rng.u8(..3)), value);
            }
        }
        let members = vec![key.1.clone(), format!("1{}", self.rng.u32(10_000..))];
        let new = (members, attributes, vec![format!("team-{}", self.rng.u8(..3))]);
        let row = CustomerRow {
            account_id: key.0.as_str().into(),
            customer_id: key.1.as_str().into(),
            old: old.map(told),
            new: (!gone).then(|| told(new.clone())),
            cause: Cause::Event,
            logical_time: self.t_ms,
        };
        tick.add(self.rng.u32(..PARTITIONS), Row::Customer(row));
        if gone {
            self.truth.people.profiles.remove(&key);
        } else {
            self.truth.people.profiles.insert(key, new);
        }
    }

    fn seen(&mut self, tick: &mut Building, key: Person) {
        let old = self.truth.people.seen.get(&key).copied();
        let new = (self.rng.u8(..4) > 0)
            .then(|| (self.t_ms - self.rng.i64(1_000..1_000_000), self.t_ms - 1));
        let row = SeenRow {
            account_id: key.0.as_str().into(),
            customer_id: key.1.as_str().into(),
            first_seen: new.map(|seen| seen.0),
            last_seen: new.map(|seen| seen.1),
            old_first_seen: old.map(|seen| seen.0),
            old_last_seen: old.map(|seen| seen.1),
            cause: Cause::Event,
            logical_time: self.t_ms,
            deleted: new.is_none().into(),
        };
        tick.add(self.rng.u32(..PARTITIONS), Row::Seen(row));
        match new {
            Some(seen) => self.truth.people.seen.insert(key, seen),
            None => self.truth.people.seen.remove(&key),
        };
    }

    pub(crate) fn quarantine(&mut self, tick: &mut Building) {
        let (reason, token, cluster) = match self.rng.bool() {
            true => (Quarantine::Holders, format!("k1:{}", self.rng.u8(..3)), String::new()),
            false => (Quarantine::Members, String::new(), format!("{:032x}", self.rng.u8(..3))),
        };
        let account = format!("acc-{}", self.rng.u8(..2));
        let customer = self.rng.u16(..120).to_string();
        let key = (account, reason.as_str(), token, cluster, customer);
        if !tick.touch(View::Quarantine, &format!("{key:?}")) {
            return;
        }
        let ends = self.truth.people.quarantine.contains(&key);
        let row = QuarantineRow {
            account_id: key.0.as_str().into(),
            reason,
            identifier_token: key.2.clone(),
            cluster: key.3.clone(),
            qontak_customer_id: key.4.as_str().into(),
            cause: Cause::Merge,
            logical_time: self.t_ms,
            deleted: ends.into(),
        };
        tick.add(self.rng.u32(..PARTITIONS), Row::Quarantine(row));
        if ends {
            self.truth.people.quarantine.remove(&key);
        } else {
            self.truth.people.quarantine.insert(key);
        }
    }

    pub(crate) fn definition(&mut self, tick: &mut Building) {
        let (kind, account_id) = match self.rng.u8(..3) {
            0 => ("metric", String::new()),
            1 => ("metric", "acc-1".to_owned()),
            _ => ("segment", "acc-1".to_owned()),
        };
        let id = format!("def-{}", self.rng.u8(..2));
        let mut open = self.truth.people.definitions.iter_mut();
        let open =
            open.find(|d| (d.kind, &d.account_id, &d.id, d.to) == (kind, &account_id, &id, None));
        let (removed, version) = match open {
            Some(open) => {
                open.to = Some(self.t_ms);
                (self.rng.bool(), open.version + 1)
            }
            None => (false, 1),
        };
        let row = DefinitionRow {
            kind,
            account_id: account_id.clone(),
            id: id.clone(),
            version,
            title: String::new(),
            definition: "{\"n\": 12345678901234567890123}".into(),
            changed_by: "somebody".into(),
            logical_time: self.t_ms,
            deleted: removed.into(),
        };
        tick.add(0, Row::Definition(row));
        if !removed {
            let defined = Defined { kind, account_id, id, version, from: self.t_ms, to: None };
            self.truth.people.definitions.push(defined);
        }
    }

    /// The next tick, of one person without attributes.
    pub fn tick_of_person(&mut self) -> crate::engine::Tick {
        self.t_ms += 10;
        self.binding += 1;
        let row = CustomerRow {
            account_id: "acc-1".into(),
            customer_id: "7".into(),
            old: None,
            new: Some(told((vec!["7".into()], Map::new(), Vec::new()))),
            cause: Cause::Event,
            logical_time: self.t_ms,
        };
        let mut tick = Building::default();
        tick.add(3, Row::Customer(row));
        tick.finish(self.t_ms, self.binding)
    }
}
