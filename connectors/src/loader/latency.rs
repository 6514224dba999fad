//! Latency histograms, small enough to be stored with each batch.

use std::collections::BTreeMap;

use cebe_schemas::time::Millis;

use crate::feeds::row::Publication;

/// Exact below this; above, each power of two is cut into half as many buckets (3 % wide).
const EXACT_MS: u32 = 64;

/// The last millisecond of the bucket that a latency falls into.
pub(crate) fn bucket_end_ms(latency_ms: u32) -> u32 {
    if latency_ms < EXACT_MS {
        return latency_ms;
    }
    let width = latency_ms.ilog2() + 1 - EXACT_MS.ilog2();
    latency_ms | ((1 << width) - 1)
}

/// The latencies of some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// Bucket end → events.
    pub(crate) buckets: BTreeMap<u32, u64>,
    /// The greatest latency, exact.
    pub(crate) max_ms: u32,
}

impl Histogram {
    fn add(&mut self, latency_ms: u32) {
        *self.buckets.entry(bucket_end_ms(latency_ms)).or_default() += 1;
        self.max_ms = self.max_ms.max(latency_ms);
    }
}

const MINUTE_MS: i64 = 60_000;

/// The latencies of the events of one batch, by (minute of publication, source).
pub(crate) type Propagation<'a> = BTreeMap<(Millis, &'a str), Histogram>;

/// How long `publications` took until `acknowledged_ms`. One that claims to be of the future took
/// no time.
pub(crate) fn propagation<'a>(
    publications: impl Iterator<Item = &'a Publication>,
    acknowledged_ms: Millis,
) -> Propagation<'a> {
    let mut propagation = Propagation::new();
    for Publication { source_module, published_ms } in publications {
        let latency_ms = acknowledged_ms.saturating_sub(*published_ms).max(0);
        let minute = published_ms.div_euclid(MINUTE_MS).saturating_mul(MINUTE_MS);
        let latency_ms = u32::try_from(latency_ms).unwrap_or(u32::MAX);
        propagation.entry((minute, source_module.as_ref())).or_default().add(latency_ms);
    }
    propagation
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bucket_is_within_three_percent(latency_ms: u32) {
            let end = bucket_end_ms(latency_ms);
            prop_assert!(end >= latency_ms);
            prop_assert!(f64::from(end - latency_ms) <= f64::from(latency_ms) / 32.0);
        }

        #[test]
        fn buckets_do_not_overlap(a: u32, b: u32) {
            let (a, b) = (a.min(b), a.max(b));
            let (end_a, end_b) = (bucket_end_ms(a), bucket_end_ms(b));
            let apart = b > end_a;
            prop_assert_eq!(end_a.cmp(&end_b).is_lt(), apart);
            prop_assert_eq!(end_a == end_b, !apart);
        }
    }

    #[test]
    fn latencies_are_grouped_by_source_and_minute() {
        let published =
            |source: &str, published_ms| Publication { source_module: source.into(), published_ms };
        let publications = [
            published("a", 59_999),
            published("a", 60_000),
            published("a", 60_001),
            published("b", 90_000),
        ];
        let propagation = propagation(publications.iter(), 60_010);
        let flat: Vec<_> = propagation
            .iter()
            .map(|(key, h)| (*key, h.buckets.clone().into_iter().collect::<Vec<_>>(), h.max_ms))
            .collect();
        assert_eq!(
            flat,
            [
                ((0, "a"), vec![(11, 1)], 11),
                ((60_000, "a"), vec![(9, 1), (10, 1)], 10),
                ((60_000, "b"), vec![(0, 1)], 0),
            ]
        );
    }
}
