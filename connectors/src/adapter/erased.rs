//! What is erased, so that what arrives of it later is stored without content (product §9.2).

use std::collections::HashMap;

use cebe_schemas::change::{Change, Moment};
use cebe_schemas::id::{Subject, Token};
use cebe_schemas::row::EventRow;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::ValidEvent;

/// Customers, and identifiers of events without a customer id, with until when they are erased.
#[derive(Debug, Default)]
pub(super) struct Erased {
    customers: HashMap<Subject, Millis>,
    identifiers: HashMap<Token, Millis>,
}

impl Erased {
    /// A customer is erased until then.
    pub(super) fn customer(&mut self, subject: Subject, until_ms: Millis) {
        let until = self.customers.entry(subject).or_insert(until_ms);
        *until = until_ms.max(*until);
    }

    /// Takes in what the dataflow has found out: which identifiers are erased along.
    pub(super) fn learn(&mut self, moments: &[Moment]) {
        // Of one identifier at one time, what is erased no longer is said first.
        for change in moments.iter().flat_map(|moment| &moment.changes) {
            if let Change::Forgotten { token, until_ms, erased, .. } = change {
                match erased {
                    true => drop(self.identifiers.insert(*token, *until_ms)),
                    false if self.identifiers.get(token) == Some(until_ms) => {
                        self.identifiers.remove(token);
                    }
                    false => {}
                }
            }
        }
    }

    /// Whether nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.customers.is_empty() && self.identifiers.is_empty()
    }

    /// Whether an event of `customer`, or one without a customer id, is erased.
    pub(super) fn has(&self, customer: Option<Subject>, event: &ValidEvent) -> bool {
        let is_over = |until: Option<&Millis>| until.is_some_and(|u| event.occurred_at_ms <= *u);
        match customer {
            Some(customer) => is_over(self.customers.get(&customer)),
            None => {
                let mut tokens = event.identifiers.iter().map(|found| &found.token);
                tokens.any(|token| is_over(self.identifiers.get(token)))
            }
        }
    }
}

/// Takes everything out of a row that an erasure does not leave.
pub(super) fn empty(row: &mut EventRow) {
    row.payload.clear();
    row.properties = "{}".to_owned();
    row.identifier_tokens.clear();
    row.facts.clear();
}
