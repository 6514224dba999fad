use std::fmt;
use std::sync::Arc;

use crate::binding::Range;
use crate::kafka::ClientError;

/// Records of a partition that were not read and are no longer held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub topic: Arc<str>,
    /// Where.
    pub partition: i32,
    /// The first missing offset.
    pub from: i64,
    /// The first offset that is held.
    pub to: i64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { topic, partition, from, to } = self;
        write!(f, "{topic}/{partition}: offsets {from} to {to}")
    }
}

fn list(all: &[Lost]) -> String {
    all.iter().map(Lost::to_string).collect::<Vec<_>>().join(", ")
}

/// The records that a binding names cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Retention, or somebody, deleted records that are needed.
    #[error(
        "{topic}/{partition}: offsets {from} to {to} are needed and no longer held. Restore them from a copy \
         of the topic, or engine.data_dir with the snapshots that make them unnecessary; then lengthen \
         the topic's retention.ms"
    )]
    Gone {
        /// Where.
        topic: Arc<str>,
        /// Where.
        partition: i32,
        /// The first missing offset.
        from: i64,
        /// The first offset that is held.
        to: i64,
    },
    /// Retention, or somebody, deleted records before they were read.
    #[error(
        "records are gone that were not read yet: {}. Restore them from a copy of the topics; or start \
         once with --accept-loss, which goes on without them. Then lengthen retention.ms",
        list(.0)
    )]
    Lost(Vec<Lost>),
    /// The topic ends before what was read of it: it was deleted and made anew, or lost data.
    #[error(
        "{topic}/{partition}: offset {needed} is needed, but the partition ends at {end}: the topic \
         was made anew or has lost data. Restore it, or use a topic with another name"
    )]
    Truncated {
        /// Where.
        topic: Arc<str>,
        /// Where.
        partition: i32,
        /// The offset to go on from.
        needed: i64,
        /// The offset after the last record.
        end: i64,
    },
    /// The records of a bound range are not those that were bound.
    #[error(
        "{}/{}: offsets {} to {} were bound with {} records, and {found} are there now: the topic \
         was compacted or made anew. Restore it from a copy",
        range.topic, range.partition, range.from, range.to, range.records
    )]
    Different {
        /// What was bound.
        range: Range,
        /// How many records there are.
        found: u64,
    },
    /// A range that does not follow what was taken before: ranges have to be taken in the order of
    /// their bindings.
    #[error(
        "{}/{}: a range from offset {} cannot be taken at {at}",
        range.topic, range.partition, range.from
    )]
    OutOfOrder {
        /// The range.
        range: Range,
        /// Where the last one ended.
        at: i64,
    },
    /// Kafka refused.
    #[error(transparent)]
    Client(#[from] ClientError),
}
