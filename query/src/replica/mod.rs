//! A copy in memory of what is asked for most: customers as they are now.
//!
//! * `held`: what is held, changed row by row and looked up; pure. `row`: how rows are read.
//! * `keep`: begins with the tables and follows the feeds.
//!
//! Until it has caught up, and whenever it is behind, ClickHouse is asked instead.

mod held;
mod keep;
mod row;

use std::sync::{Arc, PoisonError, RwLock};

use cebe_schemas::time::Millis;

use crate::now_ms;

use held::Held;
pub(crate) use held::{Customer, Membership};
pub(crate) use keep::keep;

/// An answer of the copy may be this old. Before it is called stale, ClickHouse is asked.
const BEHIND_MAX_MS: Millis = 30_000;

/// The copy; cheap to clone. Empty until it is [kept](keep).
#[derive(Clone, Default)]
pub(crate) struct Replica(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    held: Held,
    /// Everything by then is in it; none: it has not caught up.
    through_ms: Option<Millis>,
}

impl Replica {
    /// The person of a customer, and the time that this is true for. The outer none: ask ClickHouse.
    pub(crate) fn customer(
        &self,
        account_id: &str,
        id: &str,
    ) -> Option<(Option<Customer>, Millis)> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let through_ms = state.through_ms?;
        let is_behind = now_ms().saturating_sub(through_ms) > BEHIND_MAX_MS;
        (!is_behind).then(|| (state.held.customer(account_id, id), through_ms))
    }

    /// Takes in rows of one logical time, all at once for whoever asks.
    fn take_in(&self, rows: Vec<row::Row>, through_ms: Option<Millis>) -> usize {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.into_iter().for_each(|row| state.held.take_in(row));
        state.through_ms = through_ms;
        metrics::gauge!("cebe_replica_complete_through_ms").set(through_ms.unwrap_or(0) as f64);
        metrics::gauge!("cebe_replica_bytes").set(state.held.bytes() as f64);
        state.held.bytes()
    }

    /// The time that all of it is true for; none: it has not caught up.
    pub(crate) fn through_ms(&self) -> Option<Millis> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).through_ms
    }

    fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}

#[cfg(test)]
mod tests;
