//! Things that are known: mentioned at least once.

use std::hash::Hash;

use differential_dataflow::{ExchangeData, VecCollection};

use super::sharded::Sharded;
use super::{by_time, route};

/// The first row of each thing that has any, whatever their number; `thing` tells which.
pub fn distinct<'s, D: ExchangeData, T: Hash + Ord + 'static>(
    mentions: VecCollection<'s, u64, D>,
    name: &str,
    thing: impl Fn(&D) -> T + Copy + 'static,
) -> VecCollection<'s, u64, D> {
    let mut counts: Sharded<T, isize> = Sharded::default();
    by_time(
        mentions,
        name,
        move |mention| route(&thing(mention)),
        move |mut rows, emit| {
            rows.sort_by_cached_key(|(mention, _)| thing(mention));
            for same in rows.chunk_by(|a, b| thing(&a.0) == thing(&b.0)) {
                let mention = &same[0].0;
                let key = thing(mention);
                let shard = counts.of(&key);
                let before = shard.get(&key).copied().unwrap_or(0);
                let after = before + same.iter().map(|(_, diff)| diff).sum::<isize>();
                if after == 0 {
                    shard.remove(&key);
                } else {
                    shard.insert(key, after);
                }
                match (before > 0, after > 0) {
                    (false, true) => emit(mention.clone(), 1),
                    (true, false) => emit(mention.clone(), -1),
                    _ => (),
                }
            }
        },
    )
}
