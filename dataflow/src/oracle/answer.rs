//! Everything that is true at some time.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::change::{Profile, Seen};
use cebe_schemas::definition::{Clause, Definitions};
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use super::person::{Person, Text};
use crate::view::identity::oracle::Kept;
use crate::view::person::oracle::{
    Raw, belongs, credits, metrics_of, moments, next_change, next_rate_change,
};

/// A row of some view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Identity { account: Text, member: Text, canonical: Text },
    Customer { account: Text, canonical: Text, profile: Arc<Profile> },
    Seen { account: Text, canonical: Text, seen: Seen },
    Segment { account: Text, segment: Text, canonical: Text, defined: bool },
    Rate { account: Text, metric: Text, group: Group, canonical: Text, hit: bool },
    Kept { account: Text, canonical: Text, member: Text, kept: Kept },
}

/// What identifies a row within its view.
pub type Key = (u8, Text, Text, Text, Option<Kept>);

pub type Rows = BTreeSet<Row>;

impl Row {
    /// The account and canonical id of the person that it is about.
    pub fn person(&self) -> (Text, Text) {
        let (Row::Identity { account, canonical, .. }
        | Row::Customer { account, canonical, .. }
        | Row::Seen { account, canonical, .. }
        | Row::Segment { account, canonical, .. }
        | Row::Rate { account, canonical, .. }
        | Row::Kept { account, canonical, .. }) = self;
        (account.clone(), canonical.clone())
    }

    /// The published key that it is about; rates have theirs of many rows.
    pub fn key(&self) -> Key {
        let none = Text::from("");
        let (account, canonical) = self.person();
        match self {
            Row::Identity { member, .. } => (0, account, member.clone(), none, None),
            Row::Customer { .. } => (1, account, canonical, none, None),
            Row::Seen { .. } => (2, account, canonical, none, None),
            Row::Segment { segment, .. } => (3, account, canonical, segment.clone(), None),
            Row::Rate { metric, group, .. } => {
                (4, account, metric.clone(), format!("{group:?}").into(), None)
            }
            Row::Kept { member, kept, .. } => (5, account, member.clone(), none, Some(*kept)),
        }
    }
}

/// Everything that is true at `now`.
pub fn answers(persons: &[Person], definitions: &Definitions, now: Millis) -> Rows {
    persons.iter().flat_map(|person| of_person(person, definitions, now)).collect()
}

fn of_person(person: &Person, definitions: &Definitions, now: Millis) -> Rows {
    let mut rows = Rows::new();
    let Person { account, canonical, members, events, .. } = person;
    let named = || (account.clone(), canonical.clone());
    for (subject, member) in members {
        let (account, canonical) = named();
        rows.insert(Row::Identity { account, member: member.clone(), canonical });
        for kept in person.kept.iter().filter(|kept| kept.0 == *subject) {
            let (account, canonical) = named();
            let (member, kept) = (member.clone(), *kept);
            rows.insert(Row::Kept { account, canonical, member, kept });
        }
    }
    let (account_id, canonical_id) = named();
    let profile = Arc::new(profile(person));
    rows.insert(Row::Customer { account: account_id, canonical: canonical_id, profile });
    let times = || events.iter().map(|event| event.occurred_at_ms);
    if let (Some(first_ms), Some(last_ms)) = (times().min(), times().max()) {
        let (account, canonical) = named();
        rows.insert(Row::Seen { account, canonical, seen: Seen { first_ms, last_ms } });
    }
    let asserted = asserted(person);
    let of = |person| raw(person, definitions);
    let mine = || definitions.segments.iter().filter(|s| s.account_id == *account);
    let defined = mine().filter(|s| belongs(&s.when, &of(person), now));
    let defined: BTreeSet<_> = defined.map(|s| s.segment_id.clone()).collect();
    for segment in asserted.union(&defined) {
        let (account, canonical) = named();
        let (segment, defined) = (segment.clone(), defined.contains(segment));
        rows.insert(Row::Segment { account, segment, canonical, defined });
    }
    for metric in metrics_of(definitions, account) {
        rows.extend(credits(metric, &of(person), now).into_iter().map(|(group, hit)| {
            let ((account, canonical), metric) = (named(), metric.metric.clone());
            Row::Rate { account, metric, group, canonical, hit }
        }));
    }
    rows
}

fn profile(person: &Person) -> Profile {
    let mut member_ids: Vec<_> = person.members.values().cloned().collect();
    member_ids.sort_by_key(|id| (id.len(), id.clone()));
    let names: BTreeSet<_> = person.attributes.iter().map(|fact| fact.name.clone()).collect();
    let attribute = |name: Text| {
        let about = person.attributes.iter().filter(|fact| fact.name == name);
        let last = about.max_by_key(|fact| &fact.stamp)?;
        Some((name, last.value.clone()?))
    };
    let teams: BTreeSet<_> = person.teams.iter().map(|(_, team)| team.clone()).collect();
    Profile {
        member_ids,
        attributes: names.into_iter().filter_map(attribute).collect(),
        team_ids: teams.into_iter().collect(),
    }
}

/// The segments that the last statement of any member asserts.
fn asserted(person: &Person) -> BTreeSet<Text> {
    let all = &person.assertions;
    let is_last = |fact: &&_| {
        let fact: &cebe_schemas::fact::AssertionFact = fact;
        let same = all.iter().filter(|other| other.segment_id == fact.segment_id);
        same.map(|other| &other.stamp).max() == Some(&fact.stamp)
    };
    all.iter().filter(is_last).filter(|f| f.entered).map(|f| f.segment_id.clone()).collect()
}

fn raw<'p>(person: &'p Person, definitions: &Definitions) -> Raw<'p> {
    let Person { attributes, assertions, events, groups, .. } = person;
    Raw { attributes, assertions, events, groups, retention: definitions.retention }
}

/// The times at which an answer can change by itself.
pub fn boundaries(persons: &[Person], definitions: &Definitions) -> BTreeSet<Millis> {
    let mine = judged(persons, definitions);
    let windows = mine.flat_map(|(person, when)| moments(when, &raw(person, definitions)));
    let events = persons.iter().flat_map(|person| &person.events);
    windows.chain(events.map(|event| definitions.retention.end(event.occurred_at_ms))).collect()
}

/// When a person has to be looked at again.
pub fn next_wakeup(persons: &[Person], definitions: &Definitions, now: Millis) -> Option<Millis> {
    let segments = judged(persons, definitions)
        .filter_map(|(person, when)| next_change(when, &raw(person, definitions), now));
    let rates = persons.iter().flat_map(|person| {
        let mine = metrics_of(definitions, &person.account).into_iter();
        mine.filter_map(|metric| next_rate_change(metric, &raw(person, definitions), now))
    });
    segments.chain(rates).min()
}

fn judged<'a>(
    persons: &'a [Person],
    definitions: &'a Definitions,
) -> impl Iterator<Item = (&'a Person, &'a Clause)> {
    persons.iter().flat_map(|person| {
        let mine = definitions.segments.iter().filter(|s| s.account_id == person.account);
        mine.map(move |segment| (person, &segment.when))
    })
}
