//! What a worker can tell between two ticks, all of it as of the last one.

use std::cell::{Ref, RefMut};

use cebe_schemas::fact::{Identifier, Linking};
use cebe_schemas::id::{Subject, Token};
use cebe_schemas::time::Millis;

use super::Graph;
use crate::operator::persons::Persons;
use crate::row::Statement;

/// What a customer holds that can make it one person with others.
#[derive(Debug)]
pub struct Holds {
    /// The customer.
    pub subject: Subject,
    /// Its identifiers, with repeats.
    pub identifiers: Vec<Identifier>,
    /// Pairs that it is in which were merged, lesser first, and when.
    pub merged: Vec<((Subject, Subject), Millis)>,
}

impl Graph {
    /// The person of a customer that lives here.
    pub fn person_of(&self, customer: Subject) -> Subject {
        let detours = self.state.detours.borrow();
        detours.get(&customer).and_then(|reasons| reasons.to).unwrap_or(customer)
    }

    /// The customers that are one person by an identifier that lives here.
    pub fn linked_by(&self, token: Token, linking: &Linking) -> Vec<Subject> {
        let holders = self.state.holders.borrow();
        holders.get(&token).map(|holders| holders.linked(linking).collect()).unwrap_or_default()
    }

    /// What those of `customers` hold that live here.
    pub fn holds(&self, customers: &[Subject]) -> Vec<Holds> {
        let state = self.state.customers.borrow();
        let holds = |subject: &Subject| {
            let mut holds = Holds { subject: *subject, identifiers: vec![], merged: vec![] };
            for statement in &state.get(subject)?.statements {
                match statement {
                    Statement::Attribute(fact) => holds.identifiers.extend(fact.identifier),
                    Statement::Identifier(said) => holds.identifiers.push(said.0),
                    Statement::Link(fact) if fact.linked => {
                        holds.merged.push((fact.pair, fact.stamp.occurred_at_ms));
                    }
                    _ => {}
                }
            }
            Some(holds)
        };
        customers.iter().filter_map(holds).collect()
    }

    /// The persons that live here.
    pub fn persons(&self) -> Ref<'_, Persons> {
        self.state.persons.borrow()
    }

    /// The same, for a preview to go on.
    pub fn persons_mut(&self) -> RefMut<'_, Persons> {
        self.state.persons.borrow_mut()
    }
}
