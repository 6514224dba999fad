//! What an engine has bound, as a file: a line for each binding, then one for each of its records,
//! in the order of their ordinals. Empty bindings are there too: time has passed.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cebe_connectors::adapter::{Adapter, Past};
use cebe_connectors::binding::Binding;
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::source::Record;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_schemas::control::ControlState;
use cebe_schemas::time::{Millis, rfc3339};
use cebe_schemas::verdict::Judge;
use serde::{Deserialize, Serialize};

use super::Evaluation;
use super::tick::Tick;

/// How every such file begins.
pub const MAGIC: &[u8] = b"{\"bound\":{";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    bound: Bound,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    number: u64,
    #[serde(with = "rfc3339")]
    t: Millis,
    first_ordinal: u64,
    records: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    created_ms: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// Instead of `payload`, where that is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    job: Arc<str>,
}

/// Appends one binding and its records.
pub fn write(out: &mut impl Write, binding: &Binding, records: Vec<Record>) -> anyhow::Result<()> {
    let bound = Bound {
        number: binding.number,
        t: binding.t_ms,
        first_ordinal: binding.first_ordinal,
        records: records.len() as u64,
    };
    serde_json::to_writer(&mut *out, &Head { bound })?;
    out.write_all(b"\n")?;
    for Record { topic, partition, offset, created_ms, payload, job } in records {
        let (payload, payload_base64) = match String::from_utf8(payload) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
        };
        let line = Line { topic, partition, offset, created_ms, payload, payload_base64, job };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Tells `evaluation` what the control records of the file called `name` define, and which backfills they undo.
/// Each definition is read by itself: what it looks at does not depend on the others, and more than is needed
/// does no harm. The file is read once or twice.
pub fn foresee<R: BufRead>(
    evaluation: &mut Evaluation,
    open: impl Fn() -> anyhow::Result<R>,
    name: &str,
    at_ms: Millis,
) -> anyhow::Result<Undoings> {
    let topics = Topics::default();
    let mut lines = BoundLines::new(open()?, name, at_ms);
    let mut undoes = false;
    while let Some(tick) = lines.next_tick()? {
        for record in tick.records.iter().filter(|record| *record.topic == topics.control) {
            let mut control = ControlState::new();
            match control.apply(&record.payload) {
                Ok(applied) if applied.definitions_changed => {
                    evaluation.foresee(&control.definitions());
                }
                Ok(applied) => undoes |= applied.backfills_changed,
                Err(_) => {}
            }
        }
    }
    if !undoes {
        return Ok(Undoings::default());
    }
    let undoings = Undoings::find(evaluation.judge(), open()?, name, at_ms)?;
    evaluation.leave_out(undoings.jobs.iter().cloned());
    Ok(undoings)
}

/// Which backfills are undone at the end of a file, and when the last was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undoings {
    pub jobs: BTreeSet<Arc<str>>,
    pub last_ms: Option<Millis>,
}

impl Undoings {
    /// Whether a control record is in force depends on those before it, and on history.
    fn find(
        judge: &Judge,
        reader: impl BufRead,
        name: &str,
        at_ms: Millis,
    ) -> anyhow::Result<Self> {
        let (keys, control) = (MemoryKeyIndex::default(), ControlState::new());
        let mut adapter =
            Adapter::new(judge.clone(), Topics::default(), keys, control).with_past(Past::Checked);
        let mut lines = BoundLines::new(reader, name, at_ms);
        let mut undoings = Undoings::default();
        while let Some(tick) = lines.next_tick()? {
            adapter.adapt(tick.t_ms, tick.first_ordinal, &tick.records)?;
            let undone = adapter.control().undoing().undone();
            if undone.len() > undoings.jobs.len() {
                undoings = Undoings { jobs: undone.clone(), last_ms: Some(tick.t_ms) };
            }
        }
        Ok(undoings)
    }
}

/// Reads ticks from such a file.
pub struct BoundLines<R> {
    reader: R,
    name: String,
    at_ms: Millis,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> BoundLines<R> {
    /// Reads the file called `name` as far as it was bound at `at_ms`.
    pub fn new(reader: R, name: &str, at_ms: Millis) -> BoundLines<R> {
        BoundLines { reader, name: name.to_owned(), at_ms, number: 0, bytes: 0 }
    }

    /// The next tick; none at the end.
    ///
    /// # Errors
    /// Names the line that is not of this form.
    pub fn next_tick(&mut self) -> anyhow::Result<Option<Tick>> {
        let Some(line) = self.line()? else { return Ok(None) };
        let Head { bound } = self.parse(&line)?;
        if bound.t > self.at_ms {
            return Ok(None);
        }
        let mut records = Vec::new();
        for _ in 0..bound.records {
            let Some(line) = self.line()? else {
                bail!("{}: ends within binding {}: export it again", self.name, bound.number);
            };
            let Line { topic, partition, offset, created_ms, payload, payload_base64, job } =
                self.parse(&line)?;
            let payload = match (payload, payload_base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(text)) => STANDARD.decode(text).with_context(|| self.place())?,
                _ => bail!("{}: needs either payload or payload_base64", self.place()),
            };
            records.push(Record { topic, partition, offset, created_ms, payload, job });
        }
        let Bound { number, t: t_ms, first_ordinal, .. } = bound;
        Ok(Some(Tick { number, t_ms, first_ordinal, records }))
    }

    /// Bytes read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn line(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("{}: cannot be read", self.name))?;
        self.number += 1;
        self.bytes += read as u64;
        Ok((read > 0).then_some(line))
    }

    fn parse<'l, T: Deserialize<'l>>(&self, line: &'l [u8]) -> anyhow::Result<T> {
        serde_json::from_slice(line).with_context(|| self.place())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.name, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cebe_connectors::binding::Digest;

    fn binding(number: u64, t_ms: Millis, first_ordinal: u64) -> Binding {
        let previous = Digest::NONE;
        Binding {
            number,
            t_ms,
            generation: 1,
            logic_version: 1,
            previous,
            first_ordinal,
            ranges: vec![],
        }
    }

    #[test]
    fn what_is_written_is_read_also_bytes_that_are_no_text() {
        let record = |offset, payload: &[u8]| Record {
            topic: "cebe.events.cdp".into(),
            partition: 3,
            offset,
            created_ms: -1,
            payload: payload.to_vec(),
            job: "j".into(),
        };
        let records = vec![record(7, b"{\"a\":\n1}"), record(9, b"\xff\x00"), record(10, b"")];
        let mut file = Vec::new();
        write(&mut file, &binding(1, 5, 0), records.clone()).unwrap();
        write(&mut file, &binding(2, 6, 3), vec![]).unwrap();
        write(&mut file, &binding(3, 8, 3), vec![]).unwrap();
        assert!(file.starts_with(MAGIC));
        let mut lines = BoundLines::new(&file[..], "f", 6);
        let first = Tick { number: 1, t_ms: 5, first_ordinal: 0, records };
        let second = Tick { number: 2, t_ms: 6, first_ordinal: 3, records: vec![] };
        assert_eq!(lines.next_tick().unwrap(), Some(first));
        assert_eq!(lines.next_tick().unwrap(), Some(second));
        assert_eq!(lines.next_tick().unwrap(), None, "bound later");
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        let text = r#"{"bound":{"number":1,"t":"2026-11-23T00:00:00.000Z","first_ordinal":0,"records":1}}"#;
        let error = BoundLines::new(text.as_bytes(), "f", Millis::MAX).next_tick().unwrap_err();
        assert!(error.to_string().contains("ends within binding 1"), "{error}");
    }
}
