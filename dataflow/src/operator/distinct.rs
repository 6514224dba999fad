//! Things that are said often enough.

use std::hash::Hash;

use differential_dataflow::{Data, ExchangeData, VecCollection};

use super::sharded::Sharded;
use super::{by_time, route};

/// The first row of each thing that has at least `enough`; `thing` tells which a row is about.
pub fn distinct<'s, D: ExchangeData, T: Hash + Ord + Data>(
    rows: VecCollection<'s, u64, D>,
    name: &str,
    enough: isize,
    thing: impl Fn(&D) -> T + Copy + 'static,
) -> VecCollection<'s, u64, D> {
    let mut counts: Sharded<T, isize> = Sharded::default();
    by_time(
        rows,
        name,
        move |row| route(&thing(row)),
        move |mut rows, emit| {
            rows.sort_by_cached_key(|(row, _)| thing(row));
            for same in rows.chunk_by(|a, b| thing(&a.0) == thing(&b.0)) {
                let row = &same[0].0;
                let key = thing(row);
                let shard = counts.of(&key);
                let before = shard.get(&key).copied().unwrap_or(0);
                let after = before + same.iter().map(|(_, diff)| diff).sum::<isize>();
                if after == 0 {
                    shard.remove(&key);
                } else {
                    shard.insert(key, after);
                }
                match (before >= enough, after >= enough) {
                    (false, true) => emit(row.clone(), 1),
                    (true, false) => emit(row.clone(), -1),
                    _ => (),
                }
            }
        },
    )
}
