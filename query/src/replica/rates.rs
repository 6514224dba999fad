//! Rates, group by group.

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;
use std::ops::RangeBounds;

use cebe_schemas::time::Millis;

use super::ENTRY_BYTES;
use crate::page::Page;

/// What is held of all accounts.
#[derive(Default)]
pub(super) struct Rates {
    accounts: HashMap<Box<str>, HashMap<Box<str>, Metric>>,
    bytes: usize,
}

#[derive(Default)]
struct Metric {
    groups: BTreeMap<Box<str>, Counted>,
    changed_ms: Millis,
}

/// Persons of a group; somebody is in the denominator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) numerator: u64,
    pub(crate) denominator: u64,
    pub(crate) rate: Option<f64>,
    pub(crate) changed_ms: Millis,
}

impl Rates {
    /// About how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The groups on a page of a metric, in their order, or of them the one that is wanted. None: they changed since then.
    pub(super) fn on_page(
        &self,
        [account_id, metric]: [&str; 2],
        group_key: Option<&str>,
        page: &Page,
    ) -> Option<Vec<(&str, Counted)>> {
        let metric = self.accounts.get(account_id).and_then(|metrics| metrics.get(metric));
        let Some(Metric { groups, changed_ms }) = metric else { return Some(Vec::new()) };
        if *changed_ms > page.as_of_ms {
            return None;
        }
        Some(match group_key {
            Some(wanted) => {
                let found = groups.get_key_value(wanted).into_iter();
                let is_ahead = |group: &str| RangeBounds::<str>::contains(&page.ahead(), group);
                found.filter(|(group, _)| is_ahead(group)).map(row).collect()
            }
            None => {
                groups.range::<str, _>(page.ahead()).take(page.limit as usize).map(row).collect()
            }
        })
    }

    /// Takes in what is said of a group at a time; of a group, the last word counts.
    pub(super) fn take_in(
        &mut self,
        [account_id, metric, group_key]: [Box<str>; 3],
        counted: Option<Counted>,
        at_ms: Millis,
    ) {
        let bytes = group_key.len() + size_of::<(Box<str>, Counted)>() + ENTRY_BYTES;
        let metric = self.accounts.entry(account_id).or_default().entry(metric).or_default();
        metric.changed_ms = metric.changed_ms.max(at_ms);
        let (was, is) = match counted {
            Some(counted) => (metric.groups.insert(group_key, counted).is_some(), true),
            None => (metric.groups.remove(&group_key).is_some(), false),
        };
        self.bytes = self.bytes + usize::from(is) * bytes - usize::from(was) * bytes;
    }
}

fn row<'a, K: AsRef<str>>((group, counted): (&'a K, &Counted)) -> (&'a str, Counted) {
    (group.as_ref(), *counted)
}
