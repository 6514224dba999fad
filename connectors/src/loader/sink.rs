//! Inserts into ClickHouse: each until it is acknowledged, however long that takes.
//!
//! An insert that fails may have been applied all the same. It is repeated with the same rows,
//! which replace themselves, so it does not matter.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use clickhouse::Client;
use clickhouse::error::Error;
use metrics::{counter, gauge, histogram};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::batch::body;
use super::erase;
use crate::feeds::row::{Row, without_properties};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often a row that cannot be loaded is logged.
const REMINDER: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 1 << 20;

/// Codes with which ClickHouse says that the data is at fault, not its own state: they cannot go
/// away by trying again. Any other answer is retried as it is.
const DATA_ERRORS: [u32; 20] = [
    6,   // CANNOT_PARSE_TEXT
    25,  // CANNOT_PARSE_ESCAPE_SEQUENCE
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    53,  // TYPE_MISMATCH
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    130, // CANNOT_READ_ARRAY_FROM_TEXT
    131, // TOO_LARGE_STRING_SIZE
    190, // SIZES_OF_ARRAYS_DONT_MATCH
    306, // TOO_DEEP_RECURSION
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    376, // CANNOT_PARSE_UUID
    407, // DECIMAL_OVERFLOW
    467, // CANNOT_PARSE_BOOL
];

/// The database that rows are loaded into.
pub(crate) struct Sink {
    client: Client,
    timeout: Duration,
    down_since: Mutex<Option<Instant>>,
}

/// ClickHouse will never take these rows; its reason.
#[derive(Debug)]
struct Refused(String);

