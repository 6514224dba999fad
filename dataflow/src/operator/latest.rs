//! Of all statements about one thing, the one that counts (product §4).

use std::hash::Hash;
use std::sync::Arc;

use cebe_schemas::fact::{AttributeFact, MergeFact, Stamp};
use cebe_schemas::id::Subject;
use differential_dataflow::{ExchangeData, VecCollection};

use super::sharded::Sharded;
use super::{by_time, route};
use crate::row::{Assertion, SegmentId};

/// Something said about a thing, which a later statement overwrites.
pub trait Statement: ExchangeData {
    /// The thing.
    type Thing: Hash + Eq + 'static;

    /// What it is about.
    fn about(&self) -> Self::Thing;

    /// Which statement wins: the greatest.
    fn stamp(&self) -> &Stamp;
}

impl Statement for Arc<AttributeFact> {
    type Thing = (Subject, Arc<str>);

    fn about(&self) -> Self::Thing {
        (self.subject, self.name.clone())
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl Statement for Arc<Assertion> {
    type Thing = (Subject, SegmentId);

    fn about(&self) -> Self::Thing {
        (self.subject, self.segment)
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl Statement for MergeFact {
    type Thing = (Subject, Subject);

    fn about(&self) -> Self::Thing {
        self.pair
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// The last statement about each thing. Statements are overwritten by later ones, never retracted.
pub fn latest<'s, S: Statement>(
    statements: VecCollection<'s, u64, S>,
    name: &str,
) -> VecCollection<'s, u64, S> {
    let mut things: Sharded<S::Thing, S> = Sharded::default();
    by_time(
        statements,
        name,
        |statement| route(&statement.about()),
        move |mut rows, emit| {
            rows.sort_unstable_by(|(a, _), (b, _)| a.stamp().cmp(b.stamp()));
            for (statement, _) in rows {
                let thing = statement.about();
                let shard = things.of(&thing);
                if shard.get(&thing).is_some_and(|last| last.stamp() >= statement.stamp()) {
                    continue;
                }
                if let Some(last) = shard.insert(thing, statement.clone()) {
                    emit(last, -1);
                }
                emit(statement, 1);
            }
        },
    )
}
