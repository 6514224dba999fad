use std::fmt;
use std::sync::Arc;

use cebe_schemas::verdict::stored::StoredError;

use crate::adapter::Miscounted;
use crate::kafka::ClientError;
use crate::kafka::binding_log::BindingLogError;
use crate::kafka::source::SourceError;
use crate::out::progress_log::ProgressError;
use crate::snapshot::StoreError;

/// Offsets of one partition that were bound and that Kafka no longer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Whose.
    pub topic: Arc<str>,
    /// Whose.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gone { topic, partition, from, to } = self;
        write!(f, "{topic}/{partition}: offsets {from} to {to}")
    }
}

/// Several of them, for people.
pub(super) fn list(gone: &[Gone]) -> String {
    gone.iter().map(Gone::to_string).collect::<Vec<_>>().join("; ")
}

/// The engine's state cannot be made from ClickHouse.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Neither Kafka nor ClickHouse has what is needed.
    #[error(
        "records are gone that no snapshot holds and that were never published: {}. Bring back \
         engine.data_dir from a copy, or the topics: without them nobody can tell what these records were",
        list(.0)
    )]
    Missing(Vec<Gone>),
    /// Topics that are kept for ever were cut.
    #[error(
        "records are gone of a topic that has to be kept for ever: {}. Bring back engine.data_dir or the topic \
         from a copy, and set its retention.ms to -1",
        list(.0)
    )]
    NotKept(Vec<Gone>),
    /// Some of the rows are older than the columns that a rebuild needs.
    #[error(
        "{events} events cannot be told again: they arrived through {through} and were published by a version \
         of cebe that did not keep landing_events.lasting_facts. Gone from kafka: {}. Bring back \
         engine.data_dir from a copy, or the topics",
        list(.gone)
    )]
    TooOld {
        /// How many.
        events: u64,
        /// The arrival of the last of them.
        through: String,
        /// Why they are needed.
        gone: Vec<Gone>,
    },
    /// ClickHouse is loaded through a time that no binding has.
    #[error(
        "clickhouse is loaded through {0}, and no binding has that time: clickhouse.database is that of \
         another log of bindings. Set it right, or load cebe.out.* into an empty database"
    )]
    OtherLog(String),
    /// An event that was not bound where its row says.
    #[error(
        "the event with ordinal {ordinal}, {place}, arrived at {time}, which is not how binding {binding} has \
         it: clickhouse.database holds rows of another log of bindings, or was changed by hand. Set it \
         right, or load cebe.out.* into an empty database"
    )]
    Foreign {
        /// Of the event.
        ordinal: u64,
        /// Of the event.
        place: String,
        /// The binding that has this ordinal.
        binding: u64,
        /// The event's arrival.
        time: String,
    },
    /// An event that cannot be read.
    #[error("the event with ordinal {ordinal} cannot be told again: {error}")]
    Event {
        /// Of the event.
        ordinal: u64,
        /// Why.
        error: StoredError,
    },
    /// Rows are missing, or there are too many.
    #[error(
        "clickhouse does not hold what was published: {0}. Run cebe reconcile to see what differs; bring back \
         clickhouse.database or engine.data_dir from a copy, or load cebe.out.* into an empty database"
    )]
    Miscounted(#[from] Miscounted),
    /// The snapshot was not written.
    #[error("what was rebuilt is not in {0}: make room and start again")]
    NotWritten(String),
    /// Kafka refuses.
    #[error(transparent)]
    Kafka(#[from] ClientError),
    /// The log of bindings cannot be read.
    #[error(transparent)]
    Bindings(#[from] BindingLogError),
    /// What is published cannot be read.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// A topic that is kept for ever cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store of snapshots fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread or runtime cannot be started.
    #[error("rebuilding: {0}")]
    Thread(#[from] std::io::Error),
}
