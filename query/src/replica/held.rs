//! Customers, row by row.

use std::collections::{BTreeSet, HashMap};
use std::mem::size_of;
use std::sync::Arc;

use cebe_schemas::time::Millis;

use super::ENTRY_BYTES;
use super::rates::{Counted, Rates};
use super::row::{Row, Said};
use crate::page::Page;

/// About what a member takes in a set that holds its id, which is held elsewhere.
const MEMBER_BYTES: usize = size_of::<Arc<str>>() * 3 / 2;

/// What is held of all accounts.
#[derive(Default)]
pub(crate) struct Held {
    accounts: HashMap<Box<str>, Account>,
    rates: Rates,
    bytes: usize,
}

#[derive(Default)]
struct Account {
    /// The person of each customer; none: itself.
    persons: HashMap<Box<str>, Option<Box<str>>>,
    /// By canonical id.
    known: HashMap<Arc<str>, Known>,
    segments: HashMap<Arc<str>, Segment>,
}

#[derive(Default)]
struct Segment {
    members: BTreeSet<Arc<str>>,
    changed_ms: Millis,
}

/// What is known of a person. The views that say it are published at the same T, but read row by row.
#[derive(Default)]
struct Known {
    profile: Option<Profile>,
    first_seen: Option<Millis>,
    last_seen: Option<Millis>,
    memberships: Vec<Membership>,
}

/// Members, attributes, teams.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Profile {
    pub(super) member_ids: Box<[Box<str>]>,
    /// A JSON object.
    pub(super) attributes: Box<str>,
    pub(super) team_ids: Box<[Box<str>]>,
}

/// A segment that a person is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) segment_id: Arc<str>,
    pub(crate) entered_ms: Millis,
    pub(crate) definition_version: u32,
}

/// A person, as it is answered.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) customer_id: String,
    pub(crate) member_ids: Vec<String>,
    /// A JSON object.
    pub(crate) attributes: Box<str>,
    pub(crate) team_ids: Vec<String>,
    pub(crate) first_seen: Option<Millis>,
    pub(crate) last_seen: Option<Millis>,
    /// By segment.
    pub(crate) segments: Vec<Membership>,
}

impl Held {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.rates.bytes()
    }

    /// The groups on a page of a metric, in their order, or of them the one that is wanted. None: they changed since then.
    pub(crate) fn rates(
        &self,
        of: [&str; 2],
        group_key: Option<&str>,
        page: &Page,
    ) -> Option<Vec<(&str, Counted)>> {
        self.rates.on_page(of, group_key, page)
    }

    /// The members on a page of a segment, in the order of their ids. None: it changed since then.
    pub(crate) fn members(
        &self,
        [account_id, segment_id]: [&str; 2],
        page: &Page,
    ) -> Option<Vec<(&str, &Membership)>> {
        let account = self.accounts.get(account_id);
        let Some((account, Segment { members, changed_ms })) =
            account.and_then(|account| Some((account, account.segments.get(segment_id)?)))
        else {
            return Some(Vec::new());
        };
        if *changed_ms > page.as_of_ms {
            return None;
        }
        let membership = |id: &str| {
            account.known.get(id)?.memberships.iter().find(|one| *one.segment_id == *segment_id)
        };
        let ids = members.range::<str, _>(page.ahead()).take(page.limit as usize);
        Some(ids.filter_map(|id| Some((&**id, membership(id)?))).collect())
    }

    /// The person of a customer.
    pub(crate) fn customer(&self, account_id: &str, id: &str) -> Option<Customer> {
        let account = self.accounts.get(account_id)?;
        let customer_id = account.persons.get(id)?.as_deref().unwrap_or(id);
        let none = Known::default();
        let known = account.known.get(customer_id).unwrap_or(&none);
        let profile = known.profile.clone().unwrap_or_default();
        let texts = |texts: &[Box<str>]| texts.iter().map(|text| text.to_string()).collect();
        let mut segments = known.memberships.clone();
        segments.sort_by(|a, b| a.segment_id.cmp(&b.segment_id));
        Some(Customer {
            customer_id: customer_id.to_owned(),
            member_ids: texts(&profile.member_ids),
            attributes: profile.attributes,
            team_ids: texts(&profile.team_ids),
            first_seen: known.first_seen,
            last_seen: known.last_seen,
            segments,
        })
    }

    /// Takes in what a row says; of a key, the last row counts.
    pub(super) fn take_in(&mut self, Row { account_id, id, at_ms, said }: Row) {
        if let Said::Rate { group_key, counted } = said {
            return self.rates.take_in([account_id, id, group_key], counted, at_ms);
        }
        let account = match self.accounts.get_mut(&account_id) {
            Some(account) => account,
            None => self.accounts.entry(account_id).or_default(),
        };
        let (after, before) = match said {
            Said::Person(person) => account.turn(id, person),
            said => account.learn(&id, at_ms, said),
        };
        self.bytes = self.bytes + after - before;
    }
}

