//! What definitions would change, were they put in force: the answer to a preview.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::Rate;
use crate::time::{Millis, rfc3339};

/// All that would change at one logical time. Sorted, and each list cut to the limit asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The logical time that it is true for.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub logical_time: Millis,
    /// Each segment that was given, and each other one whose meaning changes with them.
    pub segments: Vec<PreviewedSegment>,
    /// Each metric that was given.
    pub metrics: Vec<PreviewedMetric>,
}

/// How a definition differs from the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// There is none.
    New,
    /// It says something else.
    Edited,
    /// It goes.
    Removed,
    /// It was not given, but refers to one that changes.
    Refers,
    /// It says the same.
    Unchanged,
}

impl Edit {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Edit::New => "new",
            Edit::Edited => "edited",
            Edit::Removed => "removed",
            Edit::Refers => "refers",
            Edit::Unchanged => "unchanged",
        }
    }
}

/// Who would enter and leave a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewedSegment {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which segment.
    pub segment_id: Arc<str>,
    /// How it differs.
    pub edit: Edit,
    /// How many would enter.
    pub entering: u64,
    /// How many would leave.
    pub leaving: u64,
    /// Canonical ids of those who would enter, shortlex.
    pub enter: Vec<Arc<str>>,
    /// Canonical ids of those who would leave, shortlex.
    pub leave: Vec<Arc<str>>,
}

/// Which rates of a metric would move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewedMetric {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which metric.
    pub metric: Arc<str>,
    /// How it differs.
    pub edit: Edit,
    /// How many rates would move.
    pub moving: u64,
    /// Those rates, by group.
    pub rates: Vec<PreviewedRate>,
}

/// A rate that would move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewedRate {
    /// Which group.
    pub group_key: Arc<str>,
    /// Now.
    pub old_numerator: u64,
    /// Now.
    pub old_denominator: u64,
    /// Now; none while nobody is in the denominator.
    pub old_rate: Option<f64>,
    /// With the new definition.
    pub new_numerator: u64,
    /// With the new definition.
    pub new_denominator: u64,
    /// With the new definition; none if nobody is in the denominator.
    pub new_rate: Option<f64>,
}

impl PreviewedRate {
    /// The rate of one group.
    pub fn new(group_key: Arc<str>, old: Rate, new: Rate) -> PreviewedRate {
        PreviewedRate {
            group_key,
            old_numerator: old.numerator,
            old_denominator: old.denominator,
            old_rate: old.value(),
            new_numerator: new.numerator,
            new_denominator: new.denominator,
            new_rate: new.value(),
        }
    }
}
