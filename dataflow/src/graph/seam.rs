//! The seam: facts by person instead of by customer, and what an erasure leaves of them.

use cebe_schemas::fact::Identifier;
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
    detours: VecCollection<'s, u64, (Subject, Detour)>,
) -> VecCollection<'s, u64, (Subject, Fact)> {
    let moves = facts.clone().arrange_by_key_named("Arrange: Facts").join_core(
        detours.arrange_by_key_named("Arrange: Detours"),
        |subject, fact, detour| {
            let is_erased = fact.happened_at().is_some_and(|at| Some(at) <= detour.erased_until_ms);
            let goes = is_erased || detour.to.is_some();
            let leaves = goes.then(|| ((*subject, fact.clone()), -1));
            let comes = match fact {
                Fact::Event(event) if is_erased => {
                    Some((detour.to.unwrap_or(*subject), Fact::Taken(*event)))
                }
                _ if is_erased => None,
                fact => detour.to.map(|to| (to, fact.clone())),
            };
            leaves.into_iter().chain(comes.map(|row| (row, 1)))
        },
    );
    moved(facts, moves)
}

/// `rows` and what a join adds to them and takes away.
pub fn moved<'s, D: ExchangeData>(
    rows: VecCollection<'s, u64, D>,
    moves: VecCollection<'s, u64, (D, isize)>,
) -> VecCollection<'s, u64, D> {
    let moves = moves.inner.map(|((row, sign), time, diff)| (row, time, sign * diff));
    rows.concat(moves.as_collection())
}
