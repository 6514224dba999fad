//! Reads the history that definitions wait for from ClickHouse, and writes it to `cebe.history`, from
//! where it is bound like any input.
//!
//! ```text
//! adapter ──backlogs──▶ thread: events of [next, until) ──▶ slices ──▶ cebe.history ──▶ adapter
//! ```
//! Nothing here decides anything. A slice counts only where the adapter lacks exactly that history, so
//! whatever is written twice, by an engine that was killed or by two at once, changes nothing. ClickHouse
//! may be away: this thread waits, and nobody else does.
//!
//! Pure: [`slices`]. ClickHouse: `read`. The loop: `flow`.

mod flow;
mod read;
pub mod slices;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cebe_schemas::history::{HistoryRecord, Waits};
use cebe_schemas::token::Keys;
use clickhouse::Client;
use tokio::sync::{oneshot, watch};

use crate::adapter::{Adapter, Backlog};
use crate::kafka::append::Appender;
use crate::kafka::client::with_retries;
use crate::kafka::{ClientError, KafkaOptions};

/// How long Kafka may take to acknowledge, before a record is written again.
const APPEND_PATIENCE: Duration = Duration::from_secs(10);

/// History cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Its thread or runtime cannot be started.
    #[error("history thread: {0}")]
    Thread(#[from] io::Error),
    /// Kafka refuses.
    #[error(transparent)]
    Kafka(#[from] ClientError),
    /// A record cannot be written as JSON.
    #[error("record of history: {0}")]
    Json(#[from] serde_json::Error),
}

/// What the thread has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Work {
    /// In order of arrival.
    backlogs: Vec<Backlog>,
    /// The offset of the last record of `cebe.history` that was bound.
    bound: Option<i64>,
}

/// The thread that reads history, while there is any to read.
pub struct HistoryReader {
    work: watch::Sender<Work>,
    appender: Appender,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HistoryReader {
    /// Starts it. `clickhouse` has the database set.
    ///
    /// # Errors
    /// The thread or the Kafka client cannot be made.
    pub fn start(
        kafka: &KafkaOptions,
        clickhouse: Client,
        keys: Arc<Keys>,
    ) -> Result<HistoryReader, HistoryError> {
        let topic = kafka.topics.history.clone();
        let appender = Appender::open(kafka, &topic, APPEND_PATIENCE)?;
        let (work, todo) = watch::channel(Work::default());
        let (stop, stopped) = oneshot::channel();
        let flow =
            flow::Flow::new(Appender::open(kafka, &topic, APPEND_PATIENCE)?, clickhouse, keys);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("cebe-history".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = flow.run(todo) => {}
                        // A sender that is gone means the same.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(HistoryReader { work, appender, stop: Some(stop), thread: Some(thread) })
    }

    /// Writes down what has begun to wait; returns when Kafka has it.
    ///
    /// # Errors
    /// Kafka refuses; while it is away, this waits.
    pub fn announce(&mut self, waiting: Vec<Waits>) -> Result<(), HistoryError> {
        if waiting.is_empty() {
            return Ok(());
        }
        let records = waiting.into_iter().map(|waits| to_bytes(&HistoryRecord::Waits(waits)));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        // One that arrives twice does no harm.
        with_retries(|| self.appender.append(&records))?;
        Ok(())
    }

    /// Reads what `adapter` waits for from now on.
    pub fn follow<K>(&self, adapter: &Adapter<K>) {
        let work = Work { backlogs: adapter.backlogs(), bound: adapter.history_offset() };
        self.work.send_if_modified(|before| {
            let is_other = *before != work;
            *before = work;
            is_other
        });
    }
}

impl Drop for HistoryReader {
    fn drop(&mut self) {
        self.stop.take();
        // A panic of the thread has been reported by then.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn to_bytes(record: &HistoryRecord) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(record)
}
