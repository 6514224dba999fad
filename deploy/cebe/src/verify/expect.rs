//! The bound input, evaluated: one file a view, one a partition of each feed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use cebe_connectors::adapter::Past;
use cebe_connectors::binding::{Binding, Digest, LOGIC_VERSION};
use cebe_connectors::out::numbered::number;
use cebe_schemas::control::ControlState;
use cebe_schemas::row::{DefinitionRow, Row};
use cebe_schemas::time::{Millis, format_rfc3339, minus_months};
use cebe_schemas::verdict::Judge;
use cebe_schemas::view::View;
use serde_json::{Value, json};

use super::erasures::Erasures;
use crate::eval::bound::{BoundLines, foresee};
use crate::eval::views::Views;
use crate::eval::{Evaluation, Tick, files};

/// The months for which ClickHouse keeps events.
const KEPT_MONTHS: u32 = 24;

/// Files of expected rows.
pub struct Expected {
    folder: PathBuf,
    feeds: BTreeMap<(View, u32), BufWriter<File>>,
    /// When a backfill was undone last. What is expected of the time before is without it.
    pub undone_ms: Option<Millis>,
}

/// The columns of the view `events` that are compared, in this order. `properties` is a copy of a
/// part of `payload`, `ingested_at` is the loader's own.
pub const EVENT_COLUMNS: [&str; 17] = [
    "account_id",
    "team_id",
    "source_module",
    "event_name",
    "schema_version",
    "idempotency_key",
    "qontak_customer_id",
    "occurred_at",
    "received_at",
    "payload",
    "identifier_tokens",
    "topic",
    "partition",
    "offset",
    "logical_time",
    "ordinal",
    "backfill_job",
];

impl Expected {
    /// Evaluates `bound` through `at_ms`, as of now, into files in `folder`.
    pub fn write(
        bound: &Path,
        folder: &Path,
        judge: Judge,
        workers: usize,
        at_ms: Millis,
        now_ms: Millis,
    ) -> anyhow::Result<Expected> {
        let (folder_of, feeds) = (folder.to_owned(), BTreeMap::new());
        let mut expected = Expected { folder: folder_of, feeds, undone_ms: None };
        let keys = judge.keys.clone();
        let control = ControlState::new();
        // What the engine has read of the past is not used: it has to be what events say.
        let mut evaluation = Evaluation::start(judge, control, workers, Past::Checked)?;
        let name = bound.display().to_string();
        let open = || -> anyhow::Result<_> {
            let file = File::open(bound).with_context(|| format!("{name}: cannot be read"))?;
            Ok(BufReader::with_capacity(1 << 20, file))
        };
        let undoings = foresee(&mut evaluation, open, &name, at_ms)?;
        expected.undone_ms = undoings.last_ms;
        let mut lines = BoundLines::new(open()?, &name, at_ms);
        let mut events = BufWriter::new(File::create(folder.join("events.jsonl"))?);
        let kept_from_ms = events_kept_from(now_ms);
        let (mut views, mut definitions) = (Views::default(), Vec::new());
        let mut erasures = Erasures::default();
        while let Some(tick) = lines.next_tick()? {
            let rows = evaluation.tick(&tick)?;
            for row in &rows {
                match row {
                    Row::Definition(row) => definitions.push(row.clone()),
                    Row::Erasure(row) => erasures.take_in(row),
                    _ => {}
                }
                views.fold(row.clone());
            }
            let records = number(&binding(&tick), rows, Vec::new(), &keys)?.records;
            for record in &records {
                expected.feed(record.view, record.partition, &record.value)?;
            }
            let accepted = records.iter().filter(|record| record.view == View::Events);
            let accepted = accepted.map(|record| &*record.value);
            write_events(&mut events, accepted, kept_from_ms, &undoings.jobs)?;
        }
        events.flush()?;
        erasures.empty(folder, "events.jsonl")?;
        for writer in expected.feeds.values_mut() {
            writer.flush()?;
        }
        files::write(&views, folder)?;
        files::file(folder, "reconciliation", views.reconciliation())?;
        files::file(folder, "backfills", views.backfills())?;
        for kind in ["segment", "metric"] {
            let rows = in_force(&definitions, kind);
            files::file(folder, &format!("{kind}_definitions"), rows.into_iter())?;
        }
        Ok(expected)
    }

