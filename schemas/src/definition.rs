//! Segments and metrics as data, compiled for the person stage.

use std::sync::Arc;

use crate::id::EventType;
use crate::time::Millis;

/// All definitions in force at one logical time. Cheap to share, never changed in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Sorted by (`account_id`, `segment_id`).
    pub segments: Vec<Arc<Segment>>,
    /// Sorted by (`account_id`, `metric`); those without an account hold for every account.
    pub metrics: Vec<Arc<Metric>>,
}

/// A segment of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Unique within the account.
    pub segment_id: Arc<str>,
    /// Given by the author, 1 if absent.
    pub version: u32,
    /// Who belongs to it.
    pub when: Clause,
    /// What readers of the definition are told.
    pub about: About,
}

/// A definition as readers are told of it; the dataflow does not look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Given by the author.
    pub title: Option<Arc<str>>,
    /// The definition as it was given: one JSON object.
    pub definition: Arc<str>,
    /// Who put it in force; `cebe` for what is shipped.
    pub changed_by: Arc<str>,
}

/// One clause of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Did `event` at least `at_least` times, within the last `within_ms` if given: an event at
    /// `t` counts while `now − within_ms < t ≤ now`.
    Did {
        /// Which events count.
        event: EventType,
        /// How many make the clause true; at least 1.
        at_least: u32,
        /// Width of the window; none: since ever.
        within_ms: Option<Millis>,
    },
}

/// A rate: of the customers with a denominator event, those with a numerator event of the same
/// group in `denominator ≤ numerator ≤ denominator + within_ms`, both ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The tenant; none: every account.
    pub account_id: Option<Arc<str>>,
    /// Unique within the account.
    pub metric: Arc<str>,
    /// Given by the author, 1 if absent.
    pub version: u32,
    /// Opens a window.
    pub denominator: EventType,
    /// Is credited to a window.
    pub numerator: EventType,
    /// Width of the window.
    pub within_ms: Millis,
    /// What readers of the definition are told.
    pub about: About,
}

impl Metric {
    /// The metrics that hold for every account.
    pub fn shipped() -> Vec<Arc<Metric>> {
        let metric = |id: &str,
                      title: &str,
                      denominator: &str,
                      numerator: &str,
                      group_by: &str,
                      within_hours: Millis| {
            let definition = serde_json::json!({
                "metric": id, "title": title, "denominator": denominator, "numerator": numerator,
                "group_by": group_by, "within": format!("{within_hours}h"),
            });
            Arc::new(Metric {
                account_id: None,
                metric: id.into(),
                version: 1,
                denominator: EventType::named(denominator),
                numerator: EventType::named(numerator),
                within_ms: within_hours * 3_600_000,
                about: About {
                    title: Some(title.into()),
                    definition: definition.to_string().into(),
                    changed_by: "cebe".into(),
                },
            })
        };
        vec![
            metric(
                "ads_conversion",
                "Customers who converted within 7 days of a click, of those who clicked",
                "ad.clicked",
                "ad.converted",
                "campaign_id",
                7 * 24,
            ),
            metric(
                "reply_rate",
                "Customers who replied within 72 hours, of those who were sent the broadcast",
                "broadcast.sent",
                "broadcast.replied",
                "broadcast_id",
                72,
            ),
        ]
    }
}
