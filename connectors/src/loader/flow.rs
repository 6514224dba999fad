//! The loader's loop: read, gather, insert, commit.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use metrics::{counter, gauge, histogram};
use rdkafka::consumer::CommitMode;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use super::batch::{Batch, Pace, frontier_body, propagation_body};
use super::latency::{Propagation, propagation};
use super::sink::{Backoff, Sink};
use super::{LoaderConfig, LoaderError, LoaderStatus};
use crate::clock::now_ms;
use crate::fault;
use crate::feeds::FeedError;
use crate::feeds::feed::{Feed, Record};
use crate::feeds::gather::{Gather, Wanted};
use crate::migrate::migrate;

/// Above this propagation the promise of product §8 is broken.
const SLO_MS: u32 = 5_000;
const REPORT_EVERY: Duration = Duration::from_secs(1);
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// How long a batch on its way may take to end when the loader stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// After so many records read at once others get their turn.
const READ_AT_ONCE: usize = 256;

/// Loads until `shutdown` says true.
pub(crate) async fn run(
    config: LoaderConfig,
    status: watch::Sender<LoaderStatus>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), LoaderError> {
    let client = config.clickhouse.clone().with_database(&config.database);
    let sink = Arc::new(Sink::new(client.clone(), config.insert_timeout));
    let mut feed = Feed::open(&config.feed())?;
    let through_ms = tokio::select! {
        () = stopped(&mut shutdown) => return Ok(()),
        through_ms = start(&config, &client, &sink, &mut feed) => through_ms?,
    };
    let mut flow = Flow {
        gather: Gather::after(through_ms),
        next: Batch::default(),
        loading: JoinSet::new(),
        pace: Pace::new(config.insert_interval),
        last_binding: None,
        stalled: Stall::default(),
        feed,
        sink,
        config,
        status,
    };
    flow.status.send_modify(|status| status.complete_through_ms = through_ms);
    let result = flow.run(&mut shutdown).await;
    flow.finish().await;
    result
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone cannot ask to go on either.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Waits for ClickHouse and Kafka; returns the time that everything is loaded through.
async fn start(
    config: &LoaderConfig,
    client: &clickhouse::Client,
    sink: &Sink,
    feed: &mut Feed,
) -> Result<Option<Millis>, LoaderError> {
    let mut backoff = Backoff::default();
    loop {
        match timeout(config.insert_timeout, migrate(&config.clickhouse, &config.database)).await {
            Ok(Ok(_)) => break,
            Ok(Err(error)) if error.is_permanent() => return Err(error.into()),
            Ok(Err(error)) => sink.failed(&error),
            Err(elapsed) => sink.failed(&elapsed),
        }
        sleep(backoff.next_wait()).await;
    }
    let mut backoff = Backoff::default();
    let through_ms = loop {
        match timeout(config.insert_timeout, loaded_through(client)).await {
            Ok(Ok(through_ms)) => break through_ms,
            Ok(Err(error)) => sink.failed(&error),
            Err(elapsed) => sink.failed(&elapsed),
        }
        sleep(backoff.next_wait()).await;
    };
    sink.loaded();
    let mut backoff = Backoff::default();
    while let Err(error) = feed.start(through_ms) {
        let wait = backoff.next_wait();
        warn!(%error, wait_ms = wait.as_millis() as u64, "topics cebe.out.* cannot be read yet");
        sleep(wait).await;
    }
    info!(after = through_ms.map(format_rfc3339), "loading");
    Ok(through_ms)
}

async fn loaded_through(client: &clickhouse::Client) -> clickhouse::error::Result<Option<Millis>> {
    const SQL: &str = "SELECT count(), toUnixTimestamp64Milli(min(complete_through)) FROM frontier";
    let (views, through_ms): (u64, i64) = client.query(SQL).fetch_one().await?;
    Ok((views > 0).then_some(through_ms))
}

struct Flow {
    config: LoaderConfig,
    feed: Feed,
    sink: Arc<Sink>,
    gather: Gather,
    /// Whole ticks that go next.
    next: Batch,
    /// At most one batch.
    loading: JoinSet<Result<Batch, LoaderError>>,
    pace: Pace,
    last_binding: Option<u64>,
    stalled: Stall,
    status: watch::Sender<LoaderStatus>,
}

impl Flow {
    async fn run(&mut self, shutdown: &mut watch::Receiver<bool>) -> Result<(), LoaderError> {
        let mut report = interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = pin!(stopped(shutdown));
        let mut read_at_once = 0;
        loop {
            self.collect()?;
            self.start_loading();
            let wanted = self.gather.wanted();
            let waits = self.loading.is_empty() && !self.next.is_empty();
            let wait = self.pace.wait(Instant::now());
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                Some(loaded) = self.loading.join_next() => self.loaded(loaded)?,
                () = sleep(wait), if waits => {}
                _ = report.tick() => self.report(),
                record = self.feed.next(wanted), if wanted != Wanted::Nothing => {
                    self.take(record?)?;
                    read_at_once += 1;
                    if read_at_once % READ_AT_ONCE == 0 {
                        yield_now().await;
                    }
                }
            }
        }
    }

    fn take(&mut self, record: Record) -> Result<(), LoaderError> {
        match record {
            Record::Row(lane, place, row) => {
                self.gather.row(lane, place, row).map_err(FeedError::from)?;
            }
            Record::Progress(offset, progress) => self.gather.progress(offset, progress),
        }
        Ok(())
    }

    /// Moves whole ticks into the next batch, as far as its limits allow.
    fn collect(&mut self) -> Result<(), LoaderError> {
        while self.next.is_empty()
            || self.next.row_count < self.config.batch_rows_max
                && self.next.bytes < self.config.batch_bytes_max
        {
            let Some(tick) = self.gather.next_tick().map_err(FeedError::from)? else { break };
            if let Some(last) = self.last_binding.replace(tick.binding)
                && tick.binding != last + 1
            {
                counter!("cebe_loader_gaps_total").increment(1);
                error!(
                    after = last,
                    found = tick.binding,
                    "cebe.out.progress leaves out bindings: the rows of these ticks are missing"
                );
            }
            self.next.push(tick);
        }
        Ok(())
    }

    fn start_loading(&mut self) {
        let now = Instant::now();
        if self.loading.is_empty() && !self.next.is_empty() && self.pace.wait(now).is_zero() {
            self.pace.start(now);
            self.loading.spawn(load(self.sink.clone(), std::mem::take(&mut self.next)));
        }
    }

    fn loaded(
        &mut self,
        loaded: Result<Result<Batch, LoaderError>, JoinError>,
    ) -> Result<(), LoaderError> {
        let batch = loaded.map_err(|error| LoaderError::Interrupted(error.to_string()))??;
        self.feed.commit(&batch.offsets, batch.progress_offset, CommitMode::Async);
        gauge!("cebe_loader_complete_through_seconds").set(batch.through_ms as f64 / 1e3);
        histogram!("cebe_loader_batch_rows").record(batch.row_count as f64);
        self.stalled = Stall::default();
        self.status.send_modify(|status| status.complete_through_ms = Some(batch.through_ms));
        Ok(())
    }

    /// Metrics, and a warning if a tick does not become whole.
    fn report(&mut self) {
        let oldest_ms =
            if self.next.is_empty() { self.gather.next_t_ms() } else { Some(self.next.first_ms) };
        let lag_ms = oldest_ms.map_or(0, |t_ms| now_ms().saturating_sub(t_ms).max(0));
        gauge!("cebe_loader_lag_seconds").set(lag_ms as f64 / 1e3);
        gauge!("cebe_loader_buffered_rows").set((self.gather.rows() + self.next.row_count) as f64);
        gauge!("cebe_loader_buffered_bytes").set((self.gather.bytes() + self.next.bytes) as f64);
        self.status.send_modify(|status| {
            status.clickhouse_up = self.sink.is_up();
            status.lag_ms = lag_ms;
        });
        if self.next.is_empty() && self.loading.is_empty() {
            self.stalled.look(&self.gather);
        }
    }

    /// Lets a batch that is on its way end. What is not loaded then will be read again.
    async fn finish(&mut self) {
        if let Ok(Some(Ok(Ok(batch)))) = timeout(STOP_PATIENCE, self.loading.join_next()).await {
            self.feed.commit(&batch.offsets, batch.progress_offset, CommitMode::Sync);
        }
    }
}

