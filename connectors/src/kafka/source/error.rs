use std::sync::Arc;

use crate::binding::Range;
use crate::kafka::ClientError;

/// The records that a binding names cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Retention, or somebody, deleted records that are needed.
    #[error(
        "{topic}/{partition}: offsets {from} to {to} are needed and no longer held. Restore them \
         from a copy of the topic, and lengthen its retention.ms"
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
