//! Begins with what ClickHouse holds, and follows the feeds from there.

use std::sync::Arc;
use std::time::Duration;

use cebe_schemas::time::{Millis, parse_rfc3339};
use cebe_schemas::view::View;
use clickhouse::Client;
use clickhouse::error::Error;
use serde_json::Value;
use tokio::time::sleep;

use super::Replica;
use super::row::{self, VIEWS};
use crate::feed::{Ended, Follow};

/// How long what fails is left alone, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long reading a table may take.
const TABLE_SECONDS_MAX: &str = "600";
/// Rows of a table that are taken in at a time.
const BATCH: usize = 1_024;

const THROUGH: &str = "SELECT if(count() = 5, min(complete_through), NULL) AS through FROM frontier
    WHERE view IN ('identities', 'customers', 'seen', 'segments', 'metrics')";

// Asked after the tables are read: nothing that was seen there is newer.
const NEWEST: &str = "SELECT max(newest) AS newest FROM (
    SELECT max(version) AS newest FROM state_identities UNION ALL
    SELECT max(version) FROM state_customers UNION ALL
    SELECT max(version) FROM state_seen UNION ALL
    SELECT max(version) FROM state_customer_segments UNION ALL
    SELECT max(version) FROM state_metrics)";

/// Why the copy has to begin again.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("clickhouse: {0}")]
    ClickHouse(#[from] Error),
    #[error("a row is not what the engine writes: {0}")]
    Row(#[from] serde_json::Error),
    #[error("the feeds hold no longer what comes after the tables")]
    Gap,
    #[error("the feeds cannot be read: {0}")]
    Feeds(String),
    #[error("it would take more than {0} bytes of memory")]
    TooLarge(usize),
}

/// Keeps `replica` at what is published, as long as it takes no more than about `bytes_max`; returns only if it
/// would. `clickhouse` has the database selected.
pub async fn keep(replica: Replica, clickhouse: Client, feeds: Arc<dyn Follow>, bytes_max: usize) {
    let clickhouse = clickhouse.with_setting("max_execution_time", TABLE_SECONDS_MAX);
    let mut pause = PAUSE;
    loop {
        let failed = run(&replica, &clickhouse, &*feeds, bytes_max).await;
        let Err(failed) = failed else { return };
        if replica.through_ms().is_some() {
            pause = PAUSE;
        }
        replica.clear();
        if let Failed::TooLarge(_) = failed {
            tracing::warn!(
                reason = %failed,
                "customers and rates are answered from clickhouse: give http.replica_bytes_max more"
            );
            return;
        }
        match failed {
            Failed::ClickHouse(_) => {
                tracing::info!(reason = %failed, "the copy of customers and rates waits for clickhouse");
            }
            _ => tracing::warn!(reason = %failed, "the copy of customers and rates begins again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Until it fails, or nobody publishes any more.
async fn run(
    replica: &Replica,
    clickhouse: &Client,
    feeds: &dyn Follow,
    bytes_max: usize,
) -> Result<(), Failed> {
    let through_ms = time(clickhouse, THROUGH, "through").await?;
    for view in VIEWS {
        read(replica, clickhouse, view, bytes_max).await?;
    }
    let newest_ms = time(clickhouse, NEWEST, "newest").await?;
    replica.begin(newest_ms);
    let known = |t_ms: Millis| (t_ms >= newest_ms).then_some(t_ms);
    let bytes = replica.take_in(Vec::new(), known(through_ms));
    tracing::info!(bytes, "customers and rates are read from clickhouse");
    let mut ticks = feeds.follow(VIEWS.to_vec(), through_ms);
    while let Some(tick) = ticks.recv().await {
        let tick = tick.map_err(|ended| match ended {
            Ended::Gap => Failed::Gap,
            Ended::Broken(reason) => Failed::Feeds(reason),
        })?;
        let mut rows = Vec::with_capacity(tick.rows.len());
        for row in &tick.rows {
            rows.extend(row::read(row.view, &row.json)?);
        }
        within(replica.take_in(rows, known(tick.t_ms)), bytes_max)?;
    }
    Ok(())
}

/// Takes in a table. Rows that were loaded since are in it or not: the feeds tell them once more.
async fn read(
    replica: &Replica,
    clickhouse: &Client,
    view: View,
    bytes_max: usize,
) -> Result<(), Failed> {
    let mut cursor = clickhouse.query_raw(sql(view)).fetch_bytes("JSONEachRow")?;
    let (mut line, mut rows) = (Vec::new(), Vec::with_capacity(BATCH));
    while let Some(bytes) = cursor.next().await? {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.last() == Some(&b'\n') {
                rows.extend(row::read(view, &line)?);
                line.clear();
            }
            if rows.len() == BATCH {
                within(replica.take_in(std::mem::take(&mut rows), None), bytes_max)?;
            }
        }
    }
    within(replica.take_in(rows, None), bytes_max)
}

fn within(bytes: usize, bytes_max: usize) -> Result<(), Failed> {
    if bytes > bytes_max { Err(Failed::TooLarge(bytes_max)) } else { Ok(()) }
}

/// The rows of a view as its feed tells them, of each key the last one.
fn sql(view: View) -> &'static str {
    match view {
        View::Identities => {
            "SELECT account_id, qontak_customer_id, customer_id, version AS logical_time, deleted
             FROM state_identities FINAL"
        }
        View::Customers => {
            "SELECT account_id, customer_id, member_ids, attributes, team_ids, version AS logical_time, deleted
             FROM state_customers FINAL"
        }
        View::Seen => {
            "SELECT account_id, customer_id, first_seen, last_seen, version AS logical_time, deleted
             FROM state_seen FINAL"
        }
        View::Segments => {
            "SELECT account_id, customer_id, segment_id, definition_version, version AS logical_time, deleted
             FROM state_customer_segments FINAL"
        }
        _ => {
            "SELECT account_id, metric, group_key, numerator AS new_numerator, denominator AS new_denominator,
                rate AS new_rate, version AS logical_time, deleted
             FROM state_metrics FINAL"
        }
    }
}

/// A time; nothing that is known is of the beginning.
async fn time(clickhouse: &Client, sql: &str, column: &str) -> Result<Millis, Failed> {
    let bytes = clickhouse.query_raw(sql).fetch_bytes("JSONEachRow")?.collect().await?;
    let row: Value = serde_json::from_slice(&bytes)?;
    Ok(row[column].as_str().and_then(parse_rfc3339).unwrap_or(0))
}
