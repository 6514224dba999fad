//! The seam: facts by person instead of by customer, and what an erasure leaves of them.

use cebe_schemas::fact::{EventFact, Identifier};
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use timely::dataflow::operators::vec::Map;

use super::Named;
use crate::operator::detour::Detour;
use crate::operator::forget::{About, Forgotten, forget};
use crate::row::Fact;

/// What is erased along with customers.
pub fn forgotten<'s>(
    namings: VecCollection<'s, u64, (Subject, Named)>,
    named: VecCollection<'s, u64, (Subject, Identifier)>,
    erased: VecCollection<'s, u64, (Subject, Millis)>,
) -> VecCollection<'s, u64, Forgotten> {
    let reached = namings.clone().arrange_by_key_named("Arrange: Namings").join_core(
        erased.arrange_by_key_named("Arrange: Erased"),
        |customer, (token, at, _), until_ms| {
            (at <= until_ms).then_some((*token, About::Erased(*customer, *until_ms)))
        },
    );
    let names = namings
        .map(|(customer, (token, at, account))| (token, About::Named(customer, at, account)));
    let seekers = named.map(|(seeker, found)| (found.token, About::Sought(seeker)));
    forget(names.concatenate([reached, seekers]))
}

/// Facts by person instead of by customer: those of a customer that leaves go along, but for what is
/// erased. The one place behind which nobody knows that merging exists.
pub fn by_person<'s>(
    facts: VecCollection<'s, u64, (Subject, Fact)>,
    events: VecCollection<'s, u64, (Subject, EventFact)>,
    detours: VecCollection<'s, u64, (Subject, Detour)>,
) -> VecCollection<'s, u64, (Subject, Fact)> {
    let detours = detours.arrange_by_key_named("Arrange: Detours");
    let fact_moves = facts.clone().arrange_by_key_named("Arrange: Facts").join_core(
        detours.clone(),
        |subject, fact, detour| {
            let is_erased = fact.happened_at().is_some_and(|at| Some(at) <= detour.erased_until_ms);
            let to = detour.to.filter(|_| !is_erased);
            let leaves = (is_erased || to.is_some()).then(|| ((*subject, fact.clone()), -1));
            leaves.into_iter().chain(to.map(|to| ((to, fact.clone()), 1)))
        },
    );
    // Apart from the other facts, since they are many and of fixed size.
    let event_moves = events.clone().arrange_by_key_named("Arrange: Events").join_core(
        detours,
        |subject, event, detour| {
            let is_erased = Some(event.occurred_at_ms) <= detour.erased_until_ms;
            let leaves = ((*subject, Fact::Event(*event)), -1);
            let comes = match is_erased {
                true => Some((detour.to.unwrap_or(*subject), Fact::Taken(*event))),
                false => detour.to.map(|to| (to, Fact::Event(*event))),
            };
            comes.into_iter().flat_map(move |row| [leaves.clone(), (row, 1)])
        },
    );
    let events = events.map(|(subject, event)| (subject, Fact::Event(event)));
    moved(facts.concat(events), fact_moves.concat(event_moves))
}

/// `rows` and what a join adds to them and takes away.
pub fn moved<'s, D: ExchangeData>(
    rows: VecCollection<'s, u64, D>,
    moves: VecCollection<'s, u64, (D, isize)>,
) -> VecCollection<'s, u64, D> {
    let moves = moves.inner.map(|((row, sign), time, diff)| (row, time, sign * diff));
    rows.concat(moves.as_collection())
}
