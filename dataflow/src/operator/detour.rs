//! Where the facts of a customer go instead of staying with it.

use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;
use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};

use super::sharded::Sharded;
use super::{Shared, by_time, route};

/// A reason to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Leave {
    /// The customer belongs to another one's person.
    For(Subject),
    /// What happened by then is erased.
    Erased(Millis),
}

/// All reasons of one customer.
#[derive(Default)]
pub struct Reasons {
    /// The person that it belongs to, if not its own.
    pub to: Option<Subject>,
    /// Each with how often it is said.
    erased: Vec<(Millis, isize)>,
}

impl Reasons {
    fn detour(&self) -> Detour {
        let erased_until_ms = self.erased.iter().map(|(until_ms, _)| *until_ms).max();
        Detour { to: self.to, erased_until_ms }
    }

    fn take_in(&mut self, reason: Leave, diff: isize) {
        match reason {
            Leave::For(person) => self.to = (diff > 0).then_some(person),
            Leave::Erased(until_ms) => {
                match self.erased.iter_mut().find(|(held, _)| *held == until_ms) {
                    Some((_, count)) => *count += diff,
                    None => self.erased.push((until_ms, diff)),
                }
                self.erased.retain(|(_, count)| *count != 0);
            }
        }
    }
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

/// One detour for each customer with any reason to leave, of which `customers` holds all.
pub fn detours<'s>(
    reasons: VecCollection<'s, u64, (Subject, Leave)>,
    customers: Shared<Sharded<Subject, Reasons>>,
) -> VecCollection<'s, u64, (Subject, Detour)> {
    by_time(
        reasons,
        "Detours",
        |(subject, _)| route(subject),
        move |mut rows, emit| {
            let mut customers = customers.borrow_mut();
            consolidate(&mut rows);
            // Who goes to another person leaves the one before first.
            rows.sort_unstable_by_key(|((subject, _), diff)| (*subject, *diff));
            for same in rows.chunk_by(|a, b| a.0.0 == b.0.0) {
                let subject = same[0].0.0;
                let shard = customers.of(&subject);
                let reasons = shard.entry(subject).or_default();
                let before = reasons.detour();
                same.iter().for_each(|((_, reason), diff)| reasons.take_in(*reason, *diff));
                let after = reasons.detour();
                if before != after {
                    for (detour, diff) in [(before, -1), (after, 1)] {
                        if detour != Detour::default() {
                            emit((subject, detour), diff);
                        }
                    }
                }
                if after == Detour::default() {
                    shard.remove(&subject);
                }
            }
        },
    )
}
