//! The definitions in force, by account and ready to be evaluated.

use std::borrow::Cow;
use std::collections::HashMap;
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
    readers: HashMap<EventType, Readers>,
}

/// Definitions that look at events of some types, by their places in the plan, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    segments: Vec<usize>,
    metrics: Vec<usize>,
}

impl Readers {
    fn add(&mut self, others: &Readers) {
        for (mine, others) in
            [(&mut self.segments, &others.segments), (&mut self.metrics, &others.metrics)]
        {
            mine.extend(others);
            mine.sort_unstable();
            mine.dedup();
        }
    }
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
        let mut readers: HashMap<EventType, Readers> = HashMap::new();
        for (at, (_, clause)) in segments.iter().enumerate() {
            clause.selectors(&mut |selector| {
                let of_type = &mut readers.entry(selector.event()).or_default().segments;
                if of_type.last() != Some(&at) {
                    of_type.push(at);
                }
            });
        }
        for (at, metric) in metrics.iter().enumerate() {
            for event in [metric.denominator.event(), metric.numerator.event()] {
                let of_type = &mut readers.entry(event).or_default().metrics;
                if of_type.last() != Some(&at) {
                    of_type.push(at);
                }
            }
        }
        AccountPlan { segments, metrics, readers }
    }

    /// In order of their numbers.
    pub fn segments(&self) -> &[(SegmentId, Clause)] {
        &self.segments
    }

    /// In order of their numbers.
    pub fn metrics(&self) -> &[MetricPlan] {
        &self.metrics
    }

    /// The definitions that look at events of any of these types; none if there is none.
    pub fn readers(&self, mut events: impl Iterator<Item = EventType>) -> Option<Cow<'_, Readers>> {
        let mut found = events.find_map(|event| self.readers.get(&event)).map(Cow::Borrowed)?;
        for others in events.filter_map(|event| self.readers.get(&event)) {
            if *found != *others {
                found.to_mut().add(others);
            }
        }
        Some(found)
    }

    /// The segments among `readers`, or all, in order of their numbers.
    pub fn segments_of(
        &self,
        readers: Option<&Readers>,
    ) -> impl Iterator<Item = &(SegmentId, Clause)> {
        let some = readers.map(|readers| readers.segments.iter().map(|at| &self.segments[*at]));
        let all = readers.is_none().then_some(&self.segments);
        some.into_iter().flatten().chain(all.into_iter().flatten())
    }

    /// The metrics among `readers`, or all, in order of their numbers.
    pub fn metrics_of(&self, readers: Option<&Readers>) -> impl Iterator<Item = &MetricPlan> {
        let some = readers.map(|readers| readers.metrics.iter().map(|at| &self.metrics[*at]));
        let all = readers.is_none().then_some(&self.metrics);
        some.into_iter().flatten().chain(all.into_iter().flatten())
    }
}
