//! A file of events as ticks: lines of equal arrival are one logical time.
//!
//! A line is record number `offset` (from 0, blank lines counted) of the file, on the topic that its
//! source would have in Kafka, so that a rejected row leads back to its line.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use anyhow::{Context, bail};
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::source::Record;
use cebe_schemas::time::{Millis, format_rfc3339};

use super::line::{Content, Line, read};
use super::tick::Tick;

/// Reads ticks.
pub struct Lines<R> {
    reader: R,
    name: String,
    at_ms: Millis,
    topics: Topics,
    /// Source → topic.
    names: HashMap<String, Arc<str>>,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    /// Whether lines have a `received_at`: as the first readable one.
    stamped: Option<bool>,
    /// The T of `records`; none while no readable line has come.
    t_ms: Option<Millis>,
    records: Vec<Record>,
    ticks: u64,
    next_ordinal: u64,
    ended: Option<Ended>,
}

/// Where reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the end.
    Whole,
    /// At this line, the first that arrived after `--at`.
    Before(u64),
}

impl<R: BufRead> Lines<R> {
    /// Reads the file called `name` as far as it has arrived at `at_ms`.
    pub fn new(reader: R, name: &str, at_ms: Millis) -> Lines<R> {
        Lines {
            reader,
            name: name.to_owned(),
            at_ms,
            topics: Topics::default(),
            names: HashMap::new(),
            line: Vec::new(),
            number: 0,
            bytes: 0,
            stamped: None,
            t_ms: None,
            records: Vec::new(),
            ticks: 0,
            next_ordinal: 0,
            ended: None,
        }
    }

    /// The next tick; none at the end.
    ///
    /// # Errors
    /// Names the line that breaks a rule.
    pub fn next_tick(&mut self) -> anyhow::Result<Option<Tick>> {
        while self.ended.is_none() {
            self.line.clear();
            let read_bytes = self.reader.read_until(b'\n', &mut self.line);
            let read_bytes =
                read_bytes.with_context(|| format!("{}: cannot be read", self.name))?;
            if read_bytes == 0 {
                self.ended = Some(Ended::Whole);
                break;
            }
            self.number += 1;
            self.bytes += read_bytes as u64;
            let mut line = std::mem::take(&mut self.line);
            let tick = self.take_line(&line);
            line.clear();
            self.line = line;
            if let Some(tick) = tick.with_context(|| format!("{}:{}", self.name, self.number))? {
                return Ok(Some(tick));
            }
        }
        if self.records.is_empty() {
            return Ok(None);
        }
        let t_ms = self.t_ms.unwrap_or(self.at_ms);
        Ok(Some(self.tick(t_ms)))
    }

