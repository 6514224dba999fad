//! A control state as it is written down: definitions as they were given, so that it takes no more
//! room than they do, however often they refer to one another.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definition::{metric, segment};
use super::expand::{Given, expand};
use super::field::Field;
use super::{ControlError, ControlState, Ingestion, Settings, Undoing};
use crate::definition::{About, Definitions, Metric};

/// Everything that a [`ControlState`] is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedControl {
    unlisted: Ingestion,
    sources: BTreeMap<String, Ingestion>,
    settings: Settings,
    #[serde(default)]
    undoing: Undoing,
    segments: Vec<AsGiven>,
    metrics: Vec<AsGiven>,
}

/// A definition as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AsGiven {
    definition: Arc<str>,
    changed_by: Arc<str>,
}

impl AsGiven {
    fn of(about: &About) -> AsGiven {
        AsGiven { definition: about.definition.clone(), changed_by: about.changed_by.clone() }
    }

    fn read<T>(
        &self,
        read: impl Fn(&Field, &Arc<str>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let value: Value = serde_json::from_str(&self.definition)
            .map_err(|e| ControlError::NotJson { line: e.line(), column: e.column() })?;
        read(&Field { pointer: String::new(), value: &value }, &self.changed_by)
    }
}

impl ControlState {
    /// What to write down.
    pub fn save(&self) -> SavedControl {
        let own = |metric: &&Arc<Metric>| metric.account_id.is_some();
        SavedControl {
            unlisted: self.unlisted.clone(),
            sources: self.sources.clone(),
            settings: self.settings.clone(),
            undoing: self.undoing.clone(),
            segments: self.definitions.segments.iter().map(|s| AsGiven::of(&s.about)).collect(),
            metrics: self
                .definitions
                .metrics
                .iter()
                .filter(own)
                .map(|m| AsGiven::of(&m.about))
                .collect(),
        }
    }

    /// The state that was saved.
    ///
    /// # Errors
    /// A definition is not one any more: this version reads definitions in another way.
    pub fn restore(saved: SavedControl) -> Result<ControlState, ControlError> {
        let SavedControl { unlisted, sources, settings, undoing, segments, metrics } = saved;
        let state = ControlState::with_unlisted(unlisted);
        let mut definitions = Definitions::clone(&state.definitions);
        for given in &segments {
            definitions.put_segment(given.read(segment)?);
        }
        for given in &metrics {
            definitions.put_metric(given.read(metric)?);
        }
        expand(&mut definitions, &Given::new())?;
        Ok(ControlState { sources, settings, undoing, ..state }.with(definitions))
    }
}
