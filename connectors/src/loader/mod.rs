//! Loads the feeds `cebe.out.*` into ClickHouse.
//!
//! ```text
//! feed ──► gather ──► batch ──► sink
//! Kafka    whole      grouped   landing tables, ledger, propagation, frontier; then the offsets
//!          ticks      ticks
//! ```
//!
//! Rows go through as bytes. A tick is loaded when all of its rows have arrived, and `frontier`
//! says so only when all of them can be read. Whatever fails is done again with the same rows,
//! which replace themselves in the landing tables: nothing is lost, nothing counts twice. ClickHouse
//! may be down for as long as the topics keep their records; nobody upstream notices.
//!
//! Pure: `batch`, `latency`; and `row` and `gather` of [`feeds`](crate::feeds). Kafka: `feed`, which is there
//! too. ClickHouse: `sink`. The loop: `flow`.

mod batch;
mod erase;
mod flow;
mod latency;
mod sink;

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use cebe_schemas::time::Millis;
use cebe_schemas::view::View;
use clickhouse::Client;
use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::feeds::{FeedError, FeedOptions};
use crate::migrate::MigrateError;

/// How to load.
#[derive(Clone)]
pub struct LoaderConfig {
    /// Kafka's bootstrap servers.
    pub kafka_bootstrap: String,
    /// Further settings of the Kafka client, such as those of its security.
    pub kafka_settings: Vec<(String, String)>,
    /// Put before the name of each topic.
    pub topic_prefix: String,
    /// The consumer group whose offsets show the lag.
    pub group_id: String,
    /// The server, user and password; its database is not used.
    pub clickhouse: Client,
    /// The database, which is migrated first.
    pub database: String,
    /// The least time between two inserts into one table.
    pub insert_interval: Duration,
    /// How long ClickHouse may take for one insert before it is tried again.
    pub insert_timeout: Duration,
    /// A batch takes in no further tick from here on. One waits while another is inserted, beside at most
    /// one tick.
    pub batch_rows_max: usize,
    /// The same, in bytes.
    pub batch_bytes_max: usize,
}

impl LoaderConfig {
    /// The usual limits.
    pub fn new(kafka_bootstrap: &str, clickhouse: Client, database: &str) -> Self {
        LoaderConfig {
            kafka_bootstrap: kafka_bootstrap.to_owned(),
            kafka_settings: Vec::new(),
            topic_prefix: String::new(),
            group_id: "cebe-loader".to_owned(),
            clickhouse,
            database: database.to_owned(),
            insert_interval: Duration::from_millis(250),
            insert_timeout: Duration::from_secs(60),
            batch_rows_max: 100_000,
            batch_bytes_max: 32 << 20,
        }
    }

    fn feed(&self) -> FeedOptions {
        FeedOptions {
            kafka_bootstrap: self.kafka_bootstrap.clone(),
            kafka_settings: self.kafka_settings.clone(),
            topic_prefix: self.topic_prefix.clone(),
            group_id: self.group_id.clone(),
            client_id: "cebe-loader".into(),
            views: View::ALL.to_vec(),
            queue_kbytes: 1_024,
        }
    }
}

/// How far the loader is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoaderStatus {
    /// Everything through this logical time can be read; none: nothing yet.
    pub complete_through_ms: Option<Millis>,
    /// Whether ClickHouse took what it was last given.
    pub clickhouse_up: bool,
    /// Age of the oldest tick that has been read but not loaded; 0 if there is none.
    pub lag_ms: i64,
}

/// Why the loader has stopped. ClickHouse or Kafka being down is no reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// Records that are not loaded yet have left the topics.
    #[error(
        "cebe.out.* no longer holds the records after the last that was loaded ({0}): ClickHouse \
         has to be rebuilt by the engine, which publishes anew"
    )]
    Lost(KafkaError),
    /// The feeds cannot be read.
    #[error(transparent)]
    Feed(FeedError),
    /// The database cannot be migrated.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The loader's own rows cannot be written as JSON.
    #[error("rows of the loader: {0}")]
    Json(#[from] serde_json::Error),
    /// A task panicked.
    #[error("loader interrupted: {0}")]
    Interrupted(String),
    /// Its thread or runtime cannot be started.
    #[error("loader thread: {0}")]
    Thread(#[from] io::Error),
}

impl From<FeedError> for LoaderError {
    fn from(error: FeedError) -> LoaderError {
        match error {
            FeedError::Lost(error) => LoaderError::Lost(error),
            error => LoaderError::Feed(error),
        }
    }
}

/// A running loader.
pub struct Loader {
    thread: JoinHandle<Result<(), LoaderError>>,
    status: watch::Receiver<LoaderStatus>,
}

/// Starts loading on a thread of its own, until `shutdown` holds true or its sender is gone.
///
/// # Errors
/// If the thread cannot be started.
pub fn run(config: LoaderConfig, shutdown: watch::Receiver<bool>) -> Result<Loader, LoaderError> {
    let (sender, status) = watch::channel(LoaderStatus::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new()
        .name("cebe-loader".to_owned())
        .spawn(move || runtime.block_on(flow::run(config, sender, shutdown)))?;
    Ok(Loader { thread, status })
}

impl Loader {
    /// How far it is; changes can be awaited.
    pub fn status(&self) -> watch::Receiver<LoaderStatus> {
        self.status.clone()
    }

    /// Whether it has stopped: [`Loader::join`] says why.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// Why it stopped by itself, if it did.
    pub fn join(self) -> Result<(), LoaderError> {
        let panicked = |_| LoaderError::Interrupted("its thread panicked".to_owned());
        self.thread.join().map_err(panicked)?
    }
}
