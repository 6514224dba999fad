//! Flags, definitions and settings: the control state as of a logical time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::definition::{Definitions, Metric, Segment};
use crate::identifier::BlockList;
use crate::time::Millis;

mod backfills;
mod clause;
mod definition;
mod expand;
mod field;
mod name;
mod parse;
mod saved;

pub use backfills::Undoing;
pub use name::{DefinitionKind, DefinitionName, names};
pub use saved::SavedControl;

/// Whether events of a source are taken in (`cebe_event_ingestion`, product §3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ingestion {
    /// None.
    #[default]
    Off,
    /// All.
    On,
    /// Those of a few accounts.
    Accounts(BTreeSet<String>),
}

impl Ingestion {
    /// As control records have it.
    pub fn to_json(&self) -> Value {
        match self {
            Ingestion::Off => json!("off"),
            Ingestion::On => json!("on"),
            Ingestion::Accounts(accounts) => json!({ "accounts": accounts }),
        }
    }
}

/// What operators can set at run time (product §9.2). All of it is data: changing it re-derives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// An identifier with more holders links nobody.
    pub max_customers_per_identifier: u32,
    /// A person that would have more members is held together by explicit links only.
    pub max_customers_per_person: u32,
    /// Values that identify nobody.
    pub block_list: BlockList,
    /// How long an accepted event's key is used up.
    pub dedup_horizon_ms: Millis,
    /// Older events are rejected.
    pub retention_months: u32,
    /// Account → IANA time zone, for metrics by day; others are in Asia/Jakarta.
    pub time_zones: BTreeMap<String, String>,
    /// Sources whose unknown strings are stored as tokens.
    pub strict_sources: BTreeSet<String>,
    /// Sources whose idempotency keys carry personal data, and are stored hashed.
    pub hashed_key_sources: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_customers_per_identifier: 5,
            max_customers_per_person: 100,
            block_list: BlockList::default(),
            dedup_horizon_ms: 400 * 86_400_000,
            retention_months: 24,
            time_zones: BTreeMap::new(),
            strict_sources: BTreeSet::new(),
            hashed_key_sources: BTreeSet::new(),
        }
    }
}

/// Everything that control records have said so far.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlState {
    unlisted: Ingestion,
    sources: BTreeMap<String, Ingestion>,
    settings: Settings,
    undoing: Undoing,
    definitions: Arc<Definitions>,
}

/// What a control record changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// [`ControlState::definitions`] is another one.
    pub definitions_changed: bool,
    /// A setting has another value.
    pub settings_changed: bool,
    /// A flag has another value.
    pub sources_changed: bool,
    /// A backfill is undone, or is to be.
    pub backfills_changed: bool,
}

/// A control record that changes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not JSON.
    #[error("the control record is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// A field is wrong.
    #[error("control record: {pointer}: {message}")]
    Invalid {
        /// JSON pointer of the field.
        pointer: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl Default for ControlState {
    /// Every source off, default settings, the shipped metrics.
    fn default() -> ControlState {
        ControlState::with_unlisted(Ingestion::Off)
    }
}

impl ControlState {
    /// Every source off, default settings, the shipped metrics.
    pub fn new() -> ControlState {
        ControlState::default()
    }

    /// As [`ControlState::new`], but sources that no record has named have this flag.
    pub fn with_unlisted(unlisted: Ingestion) -> ControlState {
        ControlState {
            unlisted,
            sources: BTreeMap::new(),
            settings: Settings::default(),
            undoing: Undoing::default(),
            definitions: Arc::new(Definitions {
                metrics: Metric::shipped(),
                ..Definitions::default()
            }),
        }
    }

    /// The same with every source on: under it the verdict does not depend on flags.
    pub fn all_on(&self) -> ControlState {
        ControlState { unlisted: Ingestion::On, sources: BTreeMap::new(), ..self.clone() }
    }

    /// The flag of `source`.
    pub fn ingestion(&self, source: &str) -> &Ingestion {
        self.sources.get(source).unwrap_or(&self.unlisted)
    }

    /// The flags of all sources that a record has named.
    pub fn sources(&self) -> &BTreeMap<String, Ingestion> {
        &self.sources
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which backfills are undone, or are to be.
    pub fn undoing(&self) -> &Undoing {
        &self.undoing
    }

    /// All definitions in force, those that are shipped included.
    pub fn definitions(&self) -> Arc<Definitions> {
        self.definitions.clone()
    }

    /// Takes in one control record: a partial document of sources, definitions and settings.
    ///
    /// # Errors
    /// Names the field that is wrong; then nothing is changed.
    pub fn apply(&mut self, record: &[u8]) -> Result<Applied, ControlError> {
        let next = parse::apply(self, record)?;
        let applied = Applied {
            definitions_changed: next.definitions != self.definitions,
            settings_changed: next.settings != self.settings,
            sources_changed: next.sources != self.sources,
            backfills_changed: next.undoing != self.undoing,
        };
        // An unchanged document stays the same allocation, so that holders of it see no change.
        let definitions = match applied.definitions_changed {
            true => next.definitions,
            false => self.definitions.clone(),
        };
        *self = ControlState { definitions, ..next };
        Ok(applied)
    }
}

impl Definitions {
    fn put_segment(&mut self, segment: Segment) {
        let key = |s: &Segment| (s.account_id.clone(), s.segment_id.clone());
        let wanted = key(&segment);
        match self.segments.binary_search_by(|held| key(held).cmp(&wanted)) {
            Ok(at) => self.segments[at] = Arc::new(segment),
            Err(at) => self.segments.insert(at, Arc::new(segment)),
        }
    }

    fn remove_segment(&mut self, account_id: &str, segment_id: &str) {
        self.segments.retain(|s| (&*s.account_id, &*s.segment_id) != (account_id, segment_id));
    }

    fn put_metric(&mut self, metric: Metric) {
        let key = |m: &Metric| (m.account_id.clone(), m.metric.clone());
        let wanted = key(&metric);
        match self.metrics.binary_search_by(|held| key(held).cmp(&wanted)) {
            Ok(at) => self.metrics[at] = Arc::new(metric),
            Err(at) => self.metrics.insert(at, Arc::new(metric)),
        }
    }

    /// Those that hold for every account stay.
    fn remove_metric(&mut self, account_id: &str, metric: &str) {
        self.metrics
            .retain(|m| (m.account_id.as_deref(), &*m.metric) != (Some(account_id), metric));
    }
}

#[cfg(test)]
mod tests;