impl Sink {
    /// `client` has the database set.
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Sink { client, timeout, down_since: Mutex::new(None) }
    }

    /// Returns when all `rows` can be read.
    pub(crate) async fn load(&self, view: View, rows: &[Row]) {
        let started = Instant::now();
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            match self.insert(&view.landing_table(), || body(part)).await {
                Ok(()) => {}
                Err(refused) => match part {
                    [row] => self.load_refused(view, row, refused).await,
                    part => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        counter!("cebe_loader_rows_total", "view" => view.name()).increment(rows.len() as u64);
        histogram!("cebe_sink_insert_seconds", "view" => view.name()).record(started.elapsed());
    }

    /// Returns when the rows of `body` can be read. They are the loader's own: a refusal is an
    /// error of the program, which goes on trying, visibly.
    pub(crate) async fn insert_own(&self, table: &str, body: &[u8]) {
        while let Err(Refused(reason)) = self.insert(table, || body.to_vec()).await {
            error!(table, reason, "clickhouse refuses the loader's own rows: nothing is loaded");
            sleep(REMINDER).await;
        }
    }

    /// Returns when events that erasures of these logical times reach are stored without content: a
    /// row that says nothing replaces each. Done again, it changes nothing.
    pub(crate) async fn erase(&self, from_ms: Millis, through_ms: Millis) {
        let times = [from_ms, through_ms].map(format_rfc3339);
        for sql in erase::STATEMENTS {
            let mut backoff = Backoff::default();
            loop {
                let query = self.client.query(sql).param("from", &times[0]);
                let done = timeout(self.timeout, query.param("through", &times[1]).execute()).await;
                match done {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => self.failed(&error),
                    Err(elapsed) => self.failed(&elapsed),
                }
                sleep(backoff.next_wait()).await;
            }
        }
    }

    /// A batch has been loaded.
    pub(crate) fn loaded(&self) {
        let mut down_since = self.down_since.lock().unwrap_or_else(PoisonError::into_inner);
        gauge!("cebe_loader_clickhouse_up").set(1);
        if let Some(since) = down_since.take() {
            info!(down_ms = since.elapsed().as_millis() as u64, "clickhouse answers again");
        }
    }

    /// ClickHouse did not answer, or not well.
    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        let mut down_since = self.down_since.lock().unwrap_or_else(PoisonError::into_inner);
        counter!("cebe_loader_insert_retries_total").increment(1);
        gauge!("cebe_loader_clickhouse_up").set(0);
        if down_since.is_none() {
            *down_since = Some(Instant::now());
            let error = error.to_string();
            warn!(
                error = brief(&error),
                "clickhouse does not take rows: trying again until it does"
            );
        }
    }

    /// Whether the last that was tried has succeeded.
    pub(crate) fn is_up(&self) -> bool {
        self.down_since.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Inserts until acknowledged or refused.
    async fn insert(&self, table: &str, body: impl Fn() -> Vec<u8>) -> Result<(), Refused> {
        let mut backoff = Backoff::default();
        loop {
            match self.try_insert(table, body()).await {
                Ok(()) => return Ok(()),
                Err(error) if is_data_error(&error) => return Err(Refused(error.to_string())),
                Err(error) => {
                    self.failed(&error);
                    sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn try_insert(&self, table: &str, body: Vec<u8>) -> Result<(), Error> {
        let sql = format!("INSERT INTO {table} FORMAT JSONEachRow");
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(self.timeout), Some(self.timeout))
            // The acknowledgement means that the rows can be read.
            .with_setting("async_insert", "0")
            .with_setting("date_time_input_format", "best_effort")
            .with_setting("input_format_skip_unknown_fields", "1")
            // A string in `properties` stays one, also if it looks like a time.
            .with_setting("input_format_try_infer_dates", "0")
            .with_setting("input_format_try_infer_datetimes", "0")
            .with_setting("type_json_skip_duplicated_paths", "1");
        for chunk in body.chunks(CHUNK_BYTES) {
            insert.send(chunk.to_vec().into()).await?;
        }
        insert.end().await
    }

    /// Loads a row that was refused alone: without its `properties`, the only column whose type
    /// has opinions. `payload` keeps the truth.
    async fn load_refused(&self, view: View, row: &Row, Refused(reason): Refused) {
        let (table, offset) = (view.landing_table(), row.offset);
        // A body that was cut short on its way can look like bad data: once more, as it is.
        if self.insert(&table, || body(std::slice::from_ref(row))).await.is_ok() {
            return;
        }
        if let Some(stripped) = without_properties(&row.json)
            && self.insert(&table, || stripped.to_vec()).await.is_ok()
        {
            counter!("cebe_loader_stripped_rows_total", "view" => view.name()).increment(1);
            let reason = brief(&reason);
            error!(table, offset, reason, "clickhouse refuses a row: loaded without properties");
            return;
        }
        gauge!("cebe_loader_blocked").set(1);
        while let Err(Refused(reason)) = self.insert(&table, || row.json.to_vec()).await {
            let reason = brief(&reason);
            error!(
                table,
                offset, reason, "clickhouse refuses a row: nothing is loaded until it is taken"
            );
            sleep(REMINDER).await;
        }
        gauge!("cebe_loader_blocked").set(0);
    }
}

/// Waits that double from 0.1 s to 5 s.
#[derive(Default)]
pub(crate) struct Backoff {
    wait: Duration,
}

impl Backoff {
    pub(crate) fn next_wait(&mut self) -> Duration {
        self.wait = (self.wait * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.wait
    }
}

fn is_data_error(error: &Error) -> bool {
    let Error::BadResponse(text) = error else { return false };
    code(text).is_some_and(|code| DATA_ERRORS.contains(&code))
}

/// The number in `Code: 117. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A message without the row that a server may quote in it.
fn brief(message: &str) -> &str {
    let end = message.find(['{', '\n']).unwrap_or(message.len());
    let message = message[..end].trim_end();
    message.char_indices().nth(200).map_or(message, |(end, _)| &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_data_are_told_from_errors_of_the_server() {
        let check = |text: &str, expect| {
            assert_eq!(is_data_error(&Error::BadResponse(text.into())), expect, "{text}");
        };
        check("Code: 117. DB::Exception: Cannot parse JSON object here", true);
        check("Code: 27. DB::Exception: Cannot parse input", true);
        check("Code: 252. DB::Exception: Too many parts", false);
        check("Code: 241. DB::Exception: Memory limit exceeded", false);
        check("Code: 60. DB::Exception: Unknown table", false);
        check("502 Bad Gateway", false);
        assert!(!is_data_error(&Error::TimedOut));
    }

    #[test]
    fn backoff_doubles_to_its_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.next_wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn logged_reason_quotes_no_row() {
        let message =
            "Code: 117. DB::Exception: Cannot parse JSON object here: {\"a\":1}: (at row 1)";
        assert_eq!(brief(message), "Code: 117. DB::Exception: Cannot parse JSON object here:");
        assert_eq!(brief("network error"), "network error");
        assert_eq!(brief(&"é".repeat(300)).chars().count(), 200);
    }
}
