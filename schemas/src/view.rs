//! The outputs of the engine and where each of them goes.

use serde::{Deserialize, Serialize};

/// One view: a topic `cebe.out.<name>` and a landing table `cebe.landing_<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Accepted events.
    Events,
    /// Customer → canonical customer.
    Identities,
    /// Members, attributes and teams of each person.
    Customers,
    /// First and last event of each person.
    Seen,
    /// Segment membership.
    Segments,
    /// Rates.
    Metrics,
    /// Identifiers that too many hold, and persons of too many members.
    Quarantine,
    /// Customers and identifiers whose events are erased.
    Erasures,
    /// Segments and metrics as they were defined.
    Definitions,
    /// Rejected records.
    Rejected,
    /// Records read per partition, by verdict.
    Ledger,
    /// What sources say that they emitted per hour, and what was read.
    Reconciliation,
    /// Records read of each backfill, by verdict.
    Backfills,
}

impl View {
    /// Every view, in the order in which their records are numbered and written.
    pub const ALL: [View; 13] = [
        View::Events,
        View::Identities,
        View::Customers,
        View::Seen,
        View::Segments,
        View::Metrics,
        View::Quarantine,
        View::Erasures,
        View::Definitions,
        View::Rejected,
        View::Ledger,
        View::Reconciliation,
        View::Backfills,
    ];

    /// Views of state that the dataflow computes: a row says what holds of its key from then on.
    pub const COMPUTED: [View; 7] = [
        View::Identities,
        View::Customers,
        View::Seen,
        View::Segments,
        View::Metrics,
        View::Quarantine,
        View::Erasures,
    ];

    /// The name in topics and tables.
    pub fn name(self) -> &'static str {
        match self {
            View::Events => "events",
            View::Identities => "identities",
            View::Customers => "customers",
            View::Seen => "seen",
            View::Segments => "segments",
            View::Metrics => "metrics",
            View::Quarantine => "quarantine",
            View::Erasures => "erasures",
            View::Definitions => "definitions",
            View::Rejected => "rejected",
            View::Ledger => "ledger",
            View::Reconciliation => "reconciliation",
            View::Backfills => "backfills",
        }
    }

    /// The Kafka topic of its changes.
    pub fn topic(self) -> String {
        format!("{OUT_PREFIX}{}", self.name())
    }

    /// The ClickHouse table that its changes land in.
    pub fn landing_table(self) -> String {
        format!("landing_{}", self.name())
    }
}

/// Every topic of a view begins with this.
pub const OUT_PREFIX: &str = "cebe.out.";
/// Partitions of each view's topic.
pub const OUT_PARTITIONS: u32 = 8;
/// One record a tick: complete through T.
pub const PROGRESS_TOPIC: &str = "cebe.out.progress";
/// What belongs to which logical time.
pub const BINDINGS_TOPIC: &str = "cebe.bindings";
/// Flags, definitions, settings.
pub const CONTROL_TOPIC: &str = "cebe.control";
/// What definitions look at in events that arrived before them.
pub const HISTORY_TOPIC: &str = "cebe.history";
/// What sources say that they emitted per hour.
pub const COUNTS_TOPIC: &str = "cebe.counts";
/// Live events: one topic a source, `cebe.events.<source_module>`.
pub const EVENTS_PREFIX: &str = "cebe.events.";
/// Events of the past: one topic a source, `cebe.backfill.<source_module>`.
pub const BACKFILL_PREFIX: &str = "cebe.backfill.";
/// What became of backfills: which were begun, and how far each has published.
pub const JOBS_TOPIC: &str = "cebe.jobs";
