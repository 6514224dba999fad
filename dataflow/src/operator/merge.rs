//! Explicit links between customers (product §4).

use cebe_schemas::fact::{MergeFact, Stamp};
use cebe_schemas::id::Subject;
use differential_dataflow::VecCollection;

use super::sharded::Sharded;
use super::{by_time, route};

/// From statements to the pairs that are linked. Statements are overwritten by later ones, never
/// retracted.
pub fn merge<'s>(
    statements: VecCollection<'s, u64, MergeFact>,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let mut pairs: Sharded<(Subject, Subject), (Stamp, bool)> = Sharded::default();
    by_time(
        statements,
        "Merge",
        |fact| route(&fact.pair),
        move |mut rows, emit| {
            // The last of each pair is the one that counts.
            rows.sort_unstable_by(|(a, _), (b, _)| {
                (a.pair, &b.stamp, a.linked).cmp(&(b.pair, &a.stamp, b.linked))
            });
            rows.dedup_by_key(|(fact, _)| fact.pair);
            for (MergeFact { pair, linked, stamp }, _) in rows {
                let shard = pairs.of(&pair);
                let before = shard.get(&pair);
                if before.is_some_and(|(last, _)| *last >= stamp) {
                    continue;
                }
                let before = before.is_some_and(|(_, linked)| *linked);
                shard.insert(pair, (stamp, linked));
                if before != linked {
                    emit(pair, if linked { 1 } else { -1 });
                }
            }
        },
    )
}
