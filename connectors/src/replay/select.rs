//! Asks ClickHouse which records to replay.

use cebe_schemas::time::Millis;
use clickhouse::Client;
use clickhouse::query::Query;

use super::offsets::Offsets;
use crate::kafka::Topics;

/// ClickHouse cannot say which records to replay.
#[derive(Debug, thiserror::Error)]
#[error("which records to replay: {view} of ClickHouse cannot be read: {source}")]
pub struct SelectError {
    /// The view.
    view: &'static str,
    /// Its answer, or why there is none.
    source: clickhouse::error::Error,
}

/// Logical times `[from_ms, to_ms)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first.
    pub from_ms: Millis,
    /// The first after it.
    pub to_ms: Millis,
}

/// Which rejected records: all for which each of these holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// The publisher.
    pub source: Option<String>,
    /// The reason code.
    pub reason: Option<String>,
    /// The tenant.
    pub account: Option<String>,
}

/// What ClickHouse knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The records.
    pub offsets: Offsets,
    /// Rejected control records and counts of sources, which are left out: they would change what has
    /// been said since.
    pub control_records: u64,
    /// What was loaded when it was asked; none: nothing yet. Later records are not selected.
    pub complete_through_ms: Option<Millis>,
}

/// The records that arrived in `period` and were rejected. `client` has the database set.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn rejected(
    client: &Client,
    topics: &Topics,
    period: Period,
    which: &Rejected,
) -> Result<Selection, SelectError> {
    let fault = |source| SelectError { view: "rejected_events", source };
    let complete_through_ms = complete_through(client, "rejected").await.map_err(fault)?;
    let given = [
        ("source_module", &which.source),
        ("reason", &which.reason),
        ("account_id", &which.account),
    ];
    let given: Vec<(&str, &String)> =
        given.into_iter().filter_map(|(column, value)| Some((column, value.as_ref()?))).collect();
    let and: String = given.iter().map(|(column, _)| format!(" AND {column} = ?")).collect();
    let ask = |select: &str, order: &str| {
        let sql = format!(
            "SELECT {select} FROM rejected_events
             WHERE received_at >= fromUnixTimestamp64Milli(?, 'UTC')
               AND received_at < fromUnixTimestamp64Milli(?, 'UTC') AND topic {order}"
        );
        client
            .query(&sql)
            .bind(period.from_ms)
            .bind(period.to_ms)
            .bind(&topics.control)
            .bind(&topics.counts)
    };
    let narrow = |query: Query| given.iter().fold(query, |query, (_, value)| query.bind(value));
    let order = format!("NOT IN (?, ?){and} ORDER BY topic, partition, offset");
    let records = narrow(ask("toString(topic), partition, offset, offset + 1", &order));
    let control = narrow(ask("count()", &format!("IN (?, ?){and}")));
    Ok(Selection {
        offsets: offsets(records).await.map_err(fault)?,
        control_records: control.fetch_one().await.map_err(fault)?,
        complete_through_ms,
    })
}

/// The records of `source` that were skipped in `period`. `client` has the database set.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn skipped(
    client: &Client,
    topics: &Topics,
    period: Period,
    source: &str,
) -> Result<Selection, SelectError> {
    let fault = |source| SelectError { view: "skipped_ranges", source };
    let complete_through_ms = complete_through(client, "ledger").await.map_err(fault)?;
    let sql = "SELECT toString(topic), partition, from_offset, to_offset FROM skipped_ranges
         WHERE topic IN (?, ?) AND logical_time >= fromUnixTimestamp64Milli(?, 'UTC')
           AND logical_time < fromUnixTimestamp64Milli(?, 'UTC')
         ORDER BY topic, partition, from_offset";
    let query = client
        .query(sql)
        .bind(topics.events(source))
        .bind(topics.named(&format!("cebe.backfill.{source}")))
        .bind(period.from_ms)
        .bind(period.to_ms);
    let offsets = offsets(query).await.map_err(fault)?;
    Ok(Selection { offsets, control_records: 0, complete_through_ms })
}

async fn offsets(query: Query) -> Result<Offsets, clickhouse::error::Error> {
    let mut rows = query.fetch::<(String, i32, i64, i64)>()?;
    let mut offsets = Offsets::default();
    while let Some((topic, partition, from, to)) = rows.next().await? {
        offsets.push(&topic, partition, from..to);
    }
    Ok(offsets)
}

async fn complete_through(
    client: &Client,
    feed: &str,
) -> Result<Option<Millis>, clickhouse::error::Error> {
    let sql = "SELECT toUnixTimestamp64Milli(complete_through) FROM frontier WHERE view = ?";
    client.query(sql).bind(feed).fetch_optional().await
}
