//! The definitions in force, by account and ready to be evaluated.

use std::collections::{HashMap, HashSet};

use cebe_schemas::definition::Clause;
use cebe_schemas::id::EventType;
use cebe_schemas::time::Millis;

use crate::row::{AccountId, MetricId, SegmentId};

/// All definitions in force at one logical time.
#[derive(Debug, Default)]
pub struct Plan {
    /// Of the accounts that have definitions of their own.
    pub accounts: HashMap<AccountId, AccountPlan>,
    /// Of every other account.
    pub shared: AccountPlan,
}

impl Plan {
    /// What holds for `account`.
    pub fn of(&self, account: AccountId) -> &AccountPlan {
        self.accounts.get(&account).unwrap_or(&self.shared)
    }
}

/// The definitions of one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountPlan {
    segments: Vec<(SegmentId, Clause)>,
    metrics: Vec<MetricPlan>,
    reads: HashSet<EventType>,
}

/// A metric of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPlan {
    /// Its number.
    pub metric: MetricId,
    /// Opens a window.
    pub denominator: EventType,
    /// Is credited to a window.
    pub numerator: EventType,
    /// Width of the window.
    pub within_ms: Millis,
}

impl AccountPlan {
    /// A plan of these definitions, at most one for each number.
    pub fn new(mut segments: Vec<(SegmentId, Clause)>, mut metrics: Vec<MetricPlan>) -> Self {
        segments.sort_by_key(|(segment, _)| *segment);
        metrics.sort_by_key(|metric| metric.metric);
        let mut reads: HashSet<_> =
            metrics.iter().flat_map(|m| [m.denominator, m.numerator]).collect();
        for (_, Clause::Did { event, .. }) in &segments {
            reads.insert(*event);
        }
        AccountPlan { segments, metrics, reads }
    }

    /// In order of their numbers.
    pub fn segments(&self) -> &[(SegmentId, Clause)] {
        &self.segments
    }

    /// In order of their numbers.
    pub fn metrics(&self) -> &[MetricPlan] {
        &self.metrics
    }

    /// Whether any definition looks at events of this type.
    pub fn reads(&self, event: EventType) -> bool {
        self.reads.contains(&event)
    }
}