    /// The rows of a view.
    pub fn view(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.jsonl"))
    }

    /// The records of one partition of a feed; none if it has none.
    pub fn feed_file(&self, view: View, partition: u32) -> Option<PathBuf> {
        self.feeds.contains_key(&(view, partition)).then(|| self.feed_path(view, partition))
    }

    fn feed_path(&self, view: View, partition: u32) -> PathBuf {
        self.folder.join(format!("feed-{}-{partition}.jsonl", view.name()))
    }

    fn feed(&mut self, view: View, partition: u32, value: &[u8]) -> anyhow::Result<()> {
        let path = self.feed_path(view, partition);
        let out = match self.feeds.entry((view, partition)) {
            std::collections::btree_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(BufWriter::new(File::create(path)?))
            }
        };
        out.write_all(value)?;
        Ok(out.write_all(b"\n")?)
    }
}

/// Events that happened earlier may have left ClickHouse; those of `customer.*` and `segment.*` stay.
pub fn events_kept_from(now_ms: Millis) -> Millis {
    minus_months(now_ms, KEPT_MONTHS)
}

/// Writes the events of one tick in the order of their ordinals; records come in that of their keys.
fn write_events<'v>(
    out: &mut impl Write,
    values: impl Iterator<Item = &'v [u8]>,
    kept_from_ms: Millis,
    undone: &BTreeSet<Arc<str>>,
) -> anyhow::Result<()> {
    let rows: Result<Vec<Value>, _> = values.map(serde_json::from_slice).collect();
    let mut rows = rows?;
    rows.retain(|row| is_kept(row, kept_from_ms) && !is_undone(row, undone));
    rows.sort_by_key(|row| row["ordinal"].as_u64());
    for row in rows {
        // A live event is written without a job. The view shows when it arrived.
        let value = |name: &str| {
            let name = if name == "logical_time" { "received_at" } else { name };
            row.get(name).cloned().unwrap_or_else(|| json!(""))
        };
        let column = |name: &&str| ((*name).to_owned(), value(name));
        let shown: serde_json::Map<String, Value> = EVENT_COLUMNS.iter().map(column).collect();
        serde_json::to_writer(&mut *out, &shown)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Erasures stay.
fn is_undone(row: &Value, undone: &BTreeSet<Arc<str>>) -> bool {
    let is_erasure = row["source_module"] == "cdp" && row["event_name"] == "customer.erased";
    !is_erasure && row["backfill_job"].as_str().is_some_and(|job| undone.contains(job))
}

fn is_kept(row: &Value, kept_from_ms: Millis) -> bool {
    let name = row["event_name"].as_str().unwrap_or_default();
    ["customer.", "segment."].iter().any(|prefix| name.starts_with(prefix))
        || row["occurred_at"].as_str() >= Some(&format_rfc3339(kept_from_ms))
}

/// What rows are numbered by; nothing else of it is part of a row.
fn binding(tick: &Tick) -> Binding {
    Binding {
        number: tick.number,
        t_ms: tick.t_ms,
        generation: 0,
        logic_version: LOGIC_VERSION,
        previous: Digest::NONE,
        first_ordinal: tick.first_ordinal,
        ranges: Vec::new(),
    }
}

/// Every definition that was ever in force, by account, id and time.
fn in_force(rows: &[DefinitionRow], kind: &str) -> Vec<Value> {
    let mut by_id: BTreeMap<(&str, &str), Vec<&DefinitionRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == kind) {
        by_id.entry((&row.account_id, &row.id)).or_default().push(row);
    }
    let mut shown = Vec::new();
    for rows in by_id.values() {
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.deleted == 0) {
            shown.push(json!({
                "account_id": row.account_id, "id": row.id, "version": row.version,
                "title": row.title, "definition": row.definition,
                "valid_from": format_rfc3339(row.logical_time), "changed_by": row.changed_by,
                "valid_to": rows.get(at + 1).map(|next| format_rfc3339(next.logical_time)),
            }));
        }
    }
    shown
}
