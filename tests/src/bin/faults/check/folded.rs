//! A feed, summed up, is what ClickHouse shows.

use std::collections::{BTreeMap, BTreeSet};

use cebe_schemas::view::View;
use serde_json::{Value, json};

use super::Check;
use super::feeds::{Row, change, none};

/// Views that show the state of a feed, and its rows as JSON arrays.
pub const VIEWS: [(View, &str); 5] = [
    (View::Identities, "SELECT account_id, qontak_customer_id, customer_id FROM cebe.identities"),
    (View::Customers, "SELECT account_id, customer_id, member_ids FROM cebe.customers"),
    (View::Segments, "SELECT account_id, segment_id, customer_id FROM cebe.segment_members"),
    (
        View::Metrics,
        "SELECT account_id, metric, group_key, numerator, denominator FROM cebe.metric_values",
    ),
    (
        View::Quarantine,
        "SELECT account_id, reason, identifier_token, arrayJoin(customer_ids) \
         FROM cebe.identity_quarantine",
    ),
];

/// The state that the rows of a feed through `through_ms` leave, against the rows of its view.
pub fn folded(view: View, feed: &[Row], through_ms: i64, found: &[Value]) -> Check {
    let mut state: BTreeMap<&str, &Row> = BTreeMap::new();
    for row in feed.iter().filter(|row| row.timestamp <= through_ms) {
        match change(view, &row.value) {
            Some((_, after)) if Some(&after) != none(view).as_ref() => {
                state.insert(&row.key, row);
            }
            _ => drop(state.remove(&*row.key)),
        }
    }
    let expected: BTreeSet<String> =
        state.values().map(|row| shown(view, &row.value).to_string()).collect();
    let check = Check::of(format!("view {} is its feed", view.name()));
    check.rows(expected, found.iter().map(Value::to_string))
}

/// The columns of a row that its view shows.
fn shown(view: View, row: &Value) -> Value {
    let columns: &[&str] = match view {
        View::Identities => &["account_id", "qontak_customer_id", "customer_id"],
        View::Customers => &["account_id", "customer_id", "member_ids"],
        View::Segments => &["account_id", "segment_id", "customer_id"],
        View::Metrics => &["account_id", "metric", "group_key", "new_numerator", "new_denominator"],
        View::Quarantine => &["account_id", "reason", "identifier_token", "qontak_customer_id"],
        _ => return json!(null),
    };
    columns.iter().map(|column| row[*column].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t: i64, customer: &str, change: &str) -> Row {
        let value = json!({"account_id": "a", "segment_id": "s", "customer_id": customer,
            "change": change});
        Row { partition: 0, offset: t, timestamp: t, key: customer.into(), value }
    }

    fn check(found: &[Value]) -> [u64; 3] {
        let feed = [
            row(1, "1", "entered"),
            row(2, "2", "entered"),
            row(3, "1", "exited"),
            // Not loaded yet.
            row(9, "3", "entered"),
        ];
        let check = folded(View::Segments, &feed, 5, found);
        [check.lost, check.doubled, check.invented]
    }

    #[test]
    fn a_view_that_is_not_its_feed_is_seen() {
        let member = |customer: &str| json!(["a", "s", customer]);
        assert_eq!(check(&[member("2")]), [0, 0, 0]);
        assert_eq!(check(&[]), [1, 0, 0]);
        assert_eq!(check(&[member("2"), member("2")]), [0, 1, 0]);
        assert_eq!(check(&[member("2"), member("1")]), [0, 0, 1]);
    }
}
