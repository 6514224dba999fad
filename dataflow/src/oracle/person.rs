//! Who is who, and everything that is known of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::fact::{AssertionFact, AttributeFact, EventFact, GroupName, TickInput};
use cebe_schemas::id::Subject;

use crate::view::identity::oracle::{Kept, identities};

pub type Text = Arc<str>;

#[derive(Clone, Debug, Default)]
pub struct Person {
    pub account: Text,
    pub canonical: Text,
    pub members: BTreeMap<Subject, Text>,
    pub events: Vec<EventFact>,
    /// Everything ever said of its members.
    pub attributes: Vec<AttributeFact>,
    /// Everything ever said of its members.
    pub assertions: Vec<AssertionFact>,
    pub teams: BTreeSet<Text>,
    pub kept: BTreeSet<Kept>,
    /// The texts of all groups.
    pub groups: Vec<GroupName>,
}

/// The persons after `ticks`.
pub fn persons(ticks: &[TickInput]) -> Vec<Person> {
    let (least, kept) = identities(ticks);
    let id = |subject: &Subject| *least.get(subject).unwrap_or(subject);
    let mut persons: BTreeMap<Subject, Person> = BTreeMap::new();
    let mut of = |subject: &Subject, add: &mut dyn FnMut(&mut Person)| {
        add(persons.entry(id(subject)).or_default());
    };
    for tick in ticks {
        for known in &tick.known {
            of(&known.subject, &mut |person| {
                person.account = known.account_id.clone();
                person.members.insert(known.subject, known.customer_id.clone());
            });
        }
        for (subject, event) in &tick.events {
            of(subject, &mut |person| person.events.push(*event));
        }
        for fact in &tick.attributes {
            of(&fact.subject, &mut |person| person.attributes.push(fact.clone()));
        }
        for fact in &tick.assertions {
            of(&fact.subject, &mut |person| person.assertions.push(fact.clone()));
        }
        for (subject, team) in &tick.teams {
            of(subject, &mut |person| person.teams.extend([team.clone()]));
        }
    }
    for kept in kept {
        of(&kept.0, &mut |person| person.kept.extend([kept]));
    }
    for person in persons.values_mut() {
        let shortlex = person.members.values().min_by_key(|id| (id.len(), id.as_bytes()));
        person.canonical = shortlex.cloned().unwrap_or_default();
        person.groups = ticks.iter().flat_map(|tick| tick.groups.clone()).collect();
    }
    persons.into_values().filter(|person| !person.members.is_empty()).collect()
}
