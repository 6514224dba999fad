//! Records as they come from Kafka.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cebe_connectors::kafka::source::Record;
use cebe_schemas::time::{Millis, parse_rfc3339};
use serde_json::Value;

use super::seeded::Seeded;

/// Where events come from, one after the other.
pub struct Source {
    from: Origin,
    topics: HashMap<String, Arc<str>>,
    n: u64,
}

enum Origin {
    Seeded(Seeded),
    File(Lines<BufReader<File>>),
}

/// Records of one tick, and when the last of them says that it arrives.
#[derive(Default)]
pub struct Batch {
    pub records: Vec<Record>,
    pub at_ms: Option<Millis>,
}

impl Source {
    pub fn seeded(seeded: Seeded) -> Source {
        Source { from: Origin::Seeded(seeded), topics: HashMap::new(), n: 0 }
    }

    /// The lines of a file.
    pub fn file(path: &Path) -> anyhow::Result<Source> {
        let file =
            File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let lines = BufReader::with_capacity(1 << 20, file).lines();
        Ok(Source { from: Origin::File(lines), topics: HashMap::new(), n: 0 })
    }

    /// Lets seeded events from here on arrive after `at_ms`, at the pace of the moving clock.
    pub fn move_clock(&mut self, at_ms: Millis) {
        if let Origin::Seeded(seeded) = &mut self.from {
            seeded.moving_from = Some((self.n, at_ms));
        }
    }

    /// The next `count` events; fewer at the end of a file.
    pub fn take(&mut self, count: usize) -> anyhow::Result<Batch> {
        let mut batch = Batch { records: Vec::with_capacity(count), at_ms: None };
        for _ in 0..count {
            let (source, line, at_ms) = match &mut self.from {
                Origin::Seeded(seeded) => {
                    let (source, line) = seeded.event(self.n);
                    (source.to_owned(), line, Some(seeded.arrival_ms(self.n)))
                }
                Origin::File(lines) => match lines.next().transpose()? {
                    Some(line) => read(line)?,
                    None => break,
                },
            };
            batch.records.push(self.record(source, line));
            batch.at_ms = at_ms.or(batch.at_ms);
            self.n += 1;
        }
        Ok(batch)
    }

    fn record(&mut self, source: String, line: String) -> Record {
        let topic = format!("cebe.events.{source}").into();
        let topic = self.topics.entry(source).or_insert(topic).clone();
        let payload = line.into_bytes();
        Record { topic, offset: self.n as i64, created_ms: -1, payload, ..Record::default() }
    }
}

/// The source of a line, the line, and when it arrives if it says so.
fn read(line: String) -> anyhow::Result<(String, String, Option<Millis>)> {
    let event: Value = serde_json::from_str(&line)?;
    let received_at = &event["received_at"];
    let at_ms = received_at.as_i64().or(received_at.as_str().and_then(parse_rfc3339));
    let source = event["source_module"].as_str().unwrap_or_default().to_owned();
    Ok((source, line, at_ms))
}
