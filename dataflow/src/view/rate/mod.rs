//! How many persons are in a rate: its numerator and denominator are the weight of one row.

use differential_dataflow::VecCollection;
use differential_dataflow::operators::CountTotal;

use crate::row::{RateKey, Weight};

#[cfg(test)]
pub mod oracle;
#[cfg(test)]
mod tests;

/// The (numerator, denominator) of each rate with a person in it, from that of each person.
pub fn totals<'s>(
    weights: VecCollection<'s, u64, RateKey, Weight>,
) -> VecCollection<'s, u64, (RateKey, Weight)> {
    weights.count_total()
}
