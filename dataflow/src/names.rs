//! The texts behind the numbers that the workers compute with, and their order of appearance.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use cebe_schemas::definition::{Definitions, GroupBy};
use cebe_schemas::fact::{AssertionFact, AttributeFact, AttributeValue, GroupName, Known};
use cebe_schemas::id::Group;
use cebe_schemas::zone::Zone;
use hashbrown::{HashMap, HashSet};

use crate::plan::{AccountPlan, By, GroupTexts, MetricPlan, Plan};
use crate::row::{AccountId, Assertion, Member, MetricId, SegmentId};

/// Numbers things in the order in which they are first seen.
struct Interner<K> {
    numbers: HashMap<K, u32>,
    things: Vec<K>,
}

impl<K: Hash + Eq + Clone> Interner<K> {
    fn new() -> Self {
        Interner { numbers: HashMap::new(), things: Vec::new() }
    }

    fn number(&mut self, thing: &K) -> u32 {
        if let Some(number) = self.numbers.get(thing) {
            return *number;
        }
        let number = self.things.len() as u32;
        self.numbers.insert(thing.clone(), number);
        self.things.push(thing.clone());
        number
    }
}

/// All names, kept at the edge.
pub struct Names {
    accounts: Interner<Arc<str>>,
    metrics: Interner<Arc<str>>,
    segments: Interner<(AccountId, Arc<str>)>,
    versions: HashMap<SegmentId, u32>,
    groups: GroupTexts,
    texts: HashSet<Arc<str>>,
    values: HashSet<Arc<AttributeValue>>,
}

/// More values of attributes than this are not remembered, nor are longer ones.
const VALUES_MAX: usize = 65_536;
const VALUE_BYTES_MAX: usize = 32;

impl Names {
    /// No names yet.
    pub fn new() -> Self {
        Names {
            accounts: Interner::new(),
            metrics: Interner::new(),
            segments: Interner::new(),
            versions: HashMap::new(),
            groups: GroupTexts::default(),
            texts: HashSet::new(),
            values: HashSet::new(),
        }
    }

    /// The row of a mention.
    pub fn member(&mut self, known: Known) -> Member {
        let account = self.account_id(&known.account_id);
        Member { subject: known.subject, account, customer_id: known.customer_id }
    }

    /// The row of a statement about an attribute.
    pub fn attribute(&mut self, fact: AttributeFact) -> AttributeFact {
        let value = fact.value.map(|value| self.value(value));
        AttributeFact { name: self.text(fact.name), value, ..fact }
    }

