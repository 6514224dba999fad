//! The stored events behind the witnesses, which know types and times only.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Counted, Explanation, Judged};
use crate::definition::Selector;
use crate::time::Millis;

/// An accepted event, as stored: masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FoundEvent {
    /// Unique within its source.
    pub idempotency_key: Arc<str>,
    /// Its type.
    pub event_name: Arc<str>,
    /// Who published it.
    pub source_module: Arc<str>,
    /// The member that it names; "" if it names identifiers only.
    pub customer_id: Arc<str>,
    /// When it happened.
    #[serde(with = "crate::time::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Millis,
    /// What it says.
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
}

impl Explanation {
    /// Name and time of every event that is shown.
    pub fn wanted(&self) -> BTreeSet<(Arc<str>, Millis)> {
        let mut wanted = BTreeSet::new();
        let mut clauses: Vec<&Judged> = self.clause.iter().collect();
        while let Some(clause) = clauses.pop() {
            clauses.extend(&clause.clauses);
            let Some(counted) = &clause.counted else { continue };
            let name = |at: usize| Arc::from(counted.selectors.get(at).map_or("", Selector::name));
            for witness in &counted.events {
                wanted.insert((name(0), witness.occurred_at));
                let followers = witness.followed_by.iter();
                wanted.extend(followers.map(|follower| (name(1), follower.occurred_at)));
            }
        }
        wanted
    }

    /// Puts the events beside what is shown of them. All of them are of this person.
    pub fn find(&mut self, events: &[FoundEvent]) {
        let mut clauses: Vec<&mut Judged> = self.clause.iter_mut().collect();
        while let Some(clause) = clauses.pop() {
            if let Some(counted) = &mut clause.counted {
                counted.find(events);
            }
            clauses.extend(&mut clause.clauses);
        }
    }
}

impl Counted {
    fn find(&mut self, events: &[FoundEvent]) {
        let alike = |selector: Option<&Selector>, at: Millis, group: &str| -> Vec<FoundEvent> {
            let Some(selector) = selector else { return Vec::new() };
            let is_it = |event: &&FoundEvent| {
                (&*event.event_name, event.occurred_at) == (selector.name(), at)
                    && selector.selects(&event.properties)
                    && is_of(selector, &event.properties, group)
            };
            events.iter().filter(is_it).cloned().collect()
        };
        let (first, then) = (self.selectors.first(), self.selectors.get(1));
        let is_grouped = then.is_some_and(|then| then.grouping().is_some());
        for witness in &mut self.events {
            let group = witness.group_key.clone();
            witness.found = alike(first, witness.occurred_at, &group);
            for follower in &mut witness.followed_by {
                let group = if is_grouped { &*group } else { "" };
                follower.found = alike(then, follower.occurred_at, group);
            }
        }
    }
}

/// Whether the event names the group, "" for none. Which property says so only a selector with a
/// grouping of its own knows.
fn is_of(selector: &Selector, properties: &Map<String, Value>, group: &str) -> bool {
    if selector.grouping().is_some() {
        let own = selector.group(properties).unwrap_or_default();
        return own.trim_start_matches('\u{1}') == group;
    }
    let is_it = |value: &Value| match value {
        Value::String(text) => text == group,
        Value::Number(_) | Value::Bool(_) => {
            let text = value.to_string();
            text == group
        }
        _ => false,
    };
    group.is_empty() || properties.values().any(is_it)
}
