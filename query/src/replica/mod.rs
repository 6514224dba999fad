//! A copy in memory of what is asked for most: customers and rates as they are now.
//!
//! * `held`, `rates`: what is held, changed row by row and looked up; pure. `row`: how rows are read.
//! * `keep`: begins with the tables and follows the feeds.
//!
//! Until it has caught up, and whenever it is behind, ClickHouse is asked instead; if that gives no answer in time, what
//! the copy knew last is told.

mod held;
mod keep;
mod rates;
mod row;

use std::sync::{Arc, PoisonError, RwLock};

use cebe_schemas::time::Millis;

use crate::now_ms;
use crate::page::{Page, Wanted};

pub(crate) use held::{Customer, Held, Membership};
pub(crate) use keep::keep;
pub(crate) use rates::Counted;

/// An answer of the copy may be this old. Before it is called stale, ClickHouse is asked.
const BEHIND_MAX_MS: Millis = 30_000;
/// About what an entry of a map takes beside its key and its value.
const ENTRY_BYTES: usize = 32;

/// The copy; cheap to clone. Empty until it is [kept](keep).
#[derive(Clone, Default)]
pub(crate) struct Replica(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    held: Held,
    /// It began with tables that show nothing newer, and not what had gone by then.
    since_ms: Millis,
    /// Everything by then is in it; none: it has not caught up.
    through_ms: Option<Millis>,
}

/// What the copy tells, and the time that this is true for.
pub(crate) struct Copied<T> {
    pub(crate) told: T,
    pub(crate) through_ms: Millis,
}

impl<T> Copied<T> {
    /// Whether ClickHouse is to be asked instead.
    pub(crate) fn is_behind(&self) -> bool {
        now_ms().saturating_sub(self.through_ms) > BEHIND_MAX_MS
    }

    pub(crate) fn map<U>(self, told: impl FnOnce(T, Millis) -> U) -> Copied<U> {
        Copied { told: told(self.told, self.through_ms), through_ms: self.through_ms }
    }
}

impl Replica {
    /// The person of a customer. The outer none: it has not caught up.
    pub(crate) fn customer(&self, account_id: &str, id: &str) -> Option<Copied<Option<Customer>>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let through_ms = state.through_ms?;
        Some(Copied { told: state.held.customer(account_id, id), through_ms })
    }

    /// A page, and what `look` finds for it. None: it has not caught up, or does not know any more what was then.
    pub(crate) fn page<T>(
        &self,
        wanted: &Wanted,
        look: impl FnOnce(&Held, &Page) -> Option<T>,
    ) -> Option<Copied<(Page, T)>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let through_ms = state.through_ms?;
        let page = wanted.page(through_ms);
        let is_known = (state.since_ms..=through_ms).contains(&page.as_of_ms);
        let found = look(&state.held, &page).filter(|_| is_known)?;
        Some(Copied { told: (page, found), through_ms })
    }

    /// Nothing that was taken in so far is newer.
    fn begin(&self, since_ms: Millis) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).since_ms = since_ms;
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
