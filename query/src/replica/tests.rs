//! The copy against the last row of each key, kept naively.

use std::collections::BTreeMap;

use cebe_schemas::view::View;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::held::Held;
use super::{Replica, now_ms, row};

const T: &str = "2026-01-01T00:00:00.000Z";
const T_MS: i64 = 1_767_225_600_000;

fn read(view: View, columns: Value) -> row::Row {
    row::read(view, columns.to_string().as_bytes()).unwrap().unwrap()
}

/// What is told: a view, whether of account b, one of four ids and of three others, and a value; none: deleted.
type Told = (usize, bool, u8, u8, Option<u8>);

fn told() -> impl Strategy<Value = Told> {
    (0..4_usize, any::<bool>(), 0..4_u8, 0..3_u8, proptest::option::weighted(0.7, 0..5_u8))
}

/// As the feed has it.
fn columns((view, b, id, other, value): Told) -> (View, Value) {
    let account = if b { "b" } else { "a" };
    let deleted = u8::from(value.is_none());
    let value = value.unwrap_or_default();
    let view = row::VIEWS[view];
    let mut columns = json!({"account_id": account, "customer_id": id.to_string(), "logical_time": T,
        "deleted": deleted, "cause": "event", "seq": 1});
    let more = match view {
        View::Identities => {
            json!({"qontak_customer_id": id.to_string(), "customer_id": other.to_string(),
            "old_customer_id": ""})
        }
        View::Customers => json!({"member_ids": [id.to_string(), value.to_string()],
            "attributes": {"é\"": value}, "team_ids": [value.to_string()], "old_attributes": {}}),
        View::Seen => {
            json!({"first_seen": T, "last_seen": if deleted == 1 { Value::Null } else { json!(T) },
            "old_first_seen": null})
        }
        _ => json!({"segment_id": format!("s{other}"), "definition_version": value}),
    };
    columns.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if view == View::Seen && deleted == 1 {
        columns["first_seen"] = Value::Null;
    }
    (view, columns)
}

/// The last row of each key.
#[derive(Default)]
struct Last(BTreeMap<[String; 4], Value>);

impl Last {
    fn take_in(&mut self, view: View, columns: &Value) {
        let text = |column: &str| columns[column].as_str().unwrap_or_default().to_owned();
        let id = if view == View::Identities { "qontak_customer_id" } else { "customer_id" };
        let key = [view.name().to_owned(), text("account_id"), text(id), text("segment_id")];
        match columns["deleted"] == 0 {
            true => drop(self.0.insert(key, columns.clone())),
            false => drop(self.0.remove(&key)),
        }
    }

    fn of(&self, view: View, account: &str, id: &str) -> Vec<&Value> {
        let is_its = |key: &&[String; 4]| key[..3] == [view.name(), account, id];
        self.0.keys().filter(is_its).map(|key| &self.0[key]).collect()
    }

    fn customer(&self, account: &str, id: &str) -> Option<Value> {
        let person = self.of(View::Identities, account, id).first()?["customer_id"].clone();
        let of = |view| self.of(view, account, person.as_str().unwrap());
        let column = |view: View, column: &str| of(view).first().map(|row| row[column].clone());
        let segments = of(View::Segments);
        let segments =
            segments.iter().map(|row| json!([row["segment_id"], row["definition_version"]]));
        Some(
            json!({"id": person, "members": column(View::Customers, "member_ids").unwrap_or(json!([])),
            "attributes": column(View::Customers, "attributes"),
            "teams": column(View::Customers, "team_ids").unwrap_or(json!([])),
            "is_seen": [column(View::Seen, "first_seen").is_some(), column(View::Seen, "last_seen").is_some()],
            "segments": segments.collect::<Vec<_>>()}),
        )
    }
}

fn held(held: &Held, account: &str, id: &str) -> Option<Value> {
    let found = held.customer(account, id)?;
    let attributes: Option<Value> = serde_json::from_str(&found.attributes).ok();
    let segments = found.segments.iter().map(|one| {
        assert_eq!(one.entered_ms, T_MS);
        json!([*one.segment_id, one.definition_version])
    });
    assert!([found.first_seen, found.last_seen].iter().flatten().all(|ms| *ms == T_MS));
    Some(json!({"id": found.customer_id, "members": found.member_ids, "attributes": attributes,
        "teams": found.team_ids, "is_seen": [found.first_seen.is_some(), found.last_seen.is_some()],
        "segments": segments.collect::<Vec<_>>()}))
}

proptest! {
    #[test]
    fn the_last_row_of_each_key_counts(rows in proptest::collection::vec(told(), 0..80)) {
        let (mut copy, mut last) = (Held::default(), Last::default());
        for one in rows {
            let (view, columns) = columns(one);
            last.take_in(view, &columns);
            copy.take_in(read(view, columns));
            for account in ["a", "b"] {
                for id in 0..4 {
                    let id = id.to_string();
                    prop_assert_eq!(held(&copy, account, &id), last.customer(account, &id));
                }
            }
        }
    }

    #[test]
    fn what_is_gone_takes_nothing(rows in proptest::collection::vec(told(), 0..80)) {
        let mut copy = Held::default();
        for one in rows.iter().chain(&rows) {
            copy.take_in(read(columns(*one).0, columns(*one).1));
        }
        for (view, b, id, other, _) in rows {
            let (view, columns) = columns((view, b, id, other, None));
            copy.take_in(read(view, columns));
        }
        prop_assert_eq!(copy.bytes(), 0);
    }
}

#[test]
fn a_table_has_attributes_as_text() {
    let columns = json!({"account_id": "a", "customer_id": "1", "member_ids": ["1"], "logical_time": T,
        "attributes": "{\"n\":1e999}", "team_ids": [], "deleted": 0});
    let mut held = Held::default();
    held.take_in(read(
        View::Identities,
        json!({"account_id": "a", "customer_id": "1",
        "qontak_customer_id": "1", "logical_time": T, "deleted": 0}),
    ));
    held.take_in(read(View::Customers, columns));
    assert_eq!(&*held.customer("a", "1").unwrap().attributes, "{\"n\":1e999}");
    assert!(held.customer("a", "2").is_none() && held.customer("b", "1").is_none());
}

#[test]
fn a_copy_that_is_behind_answers_nothing() {
    let replica = Replica::default();
    assert!(replica.customer("a", "1").is_none());
    let fresh_ms = now_ms();
    replica.take_in(Vec::new(), Some(fresh_ms));
    assert!(matches!(replica.customer("a", "1"), Some((None, t_ms)) if t_ms == fresh_ms));
    replica.take_in(Vec::new(), Some(fresh_ms - 31_000));
    assert!(replica.customer("a", "1").is_none());
    replica.take_in(Vec::new(), None);
    assert_eq!(replica.through_ms(), None);
}
