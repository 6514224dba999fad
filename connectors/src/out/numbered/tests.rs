use std::collections::BTreeMap;

use cebe_schemas::change::{Cause, Change, Rate};
use cebe_schemas::row::LedgerRow;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::binding::Digest;

fn binding() -> Binding {
    Binding {
        number: 9,
        t_ms: 1_000,
        generation: 3,
        logic_version: 1,
        previous: Digest::NONE,
        first_ordinal: 0,
        ranges: vec![],
    }
}

fn ledger(partition: i32, logical_time: Millis) -> Row {
    Row::Ledger(LedgerRow {
        topic: "t".into(),
        partition,
        records_read: 1,
        accepted: 1,
        duplicate: 0,
        rejected: 0,
        skipped: 0,
        skipped_ranges: Vec::new(),
        logical_time,
    })
}

fn entered(segment: &str, customer: &str) -> Change {
    Change::Segment {
        account_id: "a".into(),
        segment_id: segment.into(),
        customer_id: customer.into(),
        entered: true,
        definition_version: 2,
        cause: Cause::LateEvent,
    }
}

fn values(numbered: &Numbered) -> Vec<Value> {
    numbered.records.iter().map(|r| serde_json::from_slice(&r.value).unwrap()).collect()
}

#[test]
fn changes_are_rows() {
    let changes = vec![
        Change::Identity {
            account_id: "a".into(),
            qontak_customer_id: "9".into(),
            old: None,
            new: Some("7".into()),
            cause: Cause::Merge,
        },
        entered("s", "7"),
        Change::Metric {
            account_id: "a".into(),
            metric: "reply_rate".into(),
            group_key: "b-1".into(),
            old: Rate { numerator: 1, denominator: 4 },
            new: Rate::default(),
            cause: Cause::Event,
        },
    ];
    let numbered =
        number(&binding(), vec![], vec![Moment { t_ms: 999, changes }], &Keys::development())
            .unwrap();
    let time = "1970-01-01T00:00:00.999Z";
    assert_eq!(
        values(&numbered),
        [
            json!({"account_id": "a", "qontak_customer_id": "9", "old_customer_id": "",
                "customer_id": "7", "cause": "merge", "logical_time": time, "seq": 0, "deleted": 0}),
            json!({"account_id": "a", "segment_id": "s", "customer_id": "7", "change": "entered",
                "cause": "late_event", "definition_version": 2, "logical_time": time, "seq": 0,
                "deleted": 0}),
            json!({"account_id": "a", "metric": "reply_rate", "group_key": "b-1",
                "old_numerator": 1, "old_denominator": 4, "old_rate": 0.25,
                "new_numerator": 0, "new_denominator": 0, "new_rate": null,
                "cause": "event", "logical_time": time, "seq": 0, "deleted": 1}),
        ]
    );
    assert!(numbered.records.iter().all(|record| record.t_ms == 999));
    assert_eq!(numbered.records[1].key, br#"["a","s","7"]"#);
    assert_eq!((numbered.progress.through, numbered.progress.binding), (1_000, 9));
}

#[test]
fn an_empty_tick_has_only_progress() {
    let numbered = number(&binding(), vec![], vec![], &Keys::development()).unwrap();
    assert!(numbered.records.is_empty() && numbered.progress.entries.is_empty());
    assert_eq!(numbered.progress.generation, 3);
}

/// Readers compute partitions themselves: these may never change.
#[test]
fn partitions_are_part_of_the_contract() {
    let found = [
        partition(&["a", "s", "7"]),
        partition(&["acc-17", "1048576"]),
        partition(&["acc-17", "reply_rate", "b-204"]),
        partition(&["cebe.events.cdp", "0"]),
    ];
    assert_eq!(found, [7, 2, 4, 3]);
    let spread: std::collections::BTreeSet<u32> =
        (0..200).map(|n| partition(&["a", "s", &n.to_string()])).collect();
    assert_eq!(spread.len(), OUT_PARTITIONS as usize);
}

fn progress(rows: Vec<Row>) -> Progress {
    number(&binding(), rows, vec![], &Keys::development()).unwrap().progress
}

#[test]
fn a_difference_names_the_time_the_view_and_the_partition() {
    let one = progress(vec![ledger(0, 1_000)]);
    assert_eq!(compare(&one, &one), Ok(()));
    let next_generation = Progress { generation: 4, ..one.clone() };
    assert_eq!(compare(&one, &next_generation), Ok(()));

    let place = format!("view ledger partition {}", one.entries[0].partition);
    let mut other_count = one.clone();
    other_count.entries[0].count = 2;
    let mut other_bytes = one.clone();
    other_bytes.entries[0].hash = "0".repeat(32);
    for (before, after) in [
        (&one, &progress(vec![])),
        (&progress(vec![]), &one),
        (&one, &other_count),
        (&one, &other_bytes),
    ] {
        let error = compare(before, after).unwrap_err();
        assert_eq!(error.where_, place);
        assert!(error.to_string().contains("1970-01-01T00:00:01.000Z (binding 9)"), "{error}");
    }
    let other_tick = Progress { through: 1_001, ..one.clone() };
    assert_eq!(compare(&other_tick, &one).unwrap_err().where_, "the tick");
}

fn rows() -> impl Strategy<Value = (Vec<Row>, Vec<Change>)> {
    let ledgers = prop::collection::btree_set((0i32..40, 990i64..1_000), 0..30);
    // Ids that a careless comparison of keys puts in another order.
    let id = "[\u{0}\u{1}ab\"]{0,3}|[a-c]{14,18}";
    let entries = prop::collection::btree_set((id, id), 0..60);
    (ledgers, entries).prop_map(|(ledgers, entries)| {
        let rows = ledgers.into_iter().map(|(partition, t_ms)| ledger(partition, t_ms));
        let changes = entries.into_iter().map(|(s, c)| entered(&s, &c));
        (rows.collect(), changes.collect())
    })
}

/// The contract of [`number`], without a thought for cost.
fn naive(mut rows: Vec<Row>, moments: Vec<Moment>) -> (Vec<OutRecord>, Vec<ProgressEntry>) {
    for Moment { t_ms, changes } in moments {
        let keys = Keys::development();
        rows.extend(changes.into_iter().map(|change| from_change(change, t_ms, &keys)));
    }
    let place = |row: &Row| {
        let own = |key: &[&str], ordinal| (key.iter().map(|k| k.to_string()).collect(), ordinal);
        let (key, ordinal): (Vec<String>, u64) = with_key(row, own);
        (row.view(), row.logical_time(), key, ordinal)
    };
    rows.sort_by_cached_key(place);
    let mut seqs: BTreeMap<(View, u32, Millis), u32> = BTreeMap::new();
    let mut entries: BTreeMap<(View, u32), (u32, blake3::Hasher)> = BTreeMap::new();
    let records = rows.iter().map(|row| {
        let (view, t_ms, key, _) = place(row);
        let partition = with_key(row, |key, _| partition(key));
        let seq = seqs.entry((view, partition, t_ms)).or_default();
        let mut value = Vec::new();
        row.write(*seq, &mut value);
        *seq += 1;
        let (count, hasher) = entries.entry((view, partition)).or_default();
        *count += 1;
        hasher.update(&value);
        let json: Value = serde_json::from_slice(&value).unwrap();
        let (key, deleted) = (serde_json::to_vec(&key).unwrap(), json["deleted"] == 1);
        OutRecord { view, partition, key, value, t_ms, deleted }
    });
    let records = records.collect();
    let entries = entries.into_iter().map(|((view, partition), (count, hasher))| {
        let hash = hasher.finalize().to_hex()[..32].to_owned();
        ProgressEntry { view, partition, count, hash }
    });
    (records, entries.collect())
}

fn many(count: usize) -> Vec<Change> {
    (0..count).map(|n| entered(&(n % 7).to_string(), &n.to_string())).collect()
}

#[test]
fn a_large_tick_is_hashed_in_pieces() {
    let moments = || vec![Moment { t_ms: 5, changes: many(20_000) }];
    let numbered = number(&binding(), vec![], moments(), &Keys::development()).unwrap();
    assert_eq!((numbered.records, numbered.progress.entries), naive(vec![], moments()));
}

proptest! {
    /// The order in which rows come does not matter, and a reader can check what it has read.
    #[test]
    fn same_rows_same_bytes((rows, changes) in rows(), seed in any::<u64>()) {
        let moments = || [993, 995].map(|t_ms| Moment { t_ms, changes: changes.clone() }).to_vec();
        let twice = number(&binding(), rows.clone(), moments(), &Keys::development()).unwrap();
        prop_assert_eq!((twice.records, twice.progress.entries), naive(rows.clone(), moments()));

        let mut random = fastrand::Rng::with_seed(seed);
        let numbered = number(
            &binding(), rows.clone(), vec![Moment { t_ms: 995, changes: changes.clone() }],
            &Keys::development(),
        ).unwrap();
        let (mut rows, mut changes) = (rows, changes);
        random.shuffle(&mut rows);
        random.shuffle(&mut changes);
        let again = number(&binding(), rows, vec![Moment { t_ms: 995, changes }], &Keys::development()).unwrap();
        prop_assert_eq!(&numbered, &again);

        let mut read: BTreeMap<(View, u32), Vec<&OutRecord>> = BTreeMap::new();
        for record in &numbered.records {
            read.entry((record.view, record.partition)).or_default().push(record);
        }
        prop_assert_eq!(read.len(), numbered.progress.entries.len());
        for entry in &numbered.progress.entries {
            let records = &read[&(entry.view, entry.partition)];
            prop_assert_eq!(records.len(), entry.count as usize);
            let bytes: Vec<u8> = records.iter().flat_map(|record| record.value.clone()).collect();
            prop_assert_eq!(&entry.hash, &blake3::hash(&bytes).to_hex()[..32]);
            prop_assert!(records.is_sorted_by_key(|record| record.t_ms), "time goes on");
            for same_time in records.chunk_by(|a, b| a.t_ms == b.t_ms) {
                for (at, record) in same_time.iter().enumerate() {
                    let row: Value = serde_json::from_slice(&record.value).unwrap();
                    prop_assert_eq!(&row["seq"], at);
                }
            }
        }
    }
}
