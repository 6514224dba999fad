use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use cebe_schemas::change::Rate;
use cebe_schemas::id::Group;
use differential_dataflow::input::Input;
use proptest::prelude::*;

use super::oracle::count;
use super::totals;
use crate::row::{AccountId, MetricId, RateKey};

/// (group, customer, hit).
type Row = (u64, u8, bool);

fn key(group: u64) -> RateKey {
    RateKey { account: AccountId(0), metric: MetricId(0), group: Group(group) }
}

/// Toggles rows, round by round, and returns all rates after each round.
fn run(workers: usize, rounds: Vec<Vec<Row>>) -> Vec<BTreeMap<RateKey, Rate>> {
    let updates = Arc::new(Mutex::new(Vec::new()));
    let (sink, times) = (updates.clone(), rounds.len());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let sink = sink.clone();
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, weights) = scope.new_collection();
            totals(weights).inspect(move |update| sink.lock().unwrap().push(*update));
            input
        });
        let mut present = BTreeSet::new();
        for (time, round) in rounds.iter().enumerate() {
            input.advance_to(time as u64);
            for row @ (group, customer, hit) in round {
                let diff = if present.remove(row) { -1 } else { 1 };
                if diff > 0 {
                    present.insert(*row);
                }
                if usize::from(*customer) % worker.peers() == worker.index() {
                    input.update(key(*group), (diff * isize::from(*hit), diff));
                }
            }
            input.flush();
        }
    });
    guards.unwrap().join().into_iter().for_each(|end| end.unwrap());
    let updates = updates.lock().unwrap();
    let after = |time| {
        let mut rows = BTreeMap::new();
        for (row, _, diff) in updates.iter().filter(|(_, t, _)| *t <= time) {
            *rows.entry(*row).or_insert(0) += diff;
        }
        rows.retain(|_, count| *count != 0);
        assert!(rows.values().all(|count| *count == 1), "{rows:?}");
        let rate = |(numerator, denominator)| Rate {
            numerator: numerator as u64,
            denominator: denominator as u64,
        };
        rows.into_keys().map(|(key, weight)| (key, rate(weight))).collect()
    };
    (0..times as u64).map(after).collect()
}

fn expected(rounds: &[Vec<Row>]) -> Vec<BTreeMap<RateKey, Rate>> {
    let mut present: BTreeSet<Row> = BTreeSet::new();
    let mut after = Vec::new();
    for round in rounds {
        for row in round {
            if !present.remove(row) {
                present.insert(*row);
            }
        }
        let of = |group| present.iter().filter(move |row| row.0 == group).map(|row| row.2);
        let rates = (0..3).map(|group| (key(group), count(of(group))));
        after.push(rates.filter(|(_, rate)| *rate != Rate::default()).collect());
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn totals_are_counts(
        rounds in prop::collection::vec(
            prop::collection::vec((0..3u64, 0..5u8, any::<bool>()), 0..6), 1..20),
    ) {
        let expected = expected(&rounds);
        for workers in 1..=3 {
            prop_assert_eq!(&run(workers, rounds.clone()), &expected);
        }
    }
}
