//! Customers, row by row.

use std::collections::{HashMap, HashSet};
use std::mem::size_of;
use std::sync::Arc;

use cebe_schemas::time::Millis;

use super::row::{Row, Said};

/// About what an entry of a map takes beside its key and its value.
const ENTRY_BYTES: usize = 32;

/// What is held of all accounts.
#[derive(Default)]
pub(super) struct Held {
    accounts: HashMap<Box<str>, Account>,
    segments: HashSet<Arc<str>>,
    bytes: usize,
}

#[derive(Default)]
struct Account {
    /// The person of each customer; none: itself.
    persons: HashMap<Box<str>, Option<Box<str>>>,
    /// By canonical id.
    known: HashMap<Box<str>, Known>,
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
        self.bytes
    }

    /// The person of a customer.
    pub(super) fn customer(&self, account_id: &str, id: &str) -> Option<Customer> {
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
    pub(super) fn take_in(&mut self, Row { account_id, id, said }: Row) {
        let account = match self.accounts.get_mut(&account_id) {
            Some(account) => account,
            None => self.accounts.entry(account_id).or_default(),
        };
        if let Said::Person(person) = said {
            let (after, before) = account.turn(id, person);
            self.bytes = self.bytes + after - before;
            return;
        }
        let before = account.known.get(&id).map_or(0, |known| known.bytes(&id));
        let known = match account.known.get_mut(&id) {
            Some(known) => known,
            None => account.known.entry(id.clone()).or_default(),
        };
        match said {
            Said::Person(_) => {}
            Said::Profile(profile) => known.profile = profile,
            Said::Seen(first, last) => (known.first_seen, known.last_seen) = (first, last),
            Said::Membership { segment_id, entered } => {
                known.memberships.retain(|one| *one.segment_id != *segment_id);
                if let Some((entered_ms, definition_version)) = entered {
                    let segment_id = shared(&mut self.segments, &segment_id);
                    let membership = Membership { segment_id, entered_ms, definition_version };
                    known.memberships.push(membership);
                }
                known.memberships.shrink_to_fit();
            }
        }
        let after = if known.is_empty() { 0 } else { known.bytes(&id) };
        if after == 0 {
            account.known.remove(&id);
        }
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
        let memberships = self.memberships.len() * size_of::<Membership>();
        size_of::<Known>() + ENTRY_BYTES + id.len() + profile + memberships
    }
}

fn shared(texts: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = texts.get(text) {
        return known.clone();
    }
    let new: Arc<str> = text.into();
    texts.insert(new.clone());
    new
}
