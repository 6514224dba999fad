//! Reads the feeds `cebe.out.*` tick by tick, each whole.
//!
//! * `feed`: the records of some views, each partition when it is its turn.
//! * `cut`: what of them Kafka has deleted; pure.
//! * `gather`: ticks of which every row is there; pure. `row`: what is read of a row.
//! * `follow`: both together, for subscribers.

pub(crate) mod cut;
pub(crate) mod feed;
pub mod follow;
pub(crate) mod gather;
pub(crate) mod row;

use cebe_schemas::view::View;
use rdkafka::error::KafkaError;

pub use gather::Mismatch;

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// Kafka's bootstrap servers.
    pub kafka_bootstrap: String,
    /// Further settings of the Kafka client, such as those of its security.
    pub kafka_settings: Vec<(String, String)>,
    /// Put before the name of each topic.
    pub topic_prefix: String,
    /// The consumer group whose offsets show the lag.
    pub group_id: String,
    /// The name of the client, for those who look after Kafka.
    pub client_id: String,
    /// The views.
    pub views: Vec<View>,
    /// So much is fetched ahead of each partition.
    pub queue_kbytes: u32,
}

/// Why a feed cannot be read. That Kafka is away is no reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The Kafka client cannot be made or used.
    #[error("kafka client: {0}")]
    Kafka(#[from] KafkaError),
    /// Records that were to be read have left the topics.
    #[error("cebe.out.* no longer holds the records after the last that was read: {0}")]
    Lost(KafkaError),
    /// A progress record names a partition that is not there.
    #[error("cebe.out.progress announces rows in {0}, which has no partition")]
    Unknown(String),
    /// A record is not what the engine writes.
    #[error("{topic}/{partition} offset {offset}: {source}")]
    Unreadable {
        /// Its topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A tick is not what its progress record says.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}
