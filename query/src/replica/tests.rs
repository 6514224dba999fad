//! The copy against the last row of each key, kept naively.

use std::collections::BTreeMap;

use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Counted, Held, Membership, Replica, now_ms, row};
use crate::page::{Asked, Page};

const T: &str = "2026-01-01T00:00:00.000Z";
const T_MS: i64 = 1_767_225_600_000;

fn read(view: View, columns: Value) -> row::Row {
    row::read(view, columns.to_string().as_bytes()).unwrap().unwrap()
}

/// What is told: a view, whether of account b, one of four ids and of three others, and a value; none: deleted.
type Told = (usize, bool, u8, u8, Option<u8>);

fn told() -> impl Strategy<Value = Told> {
    (0..row::VIEWS.len(), any::<bool>(), 0..4_u8, 0..3_u8, proptest::option::weighted(0.7, 0..5_u8))
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
        View::Segments => {
            json!({"segment_id": format!("s{other}"), "definition_version": value})
        }
        _ => {
            json!({"metric": id.to_string(), "group_key": format!("g{other}"), "new_numerator": value,
            "old_numerator": 9, "new_denominator": value + 1, "new_rate": f64::from(value) / 8.0})
        }
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
        let (id, other) = match view {
            View::Identities => ("qontak_customer_id", "segment_id"),
            View::Metrics => ("metric", "group_key"),
            _ => ("customer_id", "segment_id"),
        };
        let key = [view.name().to_owned(), text("account_id"), text(id), text(other)];
        match columns["deleted"] == 0 {
            true => drop(self.0.insert(key, columns.clone())),
            false => drop(self.0.remove(&key)),
        }
    }

    fn of(&self, view: View, account: &str, id: &str) -> Vec<&Value> {
        let is_its = |key: &&[String; 4]| key[..3] == [view.name(), account, id];
        self.0.keys().filter(is_its).map(|key| &self.0[key]).collect()
    }

    /// In the order of their groups.
    fn rates(&self, account: &str, metric: &str) -> Vec<Value> {
        let rows = self.of(View::Metrics, account, metric).into_iter();
        let columns = ["group_key", "new_numerator", "new_denominator", "new_rate"];
        rows.map(|row| columns.map(|column| row[column].clone()).to_vec().into()).collect()
    }

    /// In the order of their ids.
    fn members(&self, account: &str, segment_id: &str) -> Vec<Value> {
        let is_its = |key: &[String; 4]| key[..2] == ["segments", account] && key[3] == segment_id;
        let rows = self.0.iter().filter(|(key, _)| is_its(key)).map(|(_, row)| row);
        let columns = ["customer_id", "definition_version", "segment_id"];
        rows.map(|row| columns.map(|column| row[column].clone()).to_vec().into()).collect()
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

fn page(behind: &str, limit: u32) -> Page {
    Page { as_of_ms: T_MS, behind: behind.into(), limit, complete_through_ms: T_MS }
}

fn rates(held: &Held, of: [&str; 2], group_key: Option<&str>, page: &Page) -> Value {
    let row = |(group_key, counted): (&str, Counted)| {
        assert_eq!(counted.changed_ms, T_MS);
        json!([group_key, counted.numerator, counted.denominator, counted.rate])
    };
    held.rates(of, group_key, page).unwrap().into_iter().map(row).collect()
}

fn members(held: &Held, of: [&str; 2], page: &Page) -> Value {
    let row = |(id, one): (&str, &Membership)| json!([id, one.definition_version, one.segment_id]);
    held.members(of, page).unwrap().into_iter().map(row).collect()
}

/// Those behind the first one that a page of two may hold.
fn second(all: &[Value]) -> Vec<Value> {
    all.iter().skip(1).take(2).cloned().collect()
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
                    let all = last.rates(account, &id);
                    let of = [account, &*id];
                    let one: Vec<_> = all.iter().filter(|row| row[0] == "g1").cloned().collect();
                    prop_assert_eq!(rates(&copy, of, Some("g1"), &page("", 9)), json!(one));
                    prop_assert_eq!(rates(&copy, of, Some("g1"), &page("g1", 9)), json!([]));
                    prop_assert_eq!(rates(&copy, of, None, &page("", 9)), json!(all));
                    if let Some(first) = all.first().and_then(|row| row[0].as_str()) {
                        prop_assert_eq!(rates(&copy, of, None, &page(first, 2)), json!(second(&all)));
                    }
                    let segment_id = format!("s{id}");
                    let all = last.members(account, &segment_id);
                    let of = [account, &*segment_id];
                    prop_assert_eq!(members(&copy, of, &page("", 9)), json!(all));
                    if let Some(first) = all.first().and_then(|row| row[0].as_str()) {
                        prop_assert_eq!(members(&copy, of, &page(first, 2)), json!(second(&all)));
                    }
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
fn a_copy_says_whether_it_is_behind() {
    let replica = Replica::default();
    assert!(replica.customer("a", "1").is_none());
    let fresh_ms = now_ms();
    replica.take_in(Vec::new(), Some(fresh_ms));
    let nobody = replica.customer("a", "1").unwrap();
    assert!(nobody.told.is_none() && nobody.through_ms == fresh_ms && !nobody.is_behind());
    replica.take_in(Vec::new(), Some(fresh_ms - 31_000));
    assert!(replica.customer("a", "1").unwrap().is_behind());
    replica.take_in(Vec::new(), None);
    assert_eq!(replica.through_ms(), None);
}

#[test]
fn what_changed_since_is_not_known_any_more() {
    let replica = Replica::default();
    let wanted = |as_of_ms: Millis| {
        let as_of = Some(format_rfc3339(as_of_ms));
        Asked { as_of, ..Asked::default() }.read().unwrap()
    };
    let entered = |time: &str, segment_id: &str| {
        read(
            View::Segments,
            json!({"account_id": "a", "customer_id": "1", "segment_id": segment_id,
            "definition_version": 1, "logical_time": time, "deleted": 0}),
        )
    };
    replica.begin(T_MS + 1);
    replica.take_in(vec![entered(T, "s")], Some(T_MS + 1));
    replica.take_in(vec![entered("2026-01-01T00:00:00.003Z", "t")], Some(T_MS + 4));
    let members = |segment_id: &str, as_of_ms: Millis| {
        let look = |held: &Held, page: &Page| Some(held.members(["a", segment_id], page)?.len());
        Some(replica.page(&wanted(as_of_ms), look)?.told.1)
    };
    for (as_of_ms, s, t) in [
        (0, None, None),
        (1, Some(1), None),
        (2, Some(1), None),
        (3, Some(1), Some(1)),
        (4, Some(1), Some(1)),
        (5, None, None),
    ] {
        assert_eq!(members("s", T_MS + as_of_ms), s, "{as_of_ms}");
        assert_eq!(members("t", T_MS + as_of_ms), t, "{as_of_ms}");
    }
}
