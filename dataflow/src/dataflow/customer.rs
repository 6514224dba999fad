//! Persons found by an identifier, and the rates that one of them counts in.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::id::{Subject, Token};

use super::Dataflow;
use crate::error::DataflowError;

/// A rate that a person counts in: it is in the denominator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountsIn {
    /// Which metric.
    pub metric: Arc<str>,
    /// Which group; empty: the whole account.
    pub group_key: Arc<str>,
    /// Whether it is in the numerator as well.
    pub in_numerator: bool,
}

impl Dataflow {
    /// The canonical ids of the persons that held an identifier at the last tick, sorted. Several only where a
    /// person of too many members was cut. None of them for one that identifies nobody: it is blocked, or
    /// too many hold it.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn find(&mut self, token: Token) -> Result<Vec<Arc<str>>, DataflowError> {
        let linking = self.linking.clone();
        if self.workers.count() == 1 {
            // All of it lives there, and every question is a wait.
            let ids = self.workers.ask(0, move |graph| {
                let customers = graph.linked_by(token, &linking).into_iter();
                let persons: BTreeSet<_> = customers.map(|one| graph.person_of(one)).collect();
                let ids = persons.into_iter().filter_map(|one| graph.persons().canonical(one));
                ids.collect::<BTreeSet<_>>()
            })?;
            return Ok(ids.into_iter().collect());
        }
        let customers =
            self.workers.ask(self.home(&token), move |graph| graph.linked_by(token, &linking))?;
        let mut persons = BTreeSet::new();
        for customer in customers {
            let home = self.home(&customer);
            persons.insert(self.workers.ask(home, move |graph| graph.person_of(customer))?);
        }
        let mut ids = Vec::new();
        for person in persons {
            let home = self.home(&person);
            ids.extend(self.workers.ask(home, move |graph| graph.persons().canonical(person))?);
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The rates that the person of a customer counts in at the last tick, sorted; none: there is no such customer.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn counts_in(&mut self, customer: Subject) -> Result<Option<Vec<CountsIn>>, DataflowError> {
        let person =
            self.workers.ask(self.home(&customer), move |graph| graph.person_of(customer))?;
        let time = self.time();
        let rates = self
            .workers
            .ask(self.home(&person), move |graph| graph.persons().rates(person, customer, time))?;
        let Some(rates) = rates else { return Ok(None) };
        let mut counts: Vec<_> = rates
            .into_iter()
            .map(|(rate, in_numerator)| CountsIn {
                metric: self.names.metric(rate.metric),
                group_key: self.names.group(rate.group).unwrap_or_default(),
                in_numerator,
            })
            .collect();
        counts.sort_unstable();
        Ok(Some(counts))
    }
}
