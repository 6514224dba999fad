//! Groups ticks, and says what to insert for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use serde::Serialize;

use super::latency::Propagation;
use crate::feeds::gather::Tick;
use crate::feeds::row::{Lane, Publication, Row};

/// Consecutive ticks that are loaded together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// The T of its first tick. A batch that is loaded again begins with the same one.
    pub(crate) first_ms: Millis,
    /// The T of its last tick.
    pub(crate) through_ms: Millis,
    pub(crate) ticks: usize,
    /// By view, in order of arrival.
    pub(crate) rows: BTreeMap<View, Vec<Row>>,
    pub(crate) row_count: usize,
    pub(crate) bytes: usize,
    /// The offset after the last row of each lane.
    pub(crate) offsets: BTreeMap<Lane, i64>,
    /// The offset after the last progress record.
    pub(crate) progress_offset: i64,
}

impl Batch {
    pub(crate) fn push(&mut self, tick: Tick) {
        if self.ticks == 0 {
            self.first_ms = tick.t_ms;
        }
        self.ticks += 1;
        self.through_ms = tick.t_ms;
        self.progress_offset = tick.offset + 1;
        for (lane, rows) in tick.rows {
            let next = rows.iter().map(|row| row.offset + 1).max().unwrap_or_default();
            self.offsets.entry(lane).and_modify(|o| *o = next.max(*o)).or_insert(next);
            self.row_count += rows.len();
            self.bytes += rows.iter().map(|row| row.json.len()).sum::<usize>();
            self.rows.entry(lane.0).or_default().extend(rows);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ticks == 0
    }

    pub(crate) fn publications(&self) -> impl Iterator<Item = &Publication> {
        let events = self.rows.get(&View::Events).into_iter().flatten();
        events.filter_map(|row| row.publication.as_ref())
    }
}

/// When the next batch may go: a single tick at once if it has been quiet, otherwise so that
/// no table sees more inserts than it can merge.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    last: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Self {
        Pace { interval, last: None }
    }

    /// How long to wait from `now`.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| {
            self.interval.saturating_sub(now.saturating_duration_since(last))
        })
    }

    /// A batch goes.
    pub(crate) fn start(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

/// Rows as the body of an insert.
pub(crate) fn body(rows: &[Row]) -> Vec<u8> {
    let mut body = Vec::with_capacity(rows.iter().map(|row| row.json.len() + 1).sum());
    for row in rows {
        body.extend_from_slice(&row.json);
        body.push(b'\n');
    }
    body
}

#[derive(Serialize)]
struct FrontierRow<'a> {
    view: &'a str,
    complete_through: String,
    committed_at: String,
}

/// The rows for `state_frontier`: every view is complete through `through_ms`.
pub(crate) fn frontier_body(
    through_ms: Millis,
    now_ms: Millis,
) -> Result<Vec<u8>, serde_json::Error> {
    lines(View::ALL.iter().map(|view| FrontierRow {
        view: view.name(),
        complete_through: format_rfc3339(through_ms),
        committed_at: format_rfc3339(now_ms),
    }))
}

#[derive(Serialize)]
struct PropagationRow<'a> {
    minute: String,
    source_module: &'a str,
    batch: String,
    latency_ms: Vec<u32>,
    events: Vec<u64>,
    max_ms: u32,
    acknowledged_at: String,
}

/// The rows for `landing_propagation`.
pub(crate) fn propagation_body(
    propagation: &Propagation<'_>,
    first_ms: Millis,
    acknowledged_ms: Millis,
) -> Result<Vec<u8>, serde_json::Error> {
    lines(propagation.iter().map(|((minute_ms, source_module), histogram)| PropagationRow {
        minute: format_rfc3339(*minute_ms),
        source_module,
        batch: format_rfc3339(first_ms),
        latency_ms: histogram.buckets.keys().copied().collect(),
        events: histogram.buckets.values().copied().collect(),
        max_ms: histogram.max_ms,
        acknowledged_at: format_rfc3339(acknowledged_ms),
    }))
}

fn lines(rows: impl Iterator<Item = impl Serialize>) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut body, &row)?;
        body.push(b'\n');
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: i64, json: &str) -> Row {
        Row { offset, json: json.as_bytes().into(), publication: None }
    }

    #[test]
    fn ticks_are_grouped_by_view() {
        let mut batch = Batch::default();
        let tick = |t_ms, rows| Tick { t_ms, binding: 1, rows, offset: t_ms };
        batch.push(tick(5, vec![((View::Events, 0), vec![row(3, "a"), row(4, "b")])]));
        batch.push(tick(9, vec![]));
        let rows =
            vec![((View::Events, 1), vec![row(0, "c")]), ((View::Ledger, 0), vec![row(7, "d")])];
        batch.push(tick(12, rows));
        assert_eq!((batch.first_ms, batch.through_ms, batch.ticks), (5, 12, 3));
        assert_eq!((batch.row_count, batch.bytes, batch.progress_offset), (4, 4, 13));
        assert_eq!(body(&batch.rows[&View::Events]), b"a\nb\nc\n");
        let offsets: Vec<_> = batch.offsets.into_iter().collect();
        let expected = [((View::Events, 0), 5), ((View::Events, 1), 1), ((View::Ledger, 0), 8)];
        assert_eq!(offsets, expected);
    }

    #[test]
    fn pace_is_four_a_second_but_none_after_a_pause() {
        let mut pace = Pace::new(Duration::from_millis(250));
        let start = Instant::now();
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.start(start);
        assert_eq!(pace.wait(start + Duration::from_millis(100)), Duration::from_millis(150));
        assert_eq!(pace.wait(start + Duration::from_millis(251)), Duration::ZERO);
    }

    #[test]
    fn frontier_names_every_view() {
        let body = String::from_utf8(frontier_body(1, 2).unwrap()).unwrap();
        assert_eq!(body.lines().count(), View::ALL.len());
        assert!(body.starts_with(
            r#"{"view":"events","complete_through":"1970-01-01T00:00:00.001Z","committed_at":"1970-01-01T00:00:00.002Z"}"#
        ));
    }
}