impl Account {
    /// Says whose person a customer is; how many bytes more and fewer that takes.
    fn turn(&mut self, id: Box<str>, person: Option<Box<str>>) -> (usize, usize) {
        let bytes = |id: &str, person: &Option<Box<str>>| {
            let texts = id.len() + person.as_ref().map_or(0, |person| person.len());
            2 * size_of::<Box<str>>() + ENTRY_BYTES + texts
        };
        let before = self.persons.get(&id).map_or(0, |person| bytes(&id, person));
        let Some(person) = person else {
            self.persons.remove(&id);
            return (0, before);
        };
        let person = (person != id).then_some(person);
        let after = bytes(&id, &person);
        self.persons.insert(id, person);
        (after, before)
    }

    /// Takes in what is said of a person; how many bytes more and fewer that takes.
    fn learn(&mut self, id: &str, at_ms: Millis, said: Said) -> (usize, usize) {
        let id = match self.known.get_key_value(id) {
            Some((id, _)) => id.clone(),
            None => id.into(),
        };
        let known = self.known.entry(id.clone()).or_default();
        let before = if known.is_empty() { 0 } else { known.bytes(&id) };
        match said {
            Said::Person(_) | Said::Rate { .. } => {}
            Said::Profile(profile) => known.profile = profile,
            Said::Seen(first, last) => (known.first_seen, known.last_seen) = (first, last),
            Said::Membership { segment_id, version } => {
                let segment_id = match self.segments.get_key_value(&*segment_id) {
                    Some((segment_id, _)) => segment_id.clone(),
                    None => segment_id.into(),
                };
                let segment = self.segments.entry(segment_id.clone()).or_default();
                segment.changed_ms = segment.changed_ms.max(at_ms);
                known.memberships.retain(|one| one.segment_id != segment_id);
                match version {
                    Some(definition_version) => {
                        let entered_ms = at_ms;
                        let membership = Membership { segment_id, entered_ms, definition_version };
                        known.memberships.push(membership);
                        segment.members.insert(id.clone());
                    }
                    None => drop(segment.members.remove(&id)),
                }
                known.memberships.shrink_to_fit();
            }
        }
        let after = if known.is_empty() { 0 } else { known.bytes(&id) };
        if after == 0 {
            self.known.remove(&id);
        }
        (after, before)
    }
}

impl Known {
    fn is_empty(&self) -> bool {
        let is_seen = self.first_seen.is_some() || self.last_seen.is_some();
        self.profile.is_none() && !is_seen && self.memberships.is_empty()
    }

    fn bytes(&self, id: &str) -> usize {
        let texts = |texts: &[Box<str>]| -> usize {
            texts.iter().map(|text| size_of::<Box<str>>() + text.len()).sum()
        };
        let profile = self.profile.as_ref().map_or(0, |profile| {
            texts(&profile.member_ids) + profile.attributes.len() + texts(&profile.team_ids)
        });
        let memberships = self.memberships.len() * (size_of::<Membership>() + MEMBER_BYTES);
        size_of::<Known>() + ENTRY_BYTES + id.len() + profile + memberships
    }
}
