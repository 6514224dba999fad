//! Answers whose rows go out as ClickHouse or the engine writes them, for the document alone.
#![expect(dead_code, reason = "only the schemas are used")]

use std::collections::BTreeMap;

use cebe_schemas::history::Waits;
use serde_json::Value;
use utoipa::ToSchema;

/// A person.
#[derive(ToSchema)]
#[schema(example = json!({"account_id": "acc-ask", "customer_id": "3001", "member_ids": ["3001", "30002"],
    "attributes": {"city": "Jakarta", "phone": "~k1:5f0c…"}, "team_ids": [],
    "first_seen": "2026-11-27T04:31:00.000Z", "last_seen": "2026-11-27T04:31:00.000Z",
    "segments": [{"segment_id": "reached", "entered_at": "2026-11-27T04:31:02.118Z", "definition_version": 1}],
    "complete_through": "2026-11-27T04:31:02.502Z", "is_stale": false}))]
pub(crate) struct Customer {
    account_id: String,
    /// The canonical id: the least of the members.
    customer_id: String,
    /// All its customer ids.
    member_ids: Vec<String>,
    /// What was last said of it; what is personal is masked.
    attributes: BTreeMap<String, Value>,
    team_ids: Vec<String>,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    /// Those that it is in.
    segments: Vec<Membership>,
    /// Those that it counts in, where they were asked for.
    rates: Option<Vec<CountsIn>>,
    /// The time that this is true for.
    #[schema(format = DateTime)]
    complete_through: String,
    /// Whether that is more than 60 s ago. False where `as_of` was asked for.
    is_stale: bool,
    /// There: a new answer did not come in time.
    #[schema(required = false)]
    is_last_known: bool,
}

/// A segment that a person is in.
#[derive(ToSchema)]
struct Membership {
    segment_id: String,
    #[schema(format = DateTime)]
    entered_at: String,
    /// The version by which it entered; 0 if CDP said so.
    definition_version: u32,
}

/// A rate that a person counts in: it is in the denominator.
#[derive(ToSchema)]
struct CountsIn {
    metric: String,
    /// Empty for the whole account.
    group_key: String,
    in_numerator: bool,
}

/// What became of a change.
#[derive(ToSchema)]
pub(crate) struct Change {
    state: ChangeState,
    /// Where it is on `cebe.control`.
    control_offset: Option<i64>,
    /// From this logical time on.
    #[schema(format = DateTime)]
    in_force_since: Option<String>,
    /// Of one that is refused.
    reason: Option<String>,
}

/// `waits_for_history`, `pending`: it will be in force without your doing; `valid`: nothing was changed.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ChangeState {
    InForce,
    WaitsForHistory,
    Pending,
    Refused,
    Valid,
}

/// Every version of a definition that was ever in force.
#[derive(ToSchema)]
pub(crate) struct Versions {
    account_id: String,
    segment_id: Option<String>,
    metric: Option<String>,
    /// The newest first.
    versions: Vec<Version>,
    #[schema(format = DateTime)]
    complete_through: String,
    is_stale: bool,
}

#[derive(ToSchema)]
struct Version {
    /// Empty for one that holds for every account.
    account_id: String,
    version: u32,
    title: String,
    definition: Value,
    #[schema(format = DateTime)]
    valid_from: String,
    /// Null while it is in force.
    #[schema(format = DateTime)]
    valid_to: Option<String>,
    changed_by: String,
}

/// A member of a segment.
#[derive(ToSchema)]
pub(crate) struct Member {
    /// The canonical id.
    customer_id: String,
    #[schema(format = DateTime)]
    entered_at: String,
    /// The version by which it entered; 0 if CDP said so.
    definition_version: u32,
}

/// The rate of a group.
#[derive(ToSchema)]
pub(crate) struct MetricValue {
    /// The broadcast, campaign, or day; empty for the whole account.
    group_key: String,
    numerator: u64,
    denominator: u64,
    /// None while nobody is in the denominator.
    rate: Option<f64>,
    #[schema(format = DateTime)]
    changed_at: String,
}

/// What became of an event.
#[derive(ToSchema)]
#[schema(example = json!({"receipt": "broadcast:3:19", "state": "accepted",
    "event": {"account_id": "acc-17", "idempotency_key": "7f3a0c52-reply"},
    "visible_since": "2026-11-27T04:31:01.871Z", "complete_through": "2026-11-27T04:31:02.118Z"}))]
pub(crate) struct Receipt {
    receipt: String,
    state: State,
    /// Of one that is accepted or rejected.
    event: Option<ReceiptEvent>,
    /// What follows from it is in ClickHouse once `complete_through` has come to this time.
    #[schema(format = DateTime)]
    visible_since: Option<String>,
    #[schema(format = DateTime)]
    complete_through: Option<String>,
}

/// `pending`: not known yet; `skipped`: its source is off.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum State {
    Pending,
    Accepted,
    Duplicate,
    Rejected,
    Skipped,
}

/// What is stored of the event.
#[derive(ToSchema)]
struct ReceiptEvent {
    account_id: String,
    /// Of an accepted one.
    idempotency_key: Option<String>,
    /// Of a rejected one: the code.
    reason: Option<String>,
    /// Of a rejected one: JSON pointer of the field.
    field: Option<String>,
    /// Of a rejected one.
    message: Option<String>,
}

/// What is in force.
#[derive(ToSchema)]
pub(crate) struct Definitions {
    account_id: String,
    segments: Vec<Segment>,
    /// Those of the account, and the shipped ones.
    metrics: Vec<Metric>,
    settings: Settings,
    /// Definitions that wait until past events were looked at.
    waiting: Vec<Waits>,
}

#[derive(ToSchema)]
struct Segment {
    segment_id: String,
    version: u32,
    title: Option<String>,
    changed_by: String,
    /// As it was put; texts that it compares with are masked as those of events are.
    definition: Value,
}

#[derive(ToSchema)]
struct Metric {
    metric: String,
    version: u32,
    title: Option<String>,
    changed_by: String,
    definition: Value,
}

/// They hold for all accounts.
#[derive(ToSchema)]
struct Settings {
    max_customers_per_identifier: u32,
    max_customers_per_person: u32,
    dedup_horizon_ms: i64,
    retention_months: u32,
    /// By account.
    time_zones: BTreeMap<String, String>,
    strict_sources: Vec<String>,
    hashed_key_sources: Vec<String>,
}
