//! How many persons are in a rate: its numerator and denominator are the weight of one row.

use differential_dataflow::operators::CountTotal;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::operators::vec::Map;

use crate::row::{Answer, RateKey, Reason, Weight};

#[cfg(test)]
pub mod oracle;
#[cfg(test)]
mod tests;

/// The (numerator, denominator) of each rate with a person in it.
pub fn totals<'s>(
    answers: VecCollection<'s, u64, Reason>,
) -> VecCollection<'s, u64, (RateKey, Weight)> {
    answers
        .inner
        .flat_map(|((answer, _), time, diff)| match answer {
            Answer::Rate { rate, hit, .. } => Some((rate, time, (diff * isize::from(hit), diff))),
            _ => None,
        })
        .as_collection()
        .count_total()
}
