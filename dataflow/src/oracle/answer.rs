//! Everything that is true at some time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::definition::{Clause, Definitions};
use cebe_schemas::fact::{EventFact, TickInput};
use cebe_schemas::id::{Group, Subject};
use cebe_schemas::time::Millis;

use crate::view::identity::oracle::{components, links};
use crate::view::person::oracle::{belongs, credit, metrics_of};

pub type Text = Arc<str>;

/// A row of some view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Identity { account: Text, member: Text, canonical: Text },
    Segment { account: Text, segment: Text, canonical: Text },
    Rate { account: Text, metric: Text, group: Group, canonical: Text, hit: bool },
}

pub type Rows = BTreeSet<Row>;

impl Row {
    /// The account and canonical id of the person that it is about.
    pub fn person(&self) -> (Text, Text) {
        let (Row::Identity { account, canonical, .. }
        | Row::Segment { account, canonical, .. }
        | Row::Rate { account, canonical, .. }) = self;
        (account.clone(), canonical.clone())
    }

    /// Whether it says who this customer belongs to.
    pub fn is_member(&self, of: &Text, id: &Text) -> bool {
        matches!(self, Row::Identity { account, member, .. } if (account, member) == (of, id))
    }

    /// Whether the person is in the numerator, if the row is about this rate.
    pub fn hit(&self, of: &Text, name: &Text, which: Group) -> Option<bool> {
        match self {
            Row::Rate { account, metric, group, hit, .. } => {
                ((account, metric, *group) == (of, name, which)).then_some(*hit)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Person {
    pub account: Text,
    pub canonical: Text,
    pub members: BTreeMap<Subject, Text>,
    pub events: Vec<EventFact>,
}

/// Who is who after `ticks`, and what each has done.
pub fn persons(ticks: &[TickInput], holders_max: usize) -> Vec<Person> {
    let representative = components(&links(ticks, holders_max));
    let id = |subject: &Subject| *representative.get(subject).unwrap_or(subject);
    let mut persons: BTreeMap<Subject, Person> = BTreeMap::new();
    for tick in ticks {
        for known in &tick.known {
            let person = persons.entry(id(&known.subject)).or_default();
            person.account = known.account_id.clone();
            person.members.insert(known.subject, known.customer_id.clone());
        }
        for (subject, event) in &tick.events {
            persons.entry(id(subject)).or_default().events.push(*event);
        }
    }
    for person in persons.values_mut() {
        let shortlex = person.members.values().min_by_key(|id| (id.len(), id.as_bytes()));
        person.canonical = shortlex.cloned().unwrap_or_default();
    }
    persons.into_values().filter(|person| !person.members.is_empty()).collect()
}

/// Everything that is true at `now`.
pub fn answers(persons: &[Person], definitions: &Definitions, now: Millis) -> Rows {
    let mut rows = Rows::new();
    for Person { account, canonical, members, events } in persons {
        let named = || (account.clone(), canonical.clone());
        rows.extend(members.values().map(|member| {
            let (account, canonical) = named();
            Row::Identity { account, member: member.clone(), canonical }
        }));
        let segments = definitions.segments.iter().filter(|s| s.account_id == *account);
        rows.extend(segments.filter(|s| belongs(&s.when, events, now)).map(|s| {
            let (account, canonical) = named();
            Row::Segment { account, segment: s.segment_id.clone(), canonical }
        }));
        let groups: BTreeSet<_> = events.iter().map(|event| event.group).collect();
        for metric in metrics_of(definitions, account) {
            rows.extend(groups.iter().filter_map(|group| {
                let hit = credit(metric, *group, events)?;
                let (account, canonical) = named();
                Some(Row::Rate {
                    account,
                    metric: metric.metric.clone(),
                    group: *group,
                    canonical,
                    hit,
                })
            }));
        }
    }
    rows
}

/// The times around which an answer can change by itself.
pub fn boundaries(persons: &[Person], definitions: &Definitions) -> BTreeSet<Millis> {
    let mut widths = vec![0];
    widths.extend(definitions.segments.iter().filter_map(|segment| match &segment.when {
        Clause::Did { within_ms, .. } => *within_ms,
    }));
    let events = persons.iter().flat_map(|person| &person.events);
    let ends = events.flat_map(|event| widths.iter().map(|width| event.occurred_at_ms + width));
    ends.flat_map(|end| [end - 1, end, end + 1]).collect()
}