    /// One allocation for values of attributes that are equal, such as cities.
    fn value(&mut self, value: Arc<AttributeValue>) -> Arc<AttributeValue> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() < VALUES_MAX && value.json().len() <= VALUE_BYTES_MAX {
            self.values.insert(value.clone());
        }
        value
    }

    /// The row of an assertion.
    pub fn assertion(&mut self, fact: AssertionFact) -> Assertion {
        let AssertionFact { account_id, segment_id, stamp, subject, entered } = fact;
        let account = self.account_id(&account_id);
        let segment_id = self.text(segment_id);
        let segment = SegmentId(self.segments.number(&(account, segment_id.clone())));
        Assertion { segment, segment_id, stamp, subject, entered }
    }

    /// One allocation for all texts that are equal: names of attributes, segments and teams.
    pub fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return known.clone();
        }
        self.texts.insert(text.clone());
        text
    }

    /// Remembers the text of a group.
    pub fn name_group(&mut self, name: GroupName) {
        self.groups.insert(name.group, name.group_key);
    }

    /// The definitions as the workers take them. Where an account defines a metric under the name
    /// of one that holds for every account, its own counts.
    pub fn plan(&mut self, definitions: &Definitions) -> Plan {
        let mut shared = BTreeMap::new();
        let mut own: BTreeMap<AccountId, (BTreeMap<_, _>, BTreeMap<_, _>)> = BTreeMap::new();
        for metric in &definitions.metrics {
            let plan = MetricPlan {
                metric: MetricId(self.metrics.number(&metric.metric)),
                denominator: metric.denominator.clone(),
                numerator: metric.numerator.clone(),
                within_ms: metric.within_ms,
                by: match metric.by {
                    GroupBy::Account => By::Account,
                    GroupBy::Property(_) => By::Group,
                    GroupBy::Day(_) => By::Day(Zone::default()),
                },
            };
            let to = match &metric.account_id {
                Some(account) => &mut own.entry(self.account_id(account)).or_default().1,
                None => &mut shared,
            };
            to.insert(plan.metric, plan);
        }
        for segment in &definitions.segments {
            let account = self.account_id(&segment.account_id);
            let id = SegmentId(self.segments.number(&(account, segment.segment_id.clone())));
            own.entry(account).or_default().0.insert(id, segment.when.clone());
        }
        let plan = |segments: BTreeMap<_, _>, metrics: BTreeMap<_, _>| {
            AccountPlan::new(segments.into_iter().collect(), metrics.into_values().collect())
        };
        let mut zones = HashMap::new();
        for (account, zone) in &definitions.zones {
            let account = self.account_id(account);
            own.entry(account).or_default();
            zones.insert(account, zone);
        }
        let accounts = own.into_iter().map(|(account, (segments, metrics))| {
            let mut all = shared.clone();
            all.extend(metrics);
            if let Some(zone) = zones.get(&account) {
                let daily = all.values_mut().filter(|metric| matches!(metric.by, By::Day(_)));
                daily.for_each(|metric| metric.by = By::Day((*zone).clone()));
            }
            (account, plan(segments, all))
        });
        Plan {
            accounts: accounts.collect(),
            shared: plan(BTreeMap::new(), shared.clone()),
            groups: self.groups.clone(),
            retention: definitions.retention,
        }
    }

    /// Puts the versions of `definitions` in force; a segment that it lacks keeps its last one.
    pub fn put_in_force(&mut self, definitions: &Definitions) {
        for segment in &definitions.segments {
            let account = self.account_id(&segment.account_id);
            let id = SegmentId(self.segments.number(&(account, segment.segment_id.clone())));
            self.versions.insert(id, segment.version);
        }
    }

    /// The text of an account.
    pub fn account(&self, account: AccountId) -> Arc<str> {
        self.accounts.things[account.0 as usize].clone()
    }

    /// The name of a metric.
    pub fn metric(&self, metric: MetricId) -> Arc<str> {
        self.metrics.things[metric.0 as usize].clone()
    }

    /// The id of a segment.
    pub fn segment(&self, segment: SegmentId) -> Arc<str> {
        self.segments.things[segment.0 as usize].1.clone()
    }

    /// The version of a segment's definition that is or was last in force; 0 if there was none.
    pub fn version(&self, segment: SegmentId) -> u32 {
        self.versions.get(&segment).copied().unwrap_or_default()
    }

    /// The text of a group, if any tick has given it; that of the whole account is empty.
    pub fn group(&mut self, group: Group) -> Option<Arc<str>> {
        match group {
            Group::NONE => Some("".into()),
            _ => self.groups.get(group),
        }
    }

    /// The number of a segment.
    pub fn segment_id(&mut self, account: &Arc<str>, segment: &Arc<str>) -> SegmentId {
        let account = self.account_id(account);
        SegmentId(self.segments.number(&(account, segment.clone())))
    }

    /// The number of a metric.
    pub fn metric_id(&mut self, metric: &Arc<str>) -> MetricId {
        MetricId(self.metrics.number(metric))
    }

    /// The texts of groups.
    pub fn groups(&self) -> GroupTexts {
        self.groups.clone()
    }

    /// The number of an account.
    pub fn account_id(&mut self, account: &Arc<str>) -> AccountId {
        AccountId(self.accounts.number(account))
    }
}
