//! Which definitions a control record speaks of.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What a definition defines.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// Who belongs to a segment.
    Segment,
    /// A rate.
    Metric,
}

impl DefinitionKind {
    /// As in the rows of definitions.
    pub fn as_str(self) -> &'static str {
        match self {
            DefinitionKind::Segment => "segment",
            DefinitionKind::Metric => "metric",
        }
    }
}

/// A definition, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct DefinitionName {
    /// What it defines.
    pub kind: DefinitionKind,
    /// The tenant.
    pub account_id: Arc<str>,
    /// The segment's or the metric's id.
    pub id: Arc<str>,
}

impl fmt::Display for DefinitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind.as_str(), self.id, self.account_id)
    }
}

const LISTS: [(&str, DefinitionKind, &str); 4] = [
    ("segments", DefinitionKind::Segment, "segment_id"),
    ("remove_segments", DefinitionKind::Segment, "segment_id"),
    ("metrics", DefinitionKind::Metric, "metric"),
    ("remove_metrics", DefinitionKind::Metric, "metric"),
];

/// The definitions that a control record puts or removes.
pub fn names(record: &[u8]) -> BTreeSet<DefinitionName> {
    let Ok(document) = serde_json::from_slice::<Value>(record) else { return BTreeSet::new() };
    let named = |(list, kind, id): (&str, DefinitionKind, &str)| -> Vec<DefinitionName> {
        let items = document[list].as_array().into_iter().flatten();
        let name = |item: &Value| {
            let text = |field: &str| item[field].as_str().map(Arc::from);
            Some(DefinitionName { kind, account_id: text("account_id")?, id: text(id)? })
        };
        items.filter_map(name).collect()
    };
    LISTS.into_iter().flat_map(named).collect()
}
