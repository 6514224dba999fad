//! What each accepted event tells the dataflow beside that it happened.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Definitions;
use super::selector::Selector;
use crate::id::EventType;

/// The derived selectors of all definitions in force, by the event type that they look at.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    by_event: BTreeMap<EventType, Vec<OfAccount>>,
}

/// A selector and its account; none: every account.
type OfAccount = (Option<Arc<str>>, Selector);

impl Selectors {
    /// Those of `definitions`, which are [resolved](Definitions::resolved).
    pub fn new(definitions: &Definitions) -> Selectors {
        let mut selectors = Selectors::default();
        selectors.extend(definitions);
        selectors
    }

    /// These selectors of one account.
    pub fn of_account(account_id: &Arc<str>, selectors: &[Selector]) -> Selectors {
        let mut all = Selectors::default();
        selectors.iter().for_each(|selector| all.add(Some(account_id), selector));
        all
    }

    /// Adds those of `definitions`, which are [resolved](Definitions::resolved).
    pub fn extend(&mut self, definitions: &Definitions) {
        for segment in &definitions.segments {
            let account = Some(&segment.account_id);
            segment.when.selectors(&mut |selector| self.add(account, selector));
        }
        for metric in &definitions.metrics {
            self.add(metric.account_id.as_ref(), &metric.denominator);
            self.add(metric.account_id.as_ref(), &metric.numerator);
        }
    }

    /// Adds one; none for the account: it looks at events of every account.
    pub fn add(&mut self, account: Option<&Arc<str>>, selector: &Selector) {
        if !selector.is_derived() {
            return;
        }
        let held = self.by_event.entry(EventType::named(selector.name())).or_default();
        if !held.iter().any(|(of, held)| of.as_ref() == account && held == selector) {
            held.push((account.cloned(), selector.clone()));
        }
    }

    /// Whether definitions look at the properties of such events.
    pub fn reads(&self, event: EventType) -> bool {
        self.by_event.contains_key(&event)
    }

    /// Each of them with its account; none: every account. In no order.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&Arc<str>>, &Selector)> {
        let all = self.by_event.values().flatten();
        all.map(|(account, selector)| (account.as_ref(), selector))
    }

    /// Calls `emit` for each fact that an event of `account_id` leaves beside its own: the type, and
    /// the text of the group that it names. `properties` are as stored: masked.
    pub fn derived(
        &self,
        account_id: &str,
        event: EventType,
        properties: &Map<String, Value>,
        mut emit: impl FnMut(EventType, Option<Cow<'_, str>>),
    ) {
        let mut emitted = Vec::new();
        for (account, selector) in self.by_event.get(&event).into_iter().flatten() {
            let ours = account.as_deref().is_none_or(|account| account == account_id);
            // A definition of the account and one of every account can select the same.
            if ours && selector.selects(properties) && !emitted.contains(&selector.event()) {
                emitted.push(selector.event());
                emit(selector.event(), selector.group(properties));
            }
        }
    }
}
