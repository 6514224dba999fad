//! What a rebuild reads from ClickHouse. An error there is waited out: it is away, or not migrated yet.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cebe_schemas::change::Membership;
use cebe_schemas::count::open_hours;
use cebe_schemas::row::{BackfillRow, LedgerRow, ReconciliationRow};
use cebe_schemas::time::Millis;
use clickhouse::Client;
use clickhouse::error::Error;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep, timeout};

use super::telling::LandedEvent;
use crate::adapter::Counted;

/// How long ClickHouse may take for an answer, or for the next rows of one.
const PATIENCE: Duration = Duration::from_secs(60);
/// The engine looks round this often while it waits.
const SLICE: Duration = Duration::from_millis(100);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// So many rows or bytes are handed over at once, and so many times that is read ahead.
const PIECE_ROWS: usize = 500;
const PIECE_BYTES: usize = 1 << 20;
const AHEAD: usize = 8;

/// The views whose tables are read.
const LOADED: &str = "SELECT count(), toUnixTimestamp64Milli(min(complete_through)) FROM frontier \
     WHERE view IN ('events', 'segments', 'ledger', 'backfills', 'reconciliation')";
const VIEWS: u64 = 5;

const TOO_OLD: &str = "SELECT count(), toUnixTimestamp64Milli(max(received_at)) FROM landing_events \
     WHERE lasting_facts = '' AND received_at <= fromUnixTimestamp64Milli(toInt64(?), 'UTC')";

/// Ordinals are part of the sorting key, and versions of a row arrived at one time: both may be filtered
/// before versions are merged. The times leave out the months that hold no such row.
const EVENTS: &str = "SELECT ordinal, toUnixTimestamp64Milli(received_at) AS received_at_ms, topic, partition, \
     offset, account_id, team_id, source_module, event_name, schema_version, idempotency_key, \
     qontak_customer_id, toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms, payload, facts, lasting_facts, \
     backfill_job FROM landing_events FINAL WHERE ordinal >= ? AND ordinal < ? \
     AND received_at BETWEEN fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
     AND fromUnixTimestamp64Milli(toInt64(?), 'UTC') ORDER BY ordinal \
     SETTINGS do_not_merge_across_partitions_select_final = 1, optimize_move_to_prewhere_if_final = 1";

/// The state table may be ahead of the time asked for, and what landed is kept for 30 days: one of them
/// has the row.
const LEDGER: &str = "SELECT topic, partition, argMax(records_read, at), argMax(accepted, at), \
     argMax(duplicate, at), argMax(rejected, at), argMax(skipped, at) FROM \
     (SELECT topic, partition, records_read, accepted, duplicate, rejected, skipped, logical_time AS at \
         FROM landing_ledger \
      UNION ALL SELECT topic, partition, records_read, accepted, duplicate, rejected, skipped, version \
         FROM state_ledger) \
     WHERE at <= fromUnixTimestamp64Milli(toInt64(?), 'UTC') GROUP BY topic, partition";

/// As the ledger.
const BACKFILLS: &str = "SELECT source_module, job, argMax(read, at) AS records_read, \
     argMax(taken, at) AS accepted, argMax(again, at) AS duplicate, argMax(passed, at) AS skipped, \
     argMax(arrayZip(mapKeys(reasons), mapValues(reasons)), at) AS rejected_by_reason, \
     toUnixTimestamp64Milli(max(undone)) AS undone_ms, \
     toUnixTimestamp64Milli(max(at)) AS at_ms FROM \
     (SELECT source_module, job, records_read AS read, accepted AS taken, duplicate AS again, \
         skipped AS passed, rejected_by_reason AS reasons, undone_at AS undone, logical_time AS at \
         FROM landing_backfills \
      UNION ALL SELECT source_module, job, records_read, accepted, duplicate, skipped, \
         rejected_by_reason, undone_at, version FROM state_backfills) \
     WHERE at <= fromUnixTimestamp64Milli(toInt64(?), 'UTC') GROUP BY source_module, job";

/// A count that has come never goes, so that passing over NULL makes no difference.
const HOURS: &str = "SELECT source_module, toUnixTimestamp64Milli(hour) AS hour_ms, argMax(emitted, at), \
     argMax(read, at) FROM \
     (SELECT source_module, hour, emitted, read, logical_time AS at FROM landing_reconciliation \
      UNION ALL SELECT source_module, hour, emitted, read, version FROM state_reconciliation) \
     WHERE hour >= fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
     AND at <= fromUnixTimestamp64Milli(toInt64(?), 'UTC') GROUP BY source_module, hour";

const EXPIRED: &str = "SELECT topic, partition, groupBitmapMerge(offsets) FROM state_event_expiry \
     WHERE expires_on <= today() GROUP BY topic, partition";

