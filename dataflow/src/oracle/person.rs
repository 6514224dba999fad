//! Who is who, and everything that is known of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::fact::{AssertionFact, AttributeFact, EventFact, GroupName, TickInput};
use cebe_schemas::id::Subject;

use crate::view::identity::oracle::{Identities, Kept, identities};

pub type Text = Arc<str>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    pub account: Text,
    pub canonical: Text,
    pub members: BTreeMap<Subject, Text>,
    /// Who names identifiers of this person only, and no customer.
    pub aliases: BTreeSet<Subject>,
    pub events: Vec<EventFact>,
    /// The last that was said of each member.
    pub attributes: Vec<AttributeFact>,
    /// The last that was said of each member.
    pub assertions: Vec<AssertionFact>,
    pub teams: BTreeSet<(Subject, Text)>,
    pub kept: BTreeSet<Kept>,
    /// The texts of all groups.
    pub groups: Vec<GroupName>,
}

/// The persons after `ticks`.
pub fn persons(ticks: &[TickInput]) -> Vec<Person> {
    let Identities { least, kept } = identities(ticks);
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
                person.teams.extend(known.team.iter().map(|team| (known.subject, team.clone())));
            });
        }
        for (seeker, _) in &tick.anonymous {
            of(seeker, &mut |person| person.aliases.extend([*seeker]));
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
        for (subject, team, _) in &tick.teams {
            of(subject, &mut |person| person.teams.extend([(*subject, team.clone())]));
        }
    }
    for kept in kept {
        of(&kept.0, &mut |person| person.kept.extend([kept]));
    }
    for person in persons.values_mut() {
        let said = std::mem::take(&mut person.attributes);
        let is_last = |fact: &AttributeFact| {
            let same = said.iter().filter(|f| (f.subject, &f.name) == (fact.subject, &fact.name));
            same.map(|f| &f.stamp).max() == Some(&fact.stamp)
        };
        person.attributes = said.iter().filter(|fact| is_last(fact)).cloned().collect();
        let said = std::mem::take(&mut person.assertions);
        let is_last = |fact: &AssertionFact| {
            let about = |f: &AssertionFact| (f.subject, f.segment_id.clone());
            let same = said.iter().filter(|f| about(f) == about(fact));
            same.map(|f| &f.stamp).max() == Some(&fact.stamp)
        };
        person.assertions = said.iter().filter(|fact| is_last(fact)).cloned().collect();
        person.events.sort();
        let shortlex = person.members.values().min_by_key(|id| (id.len(), id.as_bytes()));
        person.canonical = shortlex.cloned().unwrap_or_default();
        person.groups = ticks.iter().flat_map(|tick| tick.groups.clone()).collect();
    }
    persons.into_values().filter(|person| !person.members.is_empty()).collect()
}
