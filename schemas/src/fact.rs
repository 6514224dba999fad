//! What accepted events tell the dataflow, as rows that it can compute with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::definition::Definitions;
use crate::id::{EventType, Group, Subject, Token};
use crate::time::Millis;

/// Everything that one binding says: the input of one tick, in ordinal order.
#[derive(Clone, Debug, Default)]
pub struct TickInput {
    /// The logical time T of the binding.
    pub t_ms: Millis,
    /// One for each mention of a customer id (subject, `into`, `from`) by an accepted event.
    pub known: Vec<Known>,
    /// One for each accepted event with a customer id.
    pub events: Vec<(Subject, EventFact)>,
    /// Identifiers that `customer.created/updated` named, or cleared.
    pub identifiers: Vec<IdentifierFact>,
    /// Explicit links made and removed.
    pub merges: Vec<MergeFact>,
    /// The text of each group that a fact of this tick names (repeats are harmless).
    pub groups: Vec<GroupName>,
    /// The definitions in force from T on, if T changes them.
    pub definitions: Option<Arc<Definitions>>,
}

/// A mention of a customer id: it exists, and this is its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Known {
    /// The hashed id.
    pub subject: Subject,
    /// The tenant.
    pub account_id: Arc<str>,
    /// The id as published.
    pub customer_id: Arc<str>,
}

/// One event of a customer, as far as segments and rates can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventFact {
    /// Its type.
    pub event: EventType,
    /// The broadcast or campaign that it names, or [`Group::NONE`].
    pub group: Group,
    /// When it happened, by its publisher.
    pub occurred_at_ms: Millis,
}

/// The order in which statements about one thing overwrite each other (product §4): greatest
/// `occurred_at`, then greatest `idempotency_key` bytewise, then latest arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When the event happened.
    pub occurred_at_ms: Millis,
    /// Its idempotency key, whole: a prefix or a hash would not order ties as the contract does.
    pub key: Arc<str>,
    /// Its arrival order.
    pub ordinal: u64,
}

/// Which identifier of a customer a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// The attribute `phone`: the last statement wins.
    Phone,
    /// The attribute `email`: the last statement wins.
    Email,
    /// An entry of `identifiers`: they accumulate.
    Further,
}

/// A customer was said to hold an identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentifierFact {
    /// The holder.
    pub subject: Subject,
    /// How it is held.
    pub slot: Slot,
    /// The identifier; none: the attribute was cleared, or its value is no identifier.
    pub token: Option<Token>,
    /// Which statement wins.
    pub stamp: Stamp,
}

/// `customer.merged` or `customer.unmerged`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MergeFact {
    /// The two customers, lesser hash first: the link is undirected. Never equal.
    pub pair: (Subject, Subject),
    /// Linked, or no longer linked.
    pub linked: bool,
    /// Which statement about the pair wins.
    pub stamp: Stamp,
}

/// The text behind a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// The hashed id.
    pub group: Group,
    /// `broadcast_id` or `campaign_id` as published.
    pub group_key: Arc<str>,
}
