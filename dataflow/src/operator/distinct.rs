//! Customers that are known: mentioned at least once.

use cebe_schemas::id::Subject;
use differential_dataflow::VecCollection;

use super::sharded::Sharded;
use super::{by_time, route};
use crate::row::Member;

/// One row for each subject with mentions, whatever their number.
pub fn distinct<'s>(mentions: VecCollection<'s, u64, Member>) -> VecCollection<'s, u64, Member> {
    let mut counts: Sharded<Subject, isize> = Sharded::default();
    by_time(
        mentions,
        "Distinct",
        |m| route(&m.subject),
        move |mut rows, emit| {
            rows.sort_unstable_by_key(|(member, _)| member.subject);
            for same in rows.chunk_by(|a, b| a.0.subject == b.0.subject) {
                let member = &same[0].0;
                let shard = counts.of(&member.subject);
                let before = shard.get(&member.subject).copied().unwrap_or(0);
                let after = before + same.iter().map(|(_, diff)| diff).sum::<isize>();
                if after == 0 {
                    shard.remove(&member.subject);
                } else {
                    shard.insert(member.subject, after);
                }
                match (before > 0, after > 0) {
                    (false, true) => emit(member.clone(), 1),
                    (true, false) => emit(member.clone(), -1),
                    _ => (),
                }
            }
        },
    )
}
