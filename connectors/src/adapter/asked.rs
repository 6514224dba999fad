//! What an adapter can tell of definitions that are not in force.

use cebe_schemas::definition::{Definitions, Selector, Selectors};
use cebe_schemas::id::EventType;

use super::announced::resolve;
use super::{Adapter, Past};

impl<K> Adapter<K> {
    /// `definitions` in terms of what is stored, as the dataflow takes them.
    pub fn resolved(&self, definitions: &Definitions) -> Definitions {
        resolve(definitions, &self.judge)
    }

    /// What `definitions` look at although its history is not held, or not all of it yet: such events
    /// were accepted while nothing looked at these properties of them.
    pub fn without_history(&self, definitions: &Definitions) -> Option<Selector> {
        if self.past == Past::Foreseen {
            return None;
        }
        let seen = |one: &Selector| self.accepted.contains(&EventType::named(one.name()));
        let wanted = Selectors::new(&self.resolved(definitions));
        let mut wanted = wanted.iter().filter_map(|(account, one)| Some((account?, one)));
        let lacking = wanted.find(|(account, one)| self.waiting.lacks(account, one, seen(one)));
        lacking.map(|(_, selector)| selector.clone())
    }

    /// The property of such events that is the group of their facts.
    pub fn group_property(&self, event_name: &str) -> Option<&str> {
        self.judge.catalogue.group_property(event_name)
    }
}
