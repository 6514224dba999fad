//! One bounded pass after the other: read, cut, write, and wait until it is bound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cebe_schemas::history::HistoryRecord;
use cebe_schemas::time::format_rfc3339;
use cebe_schemas::token::Keys;
use clickhouse::Client;
use clickhouse::error::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::slices::Slicer;
use super::{HistoryError, Work, read, to_bytes};
use crate::adapter::Backlog;
use crate::kafka::append::Appender;

/// The most events of one pass.
const EVENTS_MAX: u64 = 10_000;
/// The most slices of one pass, and so of slices that are not bound yet.
const SLICES_MAX: usize = 16;
/// The least and the first number of ordinals in one pass; it grows where events are rare.
const WINDOW_MIN: u64 = 100_000;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Slices that are not bound for so long are written again.
const BOUND_PATIENCE: Duration = Duration::from_secs(30);

/// Reads one backlog after the other.
pub(super) struct Flow {
    appender: Appender,
    client: Client,
    keys: Arc<Keys>,
    window: u64,
    backoff: Duration,
    /// Since when nothing could be read.
    stuck: Option<Instant>,
}

/// Why nothing was read.
enum Stuck {
    /// Not all of these events are loaded.
    NotLoaded,
    ClickHouse(Error),
    Kafka(HistoryError),
}

impl Flow {
    pub(super) fn new(appender: Appender, client: Client, keys: Arc<Keys>) -> Flow {
        Flow { appender, client, keys, window: WINDOW_MIN, backoff: BACKOFF_MIN, stuck: None }
    }

    /// Until nobody says any more what has to be read.
    pub(super) async fn run(mut self, mut work: watch::Receiver<Work>) {
        let mut turn: usize = 0;
        loop {
            let backlogs = work.borrow_and_update().backlogs.clone();
            let Some(backlog) = backlogs.get(turn % backlogs.len().max(1)) else {
                self.window = WINDOW_MIN;
                if work.changed().await.is_err() {
                    return;
                }
                continue;
            };
            // A small one does not wait for the end of a large one.
            turn = turn.wrapping_add(1);
            match self.pass(backlog).await {
                Ok(offset) => {
                    self.goes_on();
                    let is_bound = |work: &Work| work.bound >= Some(offset);
                    match timeout(BOUND_PATIENCE, work.wait_for(is_bound)).await {
                        Ok(Err(_)) => return,
                        Ok(Ok(_)) => {}
                        Err(_) => tracing::warn!(offset, "history is not bound: reading it again"),
                    }
                }
                Err(stuck) => {
                    self.waits(backlog, &stuck);
                    sleep(self.backoff).await;
                    self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Reads a part of `backlog` and writes its slices; returns the offset of the last one.
    async fn pass(&mut self, backlog: &Backlog) -> Result<i64, Stuck> {
        let through_ms = read::loaded_through(&self.client).await.map_err(Stuck::ClickHouse)?;
        if through_ms < Some(backlog.arrived_by_ms) {
            return Err(Stuck::NotLoaded);
        }
        let mut to = backlog.until.min(backlog.next.saturating_add(self.window));
        let mut slicer = Slicer::new(backlog, &self.keys);
        let mut cursor =
            read::events(&self.client, backlog, to, EVENTS_MAX).map_err(Stuck::ClickHouse)?;
        let mut events = 0;
        while let Some(event) = read::next(&mut cursor).await.map_err(Stuck::ClickHouse)? {
            slicer.push(&event);
            events += 1;
            if events == EVENTS_MAX || slicer.slices() == SLICES_MAX {
                to = event.ordinal + 1;
                break;
            }
        }
        self.window = match events {
            EVENTS_MAX => (self.window / 2).max(WINDOW_MIN),
            few if few < EVENTS_MAX / 2 => self.window.saturating_mul(2),
            _ => self.window,
        };
        let slices = slicer.finish(to).into_iter().map(HistoryRecord::Slice);
        let records: Result<Vec<_>, _> = slices.map(|slice| to_bytes(&slice)).collect();
        let records = records.map_err(|error| Stuck::Kafka(error.into()))?;
        metrics::counter!("cebe_history_events_read_total").increment(events);
        metrics::counter!("cebe_history_slices_total").increment(records.len() as u64);
        self.appender.append(&records).map_err(|error| Stuck::Kafka(error.into()))
    }

    fn goes_on(&mut self) {
        self.backoff = BACKOFF_MIN;
        if let Some(since) = self.stuck.take() {
            let waited_ms = since.elapsed().as_millis() as u64;
            tracing::info!(waited_ms, "history is read again");
        }
    }

    /// Says once why nothing is read.
    fn waits(&mut self, backlog: &Backlog, stuck: &Stuck) {
        if self.stuck.is_some() {
            return;
        }
        self.stuck = Some(Instant::now());
        match stuck {
            Stuck::NotLoaded => {
                let through = format_rfc3339(backlog.arrived_by_ms);
                tracing::info!(through, "history waits until clickhouse has loaded its events");
            }
            Stuck::ClickHouse(error) => {
                let error = error.to_string();
                let error: String =
                    error.lines().next().unwrap_or_default().chars().take(200).collect();
                tracing::warn!(
                    error,
                    "history waits for clickhouse: trying again until it answers"
                );
            }
            Stuck::Kafka(error) => {
                tracing::warn!(%error, "history cannot be written: trying again")
            }
        }
    }
}
