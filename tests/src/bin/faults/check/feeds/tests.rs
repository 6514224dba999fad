//! The checks of a feed on a feed that is right, and on the same feed doctored.

use cebe_schemas::time::format_rfc3339;

use super::*;

/// A customer moves from one person to the next, one T after the other.
fn row(offset: i64, t: i64, seq: u64, old: &str, new: &str) -> Row {
    let value = json!({"account_id": "a", "qontak_customer_id": "1", "old_customer_id": old,
        "customer_id": new, "logical_time": format_rfc3339(t), "seq": seq});
    Row { partition: 0, offset, timestamp: t, key: format!("[\"a\",\"{seq}\"]"), value }
}

fn announced(binding: u64, t: i64, count: u64) -> Progress {
    let entries = vec![Entry { view: View::Identities, partition: 0, count }];
    Progress { through: format_rfc3339(t), binding, entries }
}

fn right() -> (Vec<Row>, Vec<Progress>) {
    let rows = vec![
        row(0, 10, 0, "", "1"),
        row(1, 10, 1, "", "2"),
        row(2, 20, 0, "1", "0"),
        // A wake-up within the tick of 30.
        row(3, 25, 0, "0", "1"),
        row(4, 30, 0, "1", ""),
    ];
    (rows, vec![announced(1, 10, 2), announced(2, 20, 1), announced(3, 30, 2)])
}

/// Lost, doubled, invented, disordered.
fn check(doctor: impl FnOnce(&mut Vec<Row>, &mut Vec<Progress>)) -> [u64; 4] {
    let (mut rows, mut progress) = right();
    doctor(&mut rows, &mut progress);
    let check = feed(View::Identities, &rows, &progress);
    [check.lost, check.doubled, check.invented, check.disordered]
}

#[test]
fn a_right_feed_is_right() {
    assert_eq!(check(|_, _| {}), [0; 4]);
}

#[test]
fn a_lost_row_is_seen_by_its_number_its_count_and_its_change() {
    // The number after it, its tick's count, and the change of its key.
    assert_eq!(check(|rows, _| drop(rows.remove(0))), [3, 0, 0, 0]);
    // The last one leaves no other trace than its tick's count.
    assert_eq!(check(|rows, _| drop(rows.pop())), [1, 0, 0, 0]);
}

#[test]
fn a_doubled_row_is_seen() {
    let [_, doubled, ..] = check(|rows, _| rows.insert(1, rows[0].clone()));
    assert_eq!(doubled, 2, "by its number and by its tick's count");
}

#[test]
fn an_invented_row_is_seen() {
    let late = row(5, 40, 0, "", "9");
    assert_eq!(check(|rows, _| rows.push(late)), [0, 0, 1, 0]);
}

#[test]
fn rows_out_of_order_are_seen() {
    let [.., disordered] = check(|rows, _| rows.swap(0, 4));
    assert!(disordered > 0);
    assert_eq!(check(|rows, _| rows[4].timestamp = 29), [0, 0, 0, 1]);
}

#[test]
fn a_change_that_starts_from_something_else_is_seen() {
    assert_eq!(check(|rows, _| rows[2].value["old_customer_id"] = json!("7")), [1, 0, 0, 0]);
}

#[test]
fn a_tick_that_announces_other_counts_is_seen() {
    assert_eq!(check(|_, progress| progress[1].entries[0].count = 2), [1, 0, 0, 0]);
    assert_eq!(check(|_, progress| progress[0].entries[0].count = 1), [0, 1, 0, 0]);
}

#[test]
fn progress_goes_up_by_one_binding() {
    let check = |bindings: &[(u64, i64)]| {
        let records: Vec<_> = bindings.iter().map(|(n, t)| announced(*n, *t, 0)).collect();
        let check = progress(&records);
        [check.lost, check.doubled, check.disordered]
    };
    assert_eq!(check(&[(1, 10), (2, 20)]), [0, 0, 0]);
    assert_eq!(check(&[(1, 10), (3, 20)]), [1, 0, 0]);
    assert_eq!(check(&[(1, 10), (1, 10)]), [0, 1, 0]);
    assert_eq!(check(&[(1, 10), (2, 10)]), [0, 0, 1]);
}
