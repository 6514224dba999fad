//! Where the facts of a customer go instead of staying with it.

use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;
use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};

use super::sharded::Sharded;
use super::{by_time, route};

/// A reason to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Leave {
    /// The customer belongs to another one's person.
    For(Subject),
    /// What happened by then is erased.
    Erased(Millis),
}

/// What becomes of the facts of a customer that has any reason.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Detour {
    /// The person that they go to; none: they stay.
    pub to: Option<Subject>,
    /// Events that happened by then go nowhere.
    pub erased_until_ms: Option<Millis>,
}

/// One detour for each customer with any reason to leave.
pub fn detours<'s>(
    reasons: VecCollection<'s, u64, (Subject, Leave)>,
) -> VecCollection<'s, u64, (Subject, Detour)> {
    let mut detours: Sharded<Subject, Detour> = Sharded::default();
    by_time(
        reasons,
        "Detours",
        |(subject, _)| route(subject),
        move |mut rows, emit| {
            consolidate(&mut rows);
            // Who goes to another person leaves the one before first.
            rows.sort_unstable_by_key(|((subject, _), diff)| (*subject, *diff));
            for same in rows.chunk_by(|a, b| a.0.0 == b.0.0) {
                let subject = same[0].0.0;
                let shard = detours.of(&subject);
                let before = shard.get(&subject).copied().unwrap_or_default();
                let mut after = before;
                for ((_, reason), diff) in same {
                    match reason {
                        Leave::For(person) if *diff > 0 => after.to = Some(*person),
                        Leave::For(_) => after.to = None,
                        Leave::Erased(until_ms) => {
                            after.erased_until_ms = after.erased_until_ms.max(Some(*until_ms));
                        }
                    }
                }
                if before == after {
                    continue;
                }
                if before != Detour::default() {
                    emit((subject, before), -1);
                }
                if after == Detour::default() {
                    shard.remove(&subject);
                } else {
                    emit((subject, after), 1);
                    shard.insert(subject, after);
                }
            }
        },
    )
}
