//! Definitions in force and others, compared, so that only what differs is evaluated.

use std::collections::{HashMap, HashSet};

use crate::plan::{AccountPlan, Plan};
use crate::row::AccountId;

/// The definitions in force and others, as far as they differ.
#[derive(Debug)]
pub struct Compared {
    /// Of accounts that have, or would have, definitions of their own.
    accounts: HashMap<AccountId, Both>,
    /// Of every other account.
    shared: Both,
}

/// What only those in force say, and what only the others say.
type Both = (AccountPlan, AccountPlan);

impl Compared {
    /// The definitions in force, and others.
    pub fn new(old: &Plan, new: &Plan) -> Compared {
        let both = |old: &AccountPlan, new: &AccountPlan| (only(old, new), only(new, old));
        let accounts: HashSet<_> = old.accounts.keys().chain(new.accounts.keys()).collect();
        let accounts = accounts
            .into_iter()
            .map(|account| (*account, both(old.of(*account), new.of(*account))));
        Compared { accounts: accounts.collect(), shared: both(&old.shared, &new.shared) }
    }

    /// Those of an account, if they differ.
    pub fn of(&self, account: AccountId) -> Option<&Both> {
        let both = self.accounts.get(&account).unwrap_or(&self.shared);
        (both.0 != both.1).then_some(both)
    }
}

/// What `plan` says and `other` does not.
fn only(plan: &AccountPlan, other: &AccountPlan) -> AccountPlan {
    let segments = plan.segments().iter().filter(|(id, clause)| {
        let same = other.segments().binary_search_by_key(id, |(id, _)| *id);
        same.ok().is_none_or(|at| other.segments()[at].1 != *clause)
    });
    let metrics = plan.metrics().iter().filter(|metric| {
        let same = other.metrics().binary_search_by_key(&metric.metric, |other| other.metric);
        same.ok().is_none_or(|at| other.metrics()[at] != **metric)
    });
    AccountPlan::new(segments.cloned().collect(), metrics.cloned().collect())
}
