//! The definitions in force, by account and ready to be evaluated.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use cebe_schemas::definition::{Clause, Selector};
use cebe_schemas::id::{EventType, Group};
use cebe_schemas::time::{Millis, Retention};
use cebe_schemas::zone::{Zone, day_text};

use crate::operator::sharded::Sharded;
use crate::row::{AccountId, MetricId, SegmentId};

/// All definitions in force at one logical time.
#[derive(Debug, Default)]
pub struct Plan {
    /// Of the accounts that have definitions of their own.
    pub accounts: HashMap<AccountId, AccountPlan>,
    /// Of every other account.
    pub shared: AccountPlan,
    /// What decides between touches of one time.
    pub groups: GroupTexts,
    /// For how long events count.
    pub retention: Retention,
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

/// The texts of groups, kept at the edge and seldom read by the workers. A text never changes, and
/// is there before the facts that name its group.
#[derive(Clone, Default)]
pub struct GroupTexts(Arc<Mutex<Sharded<Group, Arc<str>>>>);

impl GroupTexts {
    /// Remembers the text of a group.
    pub fn insert(&self, group: Group, text: Arc<str>) {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.of(&group).entry(group).or_insert(text);
    }

    /// The text of a group, if it is a day or any tick has given it.
    pub fn get(&self, group: Group) -> Option<Arc<str>> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.of(&group).get(&group).cloned().or_else(|| text_of_day(group))
    }
}

impl std::fmt::Debug for GroupTexts {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("GroupTexts")
    }
}

/// A metric of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPlan {
    /// Its number.
    pub metric: MetricId,
    /// Opens a window.
    pub denominator: Selector,
    /// Is credited to a window.
    pub numerator: Selector,
    /// Width of the window.
    pub within_ms: Millis,
    /// What it is by.
    pub by: By,
}

/// What a metric is by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The whole account, whatever groups the facts name: [`Group::NONE`].
    Account,
    /// The groups that the facts name.
    Group,
    /// The days of the touches: [`day_group`].
    Day(Zone),
}

/// No hash of a group is likely to be one of these, and one that is has its own text.
const DAYS: u64 = 0xFFFF_FFFF_0000_0000;

/// The group of all touches of a day.
pub fn day_group(day: i32) -> Group {
    Group(DAYS | u64::from(day as u32))
}

/// The text of a day, if `group` is one.
fn text_of_day(group: Group) -> Option<Arc<str>> {
    (group.0 & DAYS == DAYS).then(|| day_text(group.0 as u32 as i32).into())
}

impl AccountPlan {
    /// A plan of these definitions, at most one for each number.
    pub fn new(mut segments: Vec<(SegmentId, Clause)>, mut metrics: Vec<MetricPlan>) -> Self {
        segments.sort_by_key(|(segment, _)| *segment);
        metrics.sort_by_key(|metric| metric.metric);
        let mut reads: HashSet<_> =
            metrics.iter().flat_map(|m| [m.denominator.event(), m.numerator.event()]).collect();
        for (_, clause) in &segments {
            clause.selectors(&mut |selector| reads.extend([selector.event()]));
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
