//! Explanations from outside: whose, of what, and what holds the person together.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use cebe_schemas::change::Quarantine;
use cebe_schemas::explanation::{Explanation, Link, NextChange, Person};
use cebe_schemas::id::{Subject, Token};

use super::Dataflow;
use crate::error::DataflowError;
use crate::graph::Holds;
use crate::operator::persons::Told;
use crate::operator::route;
use crate::row::Member;

/// What is to be explained.
pub struct Asked<'a> {
    /// The tenant.
    pub account_id: &'a str,
    /// Any customer of the person.
    pub customer: Subject,
    /// The segment.
    pub segment_id: &'a str,
    /// Renders the token of an identifier.
    pub render: &'a dyn Fn(Token) -> String,
}

/// The answer.
#[derive(Debug)]
pub enum Explained {
    /// There is no such customer.
    NoCustomer,
    /// No definition and no event ever spoke of such a segment.
    NoSegment,
    /// The explanation.
    Found(Box<Found>),
}

/// An explanation, and what its events can be found by.
#[derive(Debug)]
pub struct Found {
    /// Its events are not found yet: the dataflow knows their types and times.
    pub explanation: Explanation,
    /// The identifiers that the person holds.
    pub tokens: Vec<Token>,
}

impl Dataflow {
    /// Why a person belongs to a segment at the last tick, or does not.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn explain(&mut self, asked: &Asked) -> Result<Explained, DataflowError> {
        let (account_id, segment_id): (Arc<str>, Arc<str>) =
            (asked.account_id.into(), asked.segment_id.into());
        let customer = asked.customer;
        let person =
            self.workers.ask(self.home(&customer), move |graph| graph.person_of(customer))?;
        let (segment, time) = (self.names.segment_id(&account_id, &segment_id), self.time());
        let id = segment_id.clone();
        let told = self.workers.ask(self.home(&person), move |graph| {
            graph.persons().explain(person, segment, &id, time)
        })?;
        let is_member = |member: &Arc<Member>| member.subject == customer;
        let Some(told) = told.filter(|told| told.members.iter().any(is_member)) else {
            return Ok(Explained::NoCustomer);
        };
        let mut definitions = self.definitions.segments.iter();
        let definition = definitions
            .find(|one| (&one.account_id, &one.segment_id) == (&account_id, &segment_id));
        if definition.is_none() && told.asserted.is_none() && self.names.version(segment) == 0 {
            return Ok(Explained::NoSegment);
        }
        let definition_version = definition.map(|segment| segment.version);
        let members: Arc<[Subject]> = told.members.iter().map(|member| member.subject).collect();
        let holds = self.workers.ask_all(move |graph| graph.holds(&members))?;
        let holds: Vec<_> = holds.into_iter().flatten().collect();
        let canonical = told.members[0].customer_id.clone();
        let is_asserted = told.asserted.as_ref().is_some_and(|last| last.entered);
        let is_defined = told.judged.as_ref().map(|judged| judged.holds);
        let next_change = match &told.judged {
            Some(judged) if !is_asserted => judged.next_change,
            _ => NextChange::Never,
        };
        let mut tokens: Vec<_> =
            holds.iter().flat_map(|one| one.identifiers.iter().map(|found| found.token)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        let explanation = Explanation {
            logical_time: self.last_ms.unwrap_or_default(),
            account_id,
            segment_id,
            is_member: is_asserted || is_defined == Some(true),
            entered_by_version: self.members.version(segment, &canonical),
            person: Person {
                customer_id: canonical,
                member_ids: told.members.iter().map(|member| member.customer_id.clone()).collect(),
                links: self.links(&told, &holds, asked.render),
            },
            asserted: told.asserted,
            is_defined,
            definition_version,
            next_change,
            clause: told.judged,
            events_note: None,
        };
        Ok(Explained::Found(Box::new(Found { explanation, tokens })))
    }

    /// What links members of one person: identifiers that several hold, unless they link nobody, and
    /// merges.
    fn links(&self, told: &Told, holds: &[Holds], render: &dyn Fn(Token) -> String) -> Vec<Link> {
        let named = |subject: &Subject| {
            let member = told.members.iter().find(|member| member.subject == *subject)?;
            Some(member.customer_id.clone())
        };
        let too_many = told.quarantined.iter().any(|held| held.reason == Quarantine::Members);
        let is_held_back =
            |token| told.quarantined.iter().any(|held| held.token == Some(token)) || too_many;
        let mut holders: BTreeMap<Token, Vec<Arc<str>>> = BTreeMap::new();
        let mut merged = BTreeMap::new();
        for one in holds {
            for found in &one.identifiers {
                if !self.linking.blocked.contains(&found.value) && !is_held_back(found.token) {
                    holders.entry(found.token).or_default().extend(named(&one.subject));
                }
            }
            for (pair, at) in &one.merged {
                if let (Some(a), Some(b)) = (named(&pair.0), named(&pair.1)) {
                    merged.insert(*pair, (shortlex(vec![a, b]), *at));
                }
            }
        }
        let shared = holders.into_iter().filter_map(|(token, ids)| {
            let customer_ids = shortlex(ids);
            let is_shared = customer_ids.len() > 1;
            is_shared.then(|| Link::Identifier { token: render(token).into(), customer_ids })
        });
        let merged = merged
            .into_values()
            .map(|(customer_ids, occurred_at)| Link::Merged { customer_ids, occurred_at });
        let mut links: Vec<_> = shared.chain(merged).collect();
        links.sort();
        links
    }

    /// The worker where a key lives.
    pub(super) fn home<K: Hash>(&self, key: &K) -> usize {
        (route(key) % self.workers.count() as u64) as usize
    }
}

fn shortlex(mut ids: Vec<Arc<str>>) -> Vec<Arc<str>> {
    ids.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    ids.dedup();
    ids
}
