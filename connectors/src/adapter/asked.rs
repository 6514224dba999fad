//! What an adapter can tell of definitions that are not in force.

use cebe_schemas::definition::{Definitions, Selector};
use cebe_schemas::id::EventType;

use super::Adapter;
use super::announced::resolve;

impl<K> Adapter<K> {
    /// `definitions` in terms of what is stored, as the dataflow takes them.
    pub fn resolved(&self, definitions: &Definitions) -> Definitions {
        resolve(definitions, &self.judge)
    }

    /// What `definitions` look at although its history is not held: such events were accepted while
    /// nothing looked at these properties of them.
    pub fn without_history(&self, definitions: &Definitions) -> Option<Selector> {
        let missing = self.announced.missing(definitions, &self.judge);
        missing.into_iter().find(|one| self.accepted.contains(&EventType::named(one.name())))
    }

    /// The property of such events that is the group of their facts.
    pub fn group_property(&self, event_name: &str) -> Option<&str> {
        self.judge.catalogue.group_property(event_name)
    }
}
