//! What is read from ClickHouse.

use std::collections::BTreeSet;
use std::time::Duration;

use cebe_schemas::time::Millis;
use clickhouse::Client;
use clickhouse::error::Error;
use clickhouse::query::RowCursor;
use tokio::time::timeout;

use super::slices::PastEvent;
use crate::adapter::Backlog;

/// How long ClickHouse may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sorting key decides what is read, so filters may come before rows of one key are merged.
const EVENTS: &str = "SELECT ordinal, event_name, qontak_customer_id, \
     toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms, payload, identifier_tokens, backfill_job FROM events \
     WHERE account_id = ? AND event_name IN ? AND ordinal >= ? AND ordinal < ? \
     ORDER BY ordinal LIMIT ? SETTINGS optimize_move_to_prewhere_if_final = 1";

/// The logical time through which everything is loaded; none: nothing is.
pub(super) async fn loaded_through(client: &Client) -> Result<Option<Millis>, Error> {
    const SQL: &str = "SELECT count(), toUnixTimestamp64Milli(min(complete_through)) FROM frontier";
    let query = client.query(SQL).fetch_one::<(u64, i64)>();
    let (views, through_ms) = timeout(PATIENCE, query).await.map_err(|_| Error::TimedOut)??;
    Ok((views > 0).then_some(through_ms))
}

/// The first `rows` events with ordinals before `to` that `backlog` asks for, in order.
pub(super) fn events(
    client: &Client,
    backlog: &Backlog,
    to: u64,
    rows: u64,
) -> Result<RowCursor<PastEvent>, Error> {
    let names: BTreeSet<&str> = backlog.selectors.iter().map(|selector| selector.name()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let query = client.query(EVENTS).bind(&*backlog.account_id).bind(names);
    query.bind(backlog.next).bind(to).bind(rows).fetch()
}

/// The next of them.
pub(super) async fn next(cursor: &mut RowCursor<PastEvent>) -> Result<Option<PastEvent>, Error> {
    timeout(PATIENCE, cursor.next()).await.map_err(|_| Error::TimedOut)?
}
