//! Which idempotency keys are used up, and by whom: dedup, exact under replay (product §3, §9.1).
//!
//! Keys are claimed in ordinal order. A claim sees only entries of lesser ordinals, so a replay
//! gives every record the verdict that it had, whatever an index that survived the crash already
//! knows of the future. A key that was used, became free at the horizon and was used again keeps
//! each use ([`Use`]), because a replay may begin between them.
//!
//! Nothing is forgotten but by [`KeyIndex::forget`], which takes the point behind which no replay
//! will ever begin.
//!
//! * [`memory`]: a map, for `eval` and tests.
//! * [`disk`]: an LSM tree, for an engine that runs for years.

pub mod disk;
pub mod memory;

use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;

/// A key as used by one accepted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The record's ordinal.
    pub ordinal: u64,
    /// The T that bound it.
    pub arrival_ms: Millis,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key was free; now it is used up by this record.
    First,
    /// It was used up by an earlier record.
    Duplicate {
        /// The ordinal of that record.
        of: u64,
    },
}

/// The point behind which no replay will begin: a durable snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// Records from this ordinal on may be replayed.
    pub ordinal: u64,
    /// They arrived after this T.
    pub t_ms: Millis,
}

/// The index cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyIndexError {
    /// The store failed.
    #[error("key index at {path}: {error}")]
    Store {
        /// Where it is.
        path: String,
        /// What the store says.
        #[source]
        error: fjall::Error,
    },
    /// A stored value is not what was written.
    #[error("key index at {path} is damaged: delete the directory, it is rebuilt from Kafka")]
    Damaged {
        /// Where it is.
        path: String,
    },
}

/// Claims keys in ordinal order.
pub trait KeyIndex {
    /// Claims `key` for the record of `ordinal`, which arrived at `arrival_ms`. An earlier use
    /// counts while `arrival_ms` is less than `horizon_ms` after its arrival; at exactly the
    /// horizon the key is free again.
    ///
    /// # Errors
    /// The store failed.
    fn claim(
        &mut self,
        key: EventKey,
        ordinal: u64,
        arrival_ms: Millis,
        horizon_ms: Millis,
    ) -> Result<Claim, KeyIndexError>;

    /// Ends a tick, after which the next record has the ordinal `next_ordinal`: its claims survive the
    /// death of the process together, or not at all.
    ///
    /// # Errors
    /// The store failed.
    fn commit(&mut self, next_ordinal: u64) -> Result<(), KeyIndexError>;

    /// Drops some of the uses that no claim after `floor` can see or count, under horizons of at
    /// most `horizon_ms`; looks at up to `limit` keys and returns how many uses were dropped. Call
    /// it again and again, between ticks.
    ///
    /// # Errors
    /// The store failed.
    fn forget(
        &mut self,
        floor: Floor,
        horizon_ms: Millis,
        limit: usize,
    ) -> Result<usize, KeyIndexError>;
}

/// The rule, given all uses of a key in order of ordinal. For [`Claim::First`] also the place at
/// which the new use belongs, unless it is known already from before a crash.
fn judge(
    uses: &[Use],
    ordinal: u64,
    arrival_ms: Millis,
    horizon_ms: Millis,
) -> (Claim, Option<usize>) {
    let at = uses.partition_point(|one| one.ordinal < ordinal);
    if let Some(last) = at.checked_sub(1).and_then(|before| uses.get(before))
        && arrival_ms.saturating_sub(last.arrival_ms) < horizon_ms
    {
        return (Claim::Duplicate { of: last.ordinal }, None);
    }
    let known = uses.get(at).is_some_and(|one| one.ordinal == ordinal);
    (Claim::First, (!known).then_some(at))
}

/// Removes the uses that [`KeyIndex::forget`] may drop, and says how many.
fn prune(uses: &mut Vec<Use>, floor: Floor, horizon_ms: Millis) -> usize {
    let before = uses.len();
    let below = uses.partition_point(|one| one.ordinal < floor.ordinal);
    // Of those below the floor only the last can be seen from above it.
    uses.drain(..below.saturating_sub(1));
    let expired = |one: &Use| floor.t_ms.saturating_sub(one.arrival_ms) >= horizon_ms;
    if below > 0 && uses.first().is_some_and(expired) {
        uses.remove(0);
    }
    before - uses.len()
}

#[cfg(test)]
mod tests;
