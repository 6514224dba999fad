//! One hash of all answers: the sum of the hashes of the rows that hold. A change adds a row and takes
//! one away, so neither batches nor workers show in it.

use cebe_schemas::change::{Change, Moment, Rate};

/// The sum so far.
#[derive(Default)]
pub struct Answer {
    sum: u128,
    customers: u64,
}

impl Answer {
    /// Takes in changes.
    pub fn take_in(&mut self, moments: &[Moment]) {
        for change in moments.iter().flat_map(|moment| &moment.changes) {
            self.change(change);
        }
    }

    /// As hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.sum)
    }

    /// How many customers are known.
    pub fn customers(&self) -> u64 {
        self.customers
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Identity { account_id, qontak_customer_id, old, new, .. } => {
                self.customers += u64::from(old.is_none());
                self.customers -= u64::from(new.is_none());
                self.turn("identity", (account_id, qontak_customer_id), old, new);
            }
            Change::Customer { account_id, customer_id, old, new, .. } => {
                self.turn("customer", (account_id, customer_id), old, new);
            }
            Change::Seen { account_id, customer_id, old, new, .. } => {
                self.turn("seen", (account_id, customer_id), old, new);
            }
            Change::Segment { account_id, segment_id, customer_id, entered, .. } => {
                let (old, new) = ((!entered).then_some(()), entered.then_some(()));
                self.turn("segment", (account_id, segment_id, customer_id), &old, &new);
            }
            Change::Metric { account_id, metric, group_key, old, new, .. } => {
                let there = |rate: &Rate| Some(*rate).filter(|rate| rate.denominator > 0);
                self.turn("metric", (account_id, metric, group_key), &there(old), &there(new));
            }
            Change::Forgotten { account_id, token, until_ms, erased, .. } => {
                let (old, new) = ((!erased).then_some(()), erased.then_some(()));
                self.turn("forgotten", (account_id, token, until_ms), &old, &new);
            }
            Change::Quarantine {
                account_id, reason, token, qontak_customer_id, entered, ..
            } => {
                let (old, new) = ((!entered).then_some(()), entered.then_some(()));
                self.turn("kept", (account_id, reason, token, qontak_customer_id), &old, &new);
            }
        }
    }

    fn turn<V: std::fmt::Debug>(
        &mut self,
        view: &str,
        key: impl std::fmt::Debug,
        old: &Option<V>,
        new: &Option<V>,
    ) {
        let hash = |value: &V| {
            let text = format!("{view} {key:?} {value:?}");
            let bytes = *blake3::hash(text.as_bytes()).as_bytes();
            u128::from_le_bytes(bytes[..16].try_into().unwrap_or_default())
        };
        if let Some(old) = old {
            self.sum = self.sum.wrapping_sub(hash(old));
        }
        if let Some(new) = new {
            self.sum = self.sum.wrapping_add(hash(new));
        }
    }
}
