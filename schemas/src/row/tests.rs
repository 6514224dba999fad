//! Rows of state: read again, and turned into each other.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::change::{Cause, Profile, Quarantine};
use crate::fact::AttributeValue;

const AT: Millis = 1_764_000_000_000;

fn cause() -> impl Strategy<Value = Cause> {
    prop::sample::select(vec![Cause::Event, Cause::Time, Cause::LateEvent])
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(vec!["a", "b \"q\"", "é😀"]).prop_map(Arc::from)
}

fn profile() -> impl Strategy<Value = Profile> {
    let value = prop::sample::select(vec!["1", "null", "\"x\"", "[1.5]"]);
    let value = value.prop_map(|json| Arc::new(AttributeValue::from_json(json).unwrap()));
    let attributes = prop::collection::btree_map(text(), value, 0..3);
    (prop::collection::vec(text(), 1..3), attributes, prop::collection::vec(text(), 0..2)).prop_map(
        |(member_ids, attributes, team_ids)| Profile {
            member_ids,
            attributes: attributes.into_iter().collect(),
            team_ids,
        },
    )
}

/// One key of each view, with one value or another, or none.
fn row() -> impl Strategy<Value = Row> {
    let ids = (0..7usize, text(), cause(), 0..3i64, any::<bool>());
    (ids, profile(), 1..4u64).prop_map(|((view, id, cause, at, is_deleted), profile, n)| {
        let (account_id, key): (Arc<str>, Arc<str>) = ("acc".into(), "key".into());
        let (logical_time, deleted) = (AT + at, u8::from(is_deleted));
        let there = |value: Arc<str>| if is_deleted { Arc::default() } else { value };
        match view {
            0 => Row::Identity(IdentityRow {
                account_id,
                qontak_customer_id: key,
                old_customer_id: Arc::default(),
                customer_id: there(id),
                cause,
                logical_time,
                deleted,
            }),
            1 => Row::Customer(CustomerRow {
                account_id,
                customer_id: key,
                old: None,
                new: (!is_deleted).then(|| profile.into()),
                cause,
                logical_time,
            }),
            2 => Row::Seen(SeenRow {
                account_id,
                customer_id: key,
                first_seen: (!is_deleted).then_some(AT - at),
                last_seen: (!is_deleted).then_some(AT),
                old_first_seen: None,
                old_last_seen: None,
                cause,
                logical_time,
                deleted,
            }),
            3 => Row::Segment(SegmentRow {
                account_id,
                segment_id: "s".into(),
                customer_id: key,
                change: if is_deleted { "exited" } else { "entered" },
                cause,
                definition_version: n as u32,
                logical_time,
                deleted,
            }),
            4 => {
                let (numerator, denominator) = if is_deleted { (0, 0) } else { (n - 1, n) };
                let rate = (!is_deleted).then(|| numerator as f64 / denominator as f64);
                Row::Metric(MetricRow {
                    account_id,
                    metric: "m".into(),
                    group_key: key,
                    old_numerator: 0,
                    old_denominator: 0,
                    old_rate: None,
                    new_numerator: numerator,
                    new_denominator: denominator,
                    new_rate: rate,
                    cause,
                    logical_time,
                    deleted,
                })
            }
            5 => Row::Quarantine(QuarantineRow {
                account_id,
                reason: Quarantine::Holders,
                identifier_token: "t".into(),
                cluster: String::new(),
                qontak_customer_id: key,
                cause,
                logical_time,
                deleted,
            }),
            _ => Row::Erasure(ErasureRow {
                account_id,
                qontak_customer_id: Arc::default(),
                identifier_token: "t".into(),
                erased_until: AT,
                logical_time,
                deleted,
            }),
        }
    })
}

fn json(row: &Row) -> Value {
    let mut out = Vec::new();
    row.write(0, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// What a row says is now, and what it says was before.
fn said(row: &Row) -> (Option<Value>, Option<Value>) {
    let json = json(row);
    let of = |columns: &[&str]| -> Value { columns.iter().map(|c| json[*c].clone()).collect() };
    let none = |value: Value, is: bool| (!is).then_some(value);
    let gone = row.is_deleted();
    match row {
        Row::Identity(_) => {
            let before = of(&["old_customer_id"]);
            let was_none = before[0] == "";
            (none(of(&["customer_id"]), gone), none(before, was_none))
        }
        Row::Customer(_) => {
            let before = of(&["old_member_ids", "old_attributes", "old_team_ids"]);
            let was_none = before[0].as_array().unwrap().is_empty();
            (none(of(&["member_ids", "attributes", "team_ids"]), gone), none(before, was_none))
        }
        Row::Seen(_) => {
            let before = of(&["old_first_seen", "old_last_seen"]);
            let was_none = before[0].is_null();
            (none(of(&["first_seen", "last_seen"]), gone), none(before, was_none))
        }
        Row::Metric(_) => {
            let before = of(&["old_numerator", "old_denominator", "old_rate"]);
            let was_none = before[1] == 0;
            (
                none(of(&["new_numerator", "new_denominator", "new_rate"]), gone),
                none(before, was_none),
            )
        }
        _ => (none(of(&["account_id"]), gone), none(of(&["account_id"]), !gone)),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(row in row()) {
        let mut out = Vec::new();
        row.write(3, &mut out);
        prop_assert_eq!(Row::read(row.view(), &out), Ok(row));
    }

    #[test]
    fn a_turn_leads_from_what_was_to_what_is(
        old in prop::option::of(row()),
        new in prop::option::of(row()),
    ) {
        let new = new.filter(|new| old.as_ref().is_none_or(|old| old.view() == new.view()));
        let now = |row: &Option<Row>| row.as_ref().and_then(|row| said(row).0);
        let (before, after) = (now(&old), now(&new));
        let turn = Row::turn(old.as_ref(), new.as_ref(), AT + 9, Cause::Definition);
        prop_assert_eq!(turn.is_none(), before == after, "{:?}", turn);
        if let Some(turn) = turn {
            prop_assert_eq!(said(&turn), (after, before));
            prop_assert_eq!(turn.logical_time(), AT + 9);
            let cause = json(&turn)["cause"].clone();
            prop_assert!(cause == "definition" || turn.view() == View::Erasures);
        }
    }
}

#[test]
fn what_is_no_row_of_state_is_refused() {
    assert_eq!(Row::read(View::Seen, b"[]"), Err(RowError::NoObject { view: View::Seen }));
    assert_eq!(Row::read(View::Ledger, b"{}"), Err(RowError::NoState { view: View::Ledger }));
    let error = Row::read(View::Seen, b"{}").unwrap_err();
    assert_eq!(error.to_string(), "a row of seen has no usable account_id");
}
