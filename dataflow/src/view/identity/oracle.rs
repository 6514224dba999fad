//! Who is who, by union-find over everything ever said.

use std::collections::{BTreeMap, BTreeSet};

use cebe_schemas::change::Quarantine;
use cebe_schemas::fact::{Identifier, Linking, TickInput};
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

/// A customer that is kept from being linked: by which protection, token and cluster.
pub type Kept = (Subject, Quarantine, Option<Token>, Option<Subject>);

/// The least customer of each linked person, by member, and who is kept from being linked.
pub fn identities(ticks: &[TickInput]) -> (BTreeMap<Subject, Subject>, BTreeSet<Kept>) {
    let last = ticks.iter().rev().find_map(|tick| tick.linking.as_deref());
    let linking = last.cloned().unwrap_or_default();
    let (shared, mut kept) = shared_identifiers(ticks, &linking);
    let explicit = explicit_links(ticks);
    let mut least = components(&[shared, explicit.clone()].concat());
    let pieces = components(&explicit);
    let mut sizes: BTreeMap<Subject, usize> = BTreeMap::new();
    least.values().for_each(|cluster| *sizes.entry(*cluster).or_default() += 1);
    for (member, least) in &mut least {
        if sizes[least] > linking.members_max {
            kept.insert((*member, Quarantine::Members, None, Some(*least)));
            *least = *pieces.get(member).unwrap_or(member);
        }
    }
    (least, kept)
}

fn shared_identifiers(
    ticks: &[TickInput],
    linking: &Linking,
) -> (Vec<(Subject, Subject)>, BTreeSet<Kept>) {
    let mut holders: BTreeMap<Token, BTreeSet<Subject>> = BTreeMap::new();
    let mut hold = |identifier: &Identifier, subject: Subject| {
        if !linking.blocked.contains(&identifier.value) {
            holders.entry(identifier.token).or_default().insert(subject);
        }
    };
    let facts = || ticks.iter().flat_map(|tick| &tick.attributes);
    for fact in facts() {
        let same = facts().filter(|f| (f.subject, &f.name) == (fact.subject, &fact.name));
        if same.map(|f| &f.stamp).max() == Some(&fact.stamp) {
            fact.identifier.iter().for_each(|identifier| hold(identifier, fact.subject));
        }
    }
    let further = ticks.iter().flat_map(|tick| &tick.identifiers);
    further.for_each(|(subject, identifier)| hold(identifier, *subject));
    let (mut links, mut kept) = (Vec::new(), BTreeSet::new());
    for (token, holders) in holders {
        if holders.len() <= linking.holders_max {
            links.extend(holders.iter().flat_map(|a| holders.iter().map(move |b| (*a, *b))));
        } else {
            kept.extend(holders.iter().map(|h| (*h, Quarantine::Holders, Some(token), None)));
        }
    }
    (links, kept)
}

fn explicit_links(ticks: &[TickInput]) -> Vec<(Subject, Subject)> {
    let merges = || ticks.iter().flat_map(|tick| &tick.merges);
    let last = |pair| merges().filter(|m| m.pair == pair).max_by_key(|m| &m.stamp);
    merges().filter_map(|merge| last(merge.pair)).filter(|m| m.linked).map(|m| m.pair).collect()
}