    /// Bytes read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where reading ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// The tick before this line, if the line begins another.
    fn take_line(&mut self, line: &[u8]) -> anyhow::Result<Option<Tick>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let (topic, payload, received_at) = match read(line).map_err(anyhow::Error::msg)? {
            Line::Unreadable(payload) => {
                let topic = self.topic("");
                self.push(topic, payload.to_vec());
                return Ok(None);
            }
            Line::Readable { received_at, content } => match content {
                Content::Control(record) => {
                    (self.topics.control.as_str().into(), record.to_vec(), received_at)
                }
                Content::Event { source, payload } => {
                    (self.topic(&source), payload.into_owned(), received_at)
                }
            },
        };
        let arrival_ms = self.arrival(received_at)?;
        if arrival_ms > self.at_ms {
            self.ended = Some(Ended::Before(self.number));
            // Unreadable lines before the first arrival take that arrival.
            if self.t_ms.is_none() {
                self.records.clear();
            }
            return Ok(None);
        }
        let before = match self.t_ms.replace(arrival_ms) {
            Some(t_ms) if t_ms < arrival_ms => Some(self.tick(t_ms)),
            _ => None,
        };
        self.push(topic, payload);
        Ok(before)
    }

    fn arrival(&mut self, received_at: Option<Millis>) -> anyhow::Result<Millis> {
        let stamped = *self.stamped.get_or_insert(received_at.is_some());
        match received_at {
            Some(_) if !stamped => bail!(
                "has received_at, and the lines before have none: give it on all lines or on none"
            ),
            None if stamped => {
                bail!("has no received_at, and the lines before have: give it on all lines or none")
            }
            Some(ms) if self.t_ms.is_some_and(|before| ms < before) => bail!(
                "received_at {} is earlier than on the line before: sort the lines by arrival",
                format_rfc3339(ms)
            ),
            received_at => Ok(received_at.unwrap_or(self.at_ms)),
        }
    }

    fn topic(&mut self, source: &str) -> Arc<str> {
        if let Some(topic) = self.names.get(source) {
            return topic.clone();
        }
        let topic: Arc<str> = self.topics.events(source).into();
        self.names.insert(source.to_owned(), topic.clone());
        topic
    }

    fn push(&mut self, topic: Arc<str>, payload: Vec<u8>) {
        let offset = self.number as i64 - 1;
        self.records.push(Record { topic, offset, created_ms: -1, payload, ..Record::default() });
    }

    fn tick(&mut self, t_ms: Millis) -> Tick {
        let records = std::mem::take(&mut self.records);
        self.ticks += 1;
        let first_ordinal = self.next_ordinal;
        self.next_ordinal += records.len() as u64;
        Tick { number: self.ticks, t_ms, first_ordinal, records }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(text: &str, at_ms: Millis) -> anyhow::Result<Vec<(Millis, Vec<i64>)>> {
        let mut lines = Lines::new(text.as_bytes(), "f", at_ms);
        let mut ticks = Vec::new();
        while let Some(tick) = lines.next_tick()? {
            ticks.push((tick.t_ms, tick.records.iter().map(|r| r.offset + 1).collect()));
        }
        Ok(ticks)
    }

    #[test]
    fn lines_of_equal_arrival_are_one_tick() {
        let text = "{\"received_at\":1}\n\n{\"received_at\":1}\r\n{\"received_at\":3}";
        assert_eq!(ticks(text, 9).unwrap(), [(1, vec![1, 3]), (3, vec![4])]);
    }

    #[test]
    fn an_unreadable_line_arrives_with_the_line_before_or_with_the_first() {
        let text = "x\n{\"received_at\":2}\ny\n{\"received_at\":5}\n";
        assert_eq!(ticks(text, 9).unwrap(), [(2, vec![1, 2, 3]), (5, vec![4])]);
        assert_eq!(ticks("x\ny\n", 9).unwrap(), [(9, vec![1, 2])], "nothing says when");
    }

    #[test]
    fn lines_after_at_are_not_read() {
        let text = "x\n{\"received_at\":2}\ny\n{\"received_at\":5}\nx\n{\"received_at\":1}";
        assert_eq!(ticks(text, 4).unwrap(), [(2, vec![1, 2, 3])]);
        assert_eq!(ticks(text, 1).unwrap(), []);
    }

    #[test]
    fn without_arrivals_all_is_one_tick_at_the_end() {
        assert_eq!(ticks("{}\nx\n{}", 7).unwrap(), [(7, vec![1, 2, 3])]);
        assert_eq!(ticks("", 7).unwrap(), []);
    }

    #[test]
    fn a_line_that_breaks_a_rule_is_named() {
        for (text, line, says) in [
            ("{\"received_at\":2}\n{\"received_at\":1}", "f:2", "sort"),
            ("{\"received_at\":2}\nx\n{}", "f:3", "no received_at"),
            ("{}\n{\"received_at\":1}", "f:2", "all lines or on none"),
            ("\n{\"received_at\":\"soon\"}", "f:2", "/received_at must be"),
        ] {
            let error = format!("{:#}", ticks(text, 9).unwrap_err());
            assert!(error.starts_with(line) && error.contains(says), "{error}");
        }
    }
}
