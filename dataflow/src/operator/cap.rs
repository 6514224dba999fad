//! Persons of too many members (product §4).

use std::sync::Arc;

use cebe_schemas::fact::Linking;
use cebe_schemas::id::Subject;
use differential_dataflow::VecCollection;
use timely::dataflow::StreamVec;

use super::persons::Context;
use super::sharded::Sharded;
use super::{by_time_with, difference, route};

/// What the members of a component are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capped {
    /// The first belongs to the second.
    Loser(Subject, Subject),
    /// The first would belong to the second, with too many others.
    TooMany(Subject, Subject),
}

/// From (loser, winner) to those of components within the cap, and all members of the others.
pub fn cap<'s>(
    losers: VecCollection<'s, u64, (Subject, Subject)>,
    contexts: StreamVec<'s, u64, Arc<Context>>,
) -> VecCollection<'s, u64, Capped> {
    let mut components: Sharded<Subject, Vec<Subject>> = Sharded::default();
    let mut members_max = Linking::default().members_max;
    by_time_with(
        losers,
        contexts,
        "Cap",
        |(_, winner)| route(winner),
        move |mut rows, context, emit| {
            if let Some(linking) = context.and_then(|context| context.linking.as_ref()) {
                for (winner, losers) in components.iter_mut() {
                    let before = members(losers, *winner, members_max);
                    let after = members(losers, *winner, linking.members_max);
                    difference(&before, &after, |row, diff| emit(*row, diff));
                }
                members_max = linking.members_max;
            }
            rows.sort_unstable_by_key(|((loser, winner), _)| (*winner, *loser));
            for same in rows.chunk_by(|a, b| a.0.1 == b.0.1) {
                let winner = same[0].0.1;
                let shard = components.of(&winner);
                let losers = shard.entry(winner).or_default();
                let before = members(losers, winner, members_max);
                for one in same.chunk_by(|a, b| a.0.0 == b.0.0) {
                    let loser = one[0].0.0;
                    let diff: isize = one.iter().map(|(_, diff)| diff).sum();
                    match (losers.binary_search(&loser), diff) {
                        (Err(at), 1) => losers.insert(at, loser),
                        (Ok(at), -1) => drop(losers.remove(at)),
                        (_, diff) => debug_assert_eq!(diff, 0, "a loser comes and goes once"),
                    }
                }
                let after = members(losers, winner, members_max);
                difference(&before, &after, |row, diff| emit(*row, diff));
                if losers.is_empty() {
                    shard.remove(&winner);
                }
            }
        },
    )
}

/// Sorted.
fn members(losers: &[Subject], winner: Subject, members_max: usize) -> Vec<Capped> {
    // The winner is a member as well.
    if losers.len() < members_max {
        losers.iter().map(|loser| Capped::Loser(*loser, winner)).collect()
    } else if losers.is_empty() {
        Vec::new()
    } else {
        let all = std::iter::once(&winner).chain(losers);
        all.map(|member| Capped::TooMany(*member, winner)).collect()
    }
}
