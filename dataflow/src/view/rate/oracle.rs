//! A rate by counting.

use cebe_schemas::change::Rate;

/// The rate of persons of whom each is in the denominator, and on a hit in the numerator as well.
pub fn count(hits: impl IntoIterator<Item = bool>) -> Rate {
    let mut rate = Rate::default();
    for hit in hits {
        rate.denominator += 1;
        rate.numerator += u64::from(hit);
    }
    rate
}
