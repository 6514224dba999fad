//! From shared identifiers to links between customers.

use cebe_schemas::id::{Subject, Token};
use differential_dataflow::VecCollection;

use super::sharded::Sharded;
use super::{by_time, difference, route};

/// A star for each identifier: every other holder is linked to the least one. An identifier with
/// more than `holders_max` holders links nobody (product §4). Counting holders here, instead of in
/// a `reduce`, keeps an update of such a hub from reading all of it again.
pub fn stars<'s>(
    held: VecCollection<'s, u64, (Token, Subject)>,
    holders_max: usize,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let mut tokens: Sharded<Token, Vec<Subject>> = Sharded::default();
    by_time(
        held,
        "Stars",
        |(token, _)| route(token),
        move |mut rows, emit| {
            rows.sort_unstable();
            for same in rows.chunk_by(|a, b| a.0.0 == b.0.0) {
                let token = same[0].0.0;
                let shard = tokens.of(&token);
                let holders = shard.entry(token).or_default();
                let before = star(holders, holders_max);
                for ((_, subject), diff) in same {
                    match (holders.binary_search(subject), *diff > 0) {
                        (Err(at), true) => {
                            holders.reserve_exact(usize::from(holders.is_empty()));
                            holders.insert(at, *subject);
                        }
                        (Ok(at), false) => drop(holders.remove(at)),
                        _ => debug_assert!(false, "a holder comes and goes once"),
                    }
                }
                difference(&before, &star(holders, holders_max), |edge, diff| emit(*edge, diff));
                if holders.is_empty() {
                    shard.remove(&token);
                }
            }
        },
    )
}

fn star(holders: &[Subject], holders_max: usize) -> Vec<(Subject, Subject)> {
    match holders {
        [least, others @ ..] if holders.len() <= holders_max => {
            others.iter().map(|other| (*other, *least)).collect()
        }
        _ => Vec::new(),
    }
}
