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

/// Who is who.
pub struct Identities {
    /// The least customer of its person, by member of any linked one and by who is found to be one.
    pub least: BTreeMap<Subject, Subject>,
    /// Who is kept from being linked.
    pub kept: BTreeSet<Kept>,
}

/// Who is who after `ticks`.
pub fn identities(ticks: &[TickInput]) -> Identities {
    let last = ticks.iter().rev().find_map(|tick| tick.linking.as_deref());
    let linking = last.cloned().unwrap_or_default();
    let holders = holders(ticks, &linking);
    let (mut links, mut kept) = (Vec::new(), BTreeSet::new());
    for (token, holders) in &holders {
        if holders.len() <= linking.holders_max {
            links.extend(holders.iter().flat_map(|a| holders.iter().map(move |b| (*a, *b))));
        } else {
            kept.extend(holders.iter().map(|h| (*h, Quarantine::Holders, Some(*token), None)));
        }
    }
    let explicit = explicit_links(ticks);
    let mut least = components(&[links, explicit.clone()].concat());
    let pieces = components(&explicit);
    let mut sizes: BTreeMap<Subject, usize> = BTreeMap::new();
    least.values().for_each(|cluster| *sizes.entry(*cluster).or_default() += 1);
    for (member, least) in &mut least {
        if sizes[least] > linking.members_max {
            kept.insert((*member, Quarantine::Members, None, Some(*least)));
            *least = *pieces.get(member).unwrap_or(member);
        }
    }
    for (seeker, person) in found(ticks, &holders, &linking, &least) {
        least.insert(seeker, person);
    }
    Identities { least, kept }
}

/// Who holds each identifier that is not blocked.
fn holders(ticks: &[TickInput], linking: &Linking) -> BTreeMap<Token, BTreeSet<Subject>> {
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
    further.for_each(|(subject, identifier, _)| hold(identifier, *subject));
    holders
}

/// Who names identifiers without a customer id, and the only person that holds any of them.
fn found(
    ticks: &[TickInput],
    holders: &BTreeMap<Token, BTreeSet<Subject>>,
    linking: &Linking,
    least: &BTreeMap<Subject, Subject>,
) -> BTreeMap<Subject, Subject> {
    let mut persons: BTreeMap<Subject, BTreeSet<Subject>> = BTreeMap::new();
    for (seeker, identifier) in ticks.iter().flat_map(|tick| &tick.anonymous) {
        let holders = holders.get(&identifier.token).filter(|h| h.len() <= linking.holders_max);
        let found = holders.into_iter().flatten().map(|h| *least.get(h).unwrap_or(h));
        persons.entry(*seeker).or_default().extend(found);
    }
    let only = persons.into_iter().filter(|(_, persons)| persons.len() == 1);
    only.filter_map(|(seeker, persons)| Some((seeker, *persons.first()?))).collect()
}

fn explicit_links(ticks: &[TickInput]) -> Vec<(Subject, Subject)> {
    let merges = || ticks.iter().flat_map(|tick| &tick.merges);
    let last = |pair| merges().filter(|m| m.pair == pair).max_by_key(|m| &m.stamp);
    merges().filter_map(|merge| last(merge.pair)).filter(|m| m.linked).map(|m| m.pair).collect()
}
