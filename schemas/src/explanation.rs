//! Why a person belongs to a segment, or does not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::definition::Selector;
use crate::time::{Millis, rfc3339, rfc3339_option};

mod event;

pub use event::FoundEvent;

/// The whole answer, true for one logical time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The logical time that it is true for.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub logical_time: Millis,
    /// The tenant.
    pub account_id: Arc<str>,
    /// The segment.
    pub segment_id: Arc<str>,
    /// Whose it is.
    pub person: Person,
    /// Whether the person belongs, asserted or defined.
    pub is_member: bool,
    /// The version by which the person entered; 0 if it was only asserted.
    pub entered_by_version: Option<u32>,
    /// What CDP said last of the person and the segment.
    pub asserted: Option<Assertion>,
    /// Whether it belongs by the definition; none: there is no definition.
    pub is_defined: Option<bool>,
    /// The version of the definition in force.
    pub definition_version: Option<u32>,
    /// When membership next changes by itself.
    pub next_change: NextChange,
    /// The definition, judged clause by clause.
    pub clause: Option<Judged>,
    /// Why events are shown by type and time only, where they are.
    pub events_note: Option<Arc<str>>,
}

/// A person, and what holds it together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The canonical id.
    pub customer_id: Arc<str>,
    /// All customer ids, shortlex.
    pub member_ids: Vec<Arc<str>>,
    /// What brings the members together, as their customers hold it now.
    pub links: Vec<Link>,
}

/// A reason for customers to be one person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// They hold the same identifier.
    Identifier {
        /// Its token.
        token: Arc<str>,
        /// Who holds it, shortlex.
        customer_ids: Vec<Arc<str>>,
    },
    /// An event merged them.
    Merged {
        /// The two.
        customer_ids: Vec<Arc<str>>,
        /// When that happened.
        #[serde(with = "rfc3339")]
        #[schema(value_type = String, format = DateTime)]
        occurred_at: Millis,
    },
}

/// What CDP said of a person and a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assertion {
    /// That it belongs, or not.
    pub entered: bool,
    /// Of which member.
    pub customer_id: Option<Arc<str>>,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Millis,
}

/// When something next changes by the mere passing of time, should no event come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextChange {
    /// It does not.
    Never,
    /// Then, exactly.
    #[schema(value_type = String, format = DateTime)]
    At(#[serde(with = "rfc3339")] Millis),
    /// Not before then.
    #[schema(value_type = String, format = DateTime)]
    NotBefore(#[serde(with = "rfc3339")] Millis),
}

/// A clause, and whether it is true of the person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Judged {
    /// What it says: a leaf as authors write it; `all`, `any` and `not` by their names.
    pub clause: Value,
    /// Whether it is true.
    pub holds: bool,
    /// When that next changes by itself.
    pub next_change: NextChange,
    /// Of `attribute`: what was said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<Attribute>,
    /// Of `in_segment`: what CDP said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asserted: Option<Assertion>,
    /// Of `did`: what was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// The clauses in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub clauses: Vec<Judged>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attribute {
    /// As stored; null: it was cleared.
    pub value: Value,
    /// Which member said so.
    pub customer_id: Option<Arc<str>>,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Millis,
}

/// The events that a `did` looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Counted {
    /// How many count now.
    pub count: u64,
    /// How many have to.
    pub at_least: u32,
    /// How many may; none: any number.
    pub at_most: Option<u32>,
    /// How many events there are that count now, later, or no more.
    pub events_held: u64,
    /// Those that count first, latest first in each kind; not all of them if there are many.
    pub events: Vec<Witness>,
    /// What selects the events, and those that follow.
    #[serde(skip)]
    pub selectors: Vec<Selector>,
}

/// An event that a `did` looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Witness {
    /// Its type.
    pub event_name: Arc<str>,
    /// The broadcast or campaign that it names; "" for none.
    pub group_key: Arc<str>,
    /// When it happened.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Millis,
    /// Whether it counts.
    pub counts: Counting,
    /// From when on it counts; none: it never does.
    #[serde(with = "rfc3339_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub counts_from: Option<Millis>,
    /// When it counts no more; none: it stays.
    #[serde(with = "rfc3339_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub counts_until: Option<Millis>,
    /// Of a sequence: what followed it in time, earliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed_by: Vec<Follower>,
    /// The stored events, where they were found: more than one if they are alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundEvent>,
}

/// Whether an event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Now.
    Now,
    /// Later.
    Later,
    /// No more: its time is over.
    NoMore,
    /// Not: what follows it, or does not, is missing.
    Not,
}

/// An event that followed another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Follower {
    /// When it happened.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Millis,
    /// The stored events, where they were found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundEvent>,
}
