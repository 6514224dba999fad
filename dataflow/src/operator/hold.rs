//! Which customer holds which identifier (product §4).

use cebe_schemas::fact::{IdentifierFact, Slot, Stamp};
use cebe_schemas::id::{Subject, Token};
use differential_dataflow::VecCollection;

use super::sharded::Sharded;
use super::{by_time, difference, route};

/// What a customer was said to hold.
#[derive(Default)]
struct Held {
    phone: Option<(Stamp, Option<Token>)>,
    email: Option<(Stamp, Option<Token>)>,
    further: Vec<Token>,
}

impl Held {
    fn take_in(&mut self, fact: IdentifierFact) {
        let slot = match fact.slot {
            Slot::Phone => &mut self.phone,
            Slot::Email => &mut self.email,
            Slot::Further => return self.further.extend(fact.token),
        };
        if slot.as_ref().is_none_or(|(stamp, _)| *stamp < fact.stamp) {
            *slot = Some((fact.stamp, fact.token));
        }
    }

    /// Sorted, each once.
    fn tokens(&self) -> Vec<Token> {
        let last = |slot: &Option<(Stamp, Option<Token>)>| slot.as_ref().and_then(|(_, t)| *t);
        let mut tokens = self.further.clone();
        tokens.extend(last(&self.phone).into_iter().chain(last(&self.email)));
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

/// From statements to (identifier, customer) for as long as it is held. Statements are overwritten
/// by later ones, never retracted.
pub fn hold<'s>(
    statements: VecCollection<'s, u64, IdentifierFact>,
) -> VecCollection<'s, u64, (Token, Subject)> {
    let mut customers: Sharded<Subject, Held> = Sharded::default();
    by_time(
        statements,
        "Hold",
        |fact| route(&fact.subject),
        move |mut rows, emit| {
            rows.sort_unstable();
            let mut rows = rows.into_iter().map(|(fact, _)| fact).peekable();
            while let Some(fact) = rows.next() {
                let subject = fact.subject;
                let held = customers.of(&subject).entry(subject).or_default();
                let before = held.tokens();
                held.take_in(fact);
                while let Some(fact) = rows.next_if(|fact| fact.subject == subject) {
                    held.take_in(fact);
                }
                held.further.sort_unstable();
                held.further.dedup();
                difference(&before, &held.tokens(), |token, diff| emit((*token, subject), diff));
            }
        },
    )
}