/// Notices that the oldest tick stays incomplete.
#[derive(Default)]
struct Stall {
    since: Option<(Millis, Instant)>,
}

impl Stall {
    fn look(&mut self, gather: &Gather) {
        let Some(t_ms) = gather.next_t_ms() else { return };
        match self.since {
            Some((since_t_ms, since)) if since_t_ms == t_ms => {
                if since.elapsed() > STALLED_AFTER {
                    let lacks = gather.lacks();
                    warn!(tick = format_rfc3339(t_ms), ?lacks, "rows of a tick do not arrive");
                    self.since = Some((t_ms, Instant::now()));
                }
            }
            _ => self.since = Some((t_ms, Instant::now())),
        }
    }
}

/// Inserts the rows of `batch`, then what says that they are there.
async fn load(sink: Arc<Sink>, batch: Batch) -> Result<Batch, LoaderError> {
    let batch = Arc::new(batch);
    let interrupted = |error: JoinError| LoaderError::Interrupted(error.to_string());
    let mut inserts = JoinSet::new();
    // The ledger follows the events that it speaks of.
    for view in batch.rows.keys().copied().filter(|view| *view != View::Ledger) {
        let (sink, batch) = (sink.clone(), batch.clone());
        inserts.spawn(async move {
            sink.load(view, batch.rows.get(&view).map_or(&[], Vec::as_slice)).await;
            (view, now_ms())
        });
    }
    let mut acknowledged_ms = None;
    while let Some(insert) = inserts.join_next().await {
        let (view, at_ms) = insert.map_err(interrupted)?;
        if view == View::Events {
            acknowledged_ms = Some(at_ms);
        }
        if !inserts.is_empty() {
            fault::point("mid_insert");
        }
    }
    if batch.rows.contains_key(&View::Erasures) {
        sink.erase(batch.first_ms, batch.through_ms).await;
    }
    if let Some(rows) = batch.rows.get(&View::Ledger) {
        sink.load(View::Ledger, rows).await;
    }
    if let Some(acknowledged_ms) = acknowledged_ms {
        let propagation = propagation(batch.publications(), acknowledged_ms);
        measure(&propagation);
        if !propagation.is_empty() {
            let body = propagation_body(&propagation, batch.first_ms, acknowledged_ms)?;
            sink.insert_own("landing_propagation", &body).await;
        }
    }
    fault::point("before_frontier");
    sink.insert_own("state_frontier", &frontier_body(batch.through_ms, now_ms())?).await;
    fault::point("after_frontier");
    sink.loaded();
    Ok(Arc::unwrap_or_clone(batch))
}

fn measure(propagation: &Propagation<'_>) {
    for ((_, source_module), latencies) in propagation {
        let seconds =
            histogram!("cebe_propagation_seconds", "source_module" => (*source_module).to_owned());
        for (latency_ms, events) in &latencies.buckets {
            let events = usize::try_from(*events).unwrap_or(usize::MAX);
            seconds.record_many(f64::from(*latency_ms) / 1e3, events);
        }
        let latency_ms = latencies.max_ms;
        if latency_ms > SLO_MS {
            warn!(source_module, latency_ms, "cebe_propagation_slo_breach");
        }
    }
}