/// As `segment_members_as_of`.
const MEMBERS: &str = "SELECT account_id, segment_id, customer_id, \
     toUnixTimestamp64Milli(max(change.logical_time)), \
     argMax(change.definition_version, change.logical_time) FROM landing_segments AS change \
     WHERE change.logical_time <= fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
     GROUP BY account_id, segment_id, customer_id HAVING argMax(change.deleted, change.logical_time) = 0";

/// The tables, asked from outside of any runtime.
pub(super) struct Tables {
    runtime: Runtime,
    client: Client,
}

impl Tables {
    /// `client` has the database set.
    pub(super) fn open(client: Client) -> std::io::Result<Tables> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cebe-rebuild")
            .enable_all()
            .build()?;
        Ok(Tables { runtime, client })
    }

    /// Asks until there is an answer; `between` is called meanwhile.
    fn ask<T, E, F>(
        &self,
        asked: impl Fn(Client) -> F,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut trouble = Trouble::default();
        loop {
            let asking = asked(self.client.clone());
            let mut task = self.runtime.spawn(async { timeout(PATIENCE, asking).await });
            let outcome = loop {
                let turn = self.runtime.block_on(async { timeout(SLICE, &mut task).await });
                match turn {
                    Err(_) => between()?,
                    Ok(Ok(Ok(Ok(answer)))) => {
                        trouble.is_over();
                        return Ok(answer);
                    }
                    Ok(Ok(Ok(Err(error)))) => break error.to_string(),
                    Ok(Ok(Err(elapsed))) => break elapsed.to_string(),
                    Ok(Err(failed)) => break failed.to_string(),
                }
            };
            let until = Instant::now() + trouble.wait(&outcome);
            while Instant::now() < until {
                std::thread::sleep(SLICE);
                between()?;
            }
        }
    }

    /// The time through which all is loaded that a rebuild reads; none: something is not loaded at all.
    pub(super) fn loaded_through<E>(
        &self,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Option<Millis>, E> {
        let asked =
            |client: Client| async move { client.query(LOADED).fetch_one::<(u64, i64)>().await };
        let (views, through_ms) = self.ask(asked, between)?;
        Ok((views == VIEWS).then_some(through_ms))
    }

    /// How many events by `through_ms` do not have the columns that are needed, and the arrival of the last.
    pub(super) fn too_old<E>(
        &self,
        through_ms: Millis,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(u64, Millis), E> {
        let asked = move |client: Client| async move {
            client.query(TOO_OLD).bind(through_ms).fetch_one::<(u64, i64)>().await
        };
        self.ask(asked, between)
    }

    /// What was counted by `through_ms`.
    pub(super) fn counted<E>(
        &self,
        through_ms: Millis,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Counted, E> {
        let (first, _) = open_hours(through_ms);
        let asked = move |client: Client| async move {
            let ledger = client.query(LEDGER).bind(through_ms).fetch_all::<Ledger>().await?;
            let backfills =
                client.query(BACKFILLS).bind(through_ms).fetch_all::<Backfill>().await?;
            let hours =
                client.query(HOURS).bind(first).bind(through_ms).fetch_all::<Hour>().await?;
            let expired = client.query(EXPIRED).fetch_all::<(String, i32, u64)>().await?;
            Ok((ledger, backfills, hours, expired))
        };
        let (ledger, backfills, hours, expired) = self.ask(asked, between)?;
        let expired = expired.into_iter().map(|(topic, number, events)| ((topic, number), events));
        Ok(Counted {
            ledger: ledger.into_iter().map(|row| ledger_row(row, through_ms)).collect(),
            backfills: backfills.into_iter().map(backfill_row).collect(),
            hours: hours.into_iter().map(|row| hour_row(row, through_ms)).collect(),
            expired: expired.collect::<BTreeMap<_, _>>(),
        })
    }

    /// Who was a member of what at `through_ms`.
    pub(super) fn members<E>(
        &self,
        through_ms: Millis,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<Membership>, E> {
        let asked = move |client: Client| async move {
            client.query(MEMBERS).bind(through_ms).fetch_all::<Member>().await
        };
        let member = |(account_id, segment_id, customer_id, t_ms, definition_version): Member| {
            let (account_id, segment_id) = (account_id.into(), segment_id.into());
            let customer_id = customer_id.into();
            Membership {
                account_id,
                segment_id,
                customer_id,
                t_ms,
                entered: true,
                definition_version,
            }
        };
        Ok(self.ask(asked, between)?.into_iter().map(member).collect())
    }

    /// The events with these ordinals, which arrived in these times, both ends in.
    pub(super) fn events(&self, ordinals: Range<u64>, times: (Millis, Millis)) -> Events<'_> {
        let (sender, pieces) = channel(AHEAD);
        if !ordinals.is_empty() {
            self.runtime.spawn(read_on(self.client.clone(), ordinals, times, sender));
        }
        Events { tables: self, pieces, rows: VecDeque::new() }
    }
}

type Ledger = (String, i32, u64, u64, u64, u64, u64);
type Hour = (String, i64, Option<u64>, u64);
type Member = (String, String, String, i64, u32);

fn ledger_row(row: Ledger, logical_time: Millis) -> LedgerRow {
    let (topic, partition, records_read, accepted, duplicate, rejected, skipped) = row;
    LedgerRow {
        topic: topic.into(),
        partition,
        records_read,
        accepted,
        duplicate,
        rejected,
        skipped,
        skipped_ranges: Vec::new(),
        logical_time,
    }
}

#[derive(clickhouse::Row, serde::Deserialize)]
struct Backfill {
    source_module: String,
    job: String,
    records_read: u64,
    accepted: u64,
    duplicate: u64,
    skipped: u64,
    rejected_by_reason: Vec<(String, u64)>,
    undone_ms: Option<i64>,
    at_ms: i64,
}

fn backfill_row(row: Backfill) -> BackfillRow {
    BackfillRow {
        source_module: row.source_module.into(),
        job: row.job.into(),
        records_read: row.records_read,
        accepted: row.accepted,
        duplicate: row.duplicate,
        rejected: row.rejected_by_reason.iter().map(|(_, count)| count).sum(),
        skipped: row.skipped,
        rejected_by_reason: row.rejected_by_reason,
        undone_at: row.undone_ms,
        logical_time: row.at_ms,
    }
}

fn hour_row((source, hour, emitted, read): Hour, logical_time: Millis) -> ReconciliationRow {
    let source_module = Arc::from(source);
    ReconciliationRow { source_module, hour, emitted, read, logical_time }
}

/// Events on their way, in order of ordinal.
pub(super) struct Events<'t> {
    tables: &'t Tables,
    pieces: Receiver<Vec<LandedEvent>>,
    rows: VecDeque<LandedEvent>,
}

impl Events<'_> {
    /// Those before the ordinal `to`; `between` is called while none comes.
    pub(super) fn before<E>(
        &mut self,
        to: u64,
        between: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Vec<LandedEvent>, E> {
        let mut taken = Vec::new();
        loop {
            while self.rows.front().is_some_and(|row| row.ordinal < to) {
                taken.extend(self.rows.pop_front());
            }
            if !self.rows.is_empty() {
                return Ok(taken);
            }
            let pieces = &mut self.pieces;
            match self.tables.runtime.block_on(async { timeout(SLICE, pieces.recv()).await }) {
                Ok(Some(piece)) => self.rows.extend(piece),
                Ok(None) => return Ok(taken),
                Err(_) => between()?,
            }
        }
    }
}

/// Reads all of them, beginning again behind the last one where ClickHouse fails.
async fn read_on(
    client: Client,
    mut ordinals: Range<u64>,
    times: (Millis, Millis),
    to: Sender<Vec<LandedEvent>>,
) {
    let mut trouble = Trouble::default();
    loop {
        let before = ordinals.start;
        match pass(&client, &mut ordinals, times, &to).await {
            Ok(()) => return trouble.is_over(),
            Err(error) => {
                if ordinals.start > before {
                    trouble.is_over();
                }
                sleep(trouble.wait(&error)).await;
            }
        }
    }
}

async fn pass(
    client: &Client,
    ordinals: &mut Range<u64>,
    (from_ms, to_ms): (Millis, Millis),
    to: &Sender<Vec<LandedEvent>>,
) -> Result<(), Error> {
    let query = client.query(EVENTS).bind(ordinals.start).bind(ordinals.end);
    let mut cursor = query.bind(from_ms).bind(to_ms).fetch::<LandedEvent>()?;
    let (mut piece, mut bytes, mut is_last) = (Vec::new(), 0, false);
    while !is_last {
        let row = timeout(PATIENCE, cursor.next()).await.map_err(|_| Error::TimedOut)??;
        is_last = row.is_none();
        if let Some(row) = row {
            bytes += row.payload.len();
            piece.push(row);
        }
        if is_last || piece.len() >= PIECE_ROWS || bytes >= PIECE_BYTES {
            let next = piece.last().map_or(ordinals.start, |row| row.ordinal + 1);
            // Nobody listens any more: the rebuild has ended.
            if to.send(std::mem::take(&mut piece)).await.is_err() {
                return Ok(());
            }
            (ordinals.start, bytes) = (next, 0);
        }
    }
    Ok(())
}

/// ClickHouse does not answer: said once, and once that it does again.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    /// How long to wait before it is tried again.
    fn wait(&mut self, error: &impl Display) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            let error: String =
                error.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
            tracing::warn!(
                error,
                "the rebuild waits for clickhouse: trying again until it answers"
            );
        }
        self.pause = (self.pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.pause
    }

    fn is_over(&mut self) {
        self.pause = Duration::ZERO;
        if let Some(since) = self.since.take() {
            let waited_ms = since.elapsed().as_millis() as u64;
            tracing::info!(waited_ms, "clickhouse answers the rebuild again");
        }
    }
}
