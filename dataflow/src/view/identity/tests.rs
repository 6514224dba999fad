use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cebe_schemas::id::Subject;
use differential_dataflow::input::Input;
use proptest::prelude::*;

use super::losers;
use super::oracle::components;

type Edge = (Subject, Subject);

/// Runs rounds of insertions (true) and deletions of edges, and returns the losers after each.
/// By all edges, and by the explicit ones, which are those between numbers of one parity.
fn run(workers: usize, rounds: Vec<Vec<(Edge, bool)>>) -> [Vec<BTreeMap<Subject, Subject>>; 2] {
    let updates = Arc::new([Mutex::new(Vec::new()), Mutex::new(Vec::new())]);
    let (sink, times) = (updates.clone(), rounds.len());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let sink = sink.clone();
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, edges) = scope.new_collection();
            let (links, explicit) =
                (edges.clone().filter(|edge| !is_explicit(edge)), edges.filter(is_explicit));
            let (all, pieces) = losers(links, explicit);
            let (sink, also) = (sink.clone(), sink);
            all.inspect(move |update| sink[0].lock().unwrap().push(*update));
            pieces.inspect(move |update| also[1].lock().unwrap().push(*update));
            input
        });
        for (time, round) in rounds.iter().enumerate() {
            input.advance_to(time as u64);
            let (index, peers) = (worker.index(), worker.peers());
            for (edge, inserted) in round.iter().skip(index).step_by(peers) {
                input.update(*edge, if *inserted { 1 } else { -1 });
            }
            input.flush();
        }
    });
    guards.unwrap().join().into_iter().for_each(|end| end.unwrap());
    [0, 1].map(|layer| {
        let updates = updates[layer].lock().unwrap();
        let after = |time| {
            let mut rows = BTreeMap::new();
            for (row, _, diff) in updates.iter().filter(|(_, t, _)| *t <= time) {
                *rows.entry(*row).or_insert(0) += diff;
            }
            rows.retain(|_, count| *count != 0);
            assert!(rows.values().all(|count| *count == 1), "{rows:?}");
            rows.into_keys().collect()
        };
        (0..times as u64).map(after).collect()
    })
}

fn is_explicit((a, b): &Edge) -> bool {
    (a.0 + b.0) % 2 == 0
}

/// The losers that union-find finds after each round.
fn expected(rounds: &[Vec<(Edge, bool)>]) -> [Vec<BTreeMap<Subject, Subject>>; 2] {
    let mut edges: Vec<Edge> = Vec::new();
    let mut after = [Vec::new(), Vec::new()];
    let losers = |edges: &[Edge]| {
        components(edges).into_iter().filter(|(node, least)| node != least).collect()
    };
    for round in rounds {
        for (edge, inserted) in round {
            match edges.iter().position(|e| e == edge) {
                Some(at) if !inserted => drop(edges.swap_remove(at)),
                _ => edges.push(*edge),
            }
        }
        after[0].push(losers(&edges));
        let explicit: Vec<_> = edges.iter().copied().filter(is_explicit).collect();
        after[1].push(losers(&explicit));
    }
    after
}

fn edge(a: u128, b: u128) -> Edge {
    (Subject(a), Subject(b))
}

/// Rounds that only delete what is there; an edge can be there several times.
fn rounds() -> impl Strategy<Value = Vec<Vec<(Edge, bool)>>> {
    let update = (0..12u128, 0..12u128, any::<prop::sample::Index>(), prop::bool::weighted(0.55));
    prop::collection::vec(prop::collection::vec(update, 1..6), 1..30).prop_map(|rounds| {
        let mut present = Vec::new();
        let mut made = |(a, b, which, insert): (u128, u128, prop::sample::Index, bool)| {
            if insert || present.is_empty() {
                present.push(edge(a, b));
                (edge(a, b), true)
            } else {
                (present.swap_remove(which.index(present.len())), false)
            }
        };
        rounds.into_iter().map(|round| round.into_iter().map(&mut made).collect()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn losers_are_those_of_union_find(rounds in rounds()) {
        let expected = expected(&rounds);
        for workers in 1..=3 {
            prop_assert_eq!(&run(workers, rounds.clone()), &expected);
        }
    }
}

/// Propagating labels would take 1,000 rounds at each of these.
#[test]
fn a_long_chain_is_loaded_cut_and_mended() {
    let link = |n: u128| edge(n, n + 1);
    let rounds = vec![
        (0..1000).map(|n| (link(n), true)).collect(),
        vec![(link(500), false)],
        vec![(link(500), true)],
    ];
    assert_eq!(run(1, rounds.clone()), expected(&rounds));
}
