//! Who is who, by union-find over everything ever said.

use std::collections::{BTreeMap, BTreeSet};

use cebe_schemas::fact::{IdentifierFact, Slot, TickInput};
use cebe_schemas::id::{Subject, Token};

/// For each node of `edges` the least one of its component.
pub fn components(edges: &[(Subject, Subject)]) -> BTreeMap<Subject, Subject> {
    let mut parent: BTreeMap<Subject, Subject> =
        edges.iter().flat_map(|(a, b)| [(*a, *a), (*b, *b)]).collect();
    let root = |parent: &BTreeMap<Subject, Subject>, mut node: Subject| {
        while parent[&node] != node {
            node = parent[&node];
        }
        node
    };
    for (a, b) in edges {
        let (a, b) = (root(&parent, *a), root(&parent, *b));
        parent.insert(a.max(b), a.min(b));
    }
    parent.keys().map(|node| (*node, root(&parent, *node))).collect()
}

/// The links between customers after `ticks`.
pub fn links(ticks: &[TickInput], holders_max: usize) -> Vec<(Subject, Subject)> {
    let mut holders: BTreeMap<Token, BTreeSet<Subject>> = BTreeMap::new();
    let facts = || ticks.iter().flat_map(|tick| &tick.identifiers);
    for fact in facts() {
        let same = |f: &&IdentifierFact| (f.subject, f.slot) == (fact.subject, fact.slot);
        let last = facts().filter(same).max_by_key(|f| &f.stamp);
        if fact.slot == Slot::Further || last.is_some_and(|last| last.stamp == fact.stamp) {
            let Some(token) = fact.token else { continue };
            holders.entry(token).or_default().insert(fact.subject);
        }
    }
    let mut links = Vec::new();
    for holders in holders.values().filter(|holders| holders.len() <= holders_max) {
        links.extend(holders.iter().flat_map(|a| holders.iter().map(move |b| (*a, *b))));
    }
    let merges = || ticks.iter().flat_map(|tick| &tick.merges);
    for merge in merges() {
        let last = merges().filter(|m| m.pair == merge.pair).max_by_key(|m| &m.stamp);
        links.extend(last.filter(|last| last.linked).map(|last| last.pair));
    }
    links
}
