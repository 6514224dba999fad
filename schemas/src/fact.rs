//! What accepted events tell the dataflow, as rows that it can compute with.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
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
    /// One for each accepted event with a customer id, or with identifiers that may tell whose it is.
    pub events: Vec<(Subject, EventFact)>,
    /// Further facts of events that arrived earlier: they cause nothing by themselves.
    pub past: Vec<(Subject, EventFact)>,
    /// The identifiers of each event without a customer id, under the subject that stands for them.
    pub anonymous: Vec<(Subject, Identifier)>,
    /// Attributes that `customer.created/updated` set or cleared.
    pub attributes: Vec<AttributeFact>,
    /// Further identifiers of the same events: they accumulate. With when that happened.
    pub identifiers: Vec<(Subject, Identifier, Millis)>,
    /// Every naming of an identifier by an event with a customer id.
    pub namings: Vec<Naming>,
    /// Explicit links made and removed.
    pub merges: Vec<MergeFact>,
    /// Segments that CDP asserts.
    pub assertions: Vec<AssertionFact>,
    /// One for each accepted event with a team and without a customer id, and when it happened.
    pub teams: Vec<(Subject, Arc<str>, Millis)>,
    /// Whom events of a backfill are about, or name (repeats are harmless).
    pub backfilled: Vec<Subject>,
    /// Customers that are erased, with everything that happened by then.
    pub erasures: Vec<(Subject, Millis)>,
    /// The text of each group that a fact of this tick names (repeats are harmless).
    pub groups: Vec<GroupName>,
    /// The definitions in force from T on, if T changes them.
    pub definitions: Option<Arc<Definitions>>,
    /// What links and what does not from T on, if T changes that.
    pub linking: Option<Arc<Linking>>,
}

/// The protections against false links (product §4), all of them data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linking {
    /// An identifier with more holders links nobody.
    pub holders_max: usize,
    /// A person that would have more members is held together by explicit links only.
    pub members_max: usize,
    /// Values that link nobody.
    pub blocked: BTreeSet<IdentifierValue>,
}

impl Default for Linking {
    /// 5 holders, 100 members, nothing blocked.
    fn default() -> Linking {
        Linking { holders_max: 5, members_max: 100, blocked: BTreeSet::new() }
    }
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
    /// When the event happened that mentions it.
    pub occurred_at_ms: Millis,
    /// Whose event that is, if it is not its own.
    pub by: Option<Subject>,
    /// Who published the event, if it is its own and says so.
    pub team: Option<Arc<str>>,
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

/// A normalised value whatever its account: keyed hash, to be compared with block lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentifierValue(pub u64);

/// Something that customers of one account can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// Within its account.
    pub token: Token,
    /// Its value.
    pub value: IdentifierValue,
}

/// The value of an attribute, anything personal in it masked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttributeValue {
    json: Box<str>,
    value: serde_json::Value,
}

impl AttributeValue {
    /// Holds `value`.
    pub fn new(value: serde_json::Value) -> AttributeValue {
        AttributeValue { json: value.to_string().into(), value }
    }

    /// Reads what [`json`](AttributeValue::json) has written.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn from_json(json: &str) -> Result<AttributeValue, serde_json::Error> {
        Ok(AttributeValue { value: serde_json::from_str(json)?, json: json.into() })
    }

    /// As compact JSON text.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// As parsed JSON.
    pub fn value(&self) -> &serde_json::Value {
        &self.value
    }
}

impl PartialEq for AttributeValue {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for AttributeValue {}

impl Ord for AttributeValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.json.cmp(&other.json)
    }
}

impl PartialOrd for AttributeValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for AttributeValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.json.hash(state);
    }
}

/// An event of a customer names an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The customer.
    pub subject: Subject,
    /// The identifier.
    pub token: Token,
    /// When the event happened.
    pub occurred_at_ms: Millis,
}

/// A customer was said to have an attribute, or to have it no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttributeFact {
    /// Which attribute.
    pub name: Arc<str>,
    /// Which statement about it wins.
    pub stamp: Stamp,
    /// Whose.
    pub subject: Subject,
    /// None: it was cleared.
    pub value: Option<Arc<AttributeValue>>,
    /// What the value identifies, where it does: `phone` and `email`.
    pub identifier: Option<Identifier>,
}

/// `segment.entered` or `segment.exited`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssertionFact {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Which segment.
    pub segment_id: Arc<str>,
    /// Which statement about segment and customer wins.
    pub stamp: Stamp,
    /// Who is said to belong to it, or not.
    pub subject: Subject,
    /// Entered.
    pub entered: bool,
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
