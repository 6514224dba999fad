//! Reads `cebe.history` without taking part in it.

use std::time::Duration;

use cebe_schemas::history::HistoryRecord;
use cebe_schemas::time::Millis;
use rdkafka::Offset;

use super::client::{ClientError, KafkaOptions};
use super::reader::{Entry, TopicReader};

/// What waits, and what has been read.
pub struct HistoryLog {
    reader: TopicReader,
}

/// What [`HistoryLog::poll`] came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryEntry {
    /// The next record.
    Record(HistoryRecord),
    /// One that no engine wrote.
    Unreadable,
    /// All that was there has been read.
    End,
}

impl HistoryLog {
    /// Begins with what was written at `from_ms` or later.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn since(options: &KafkaOptions, from_ms: Millis) -> Result<HistoryLog, ClientError> {
        let topic = &options.topics.history;
        let offset = TopicReader::offset_since(options, topic, from_ms)?;
        let from = offset.map_or(Offset::End, Offset::Offset);
        Ok(HistoryLog { reader: TopicReader::open(options, topic, from)? })
    }

    /// The next entry, if one comes within `timeout`.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn poll(&mut self, timeout: Duration) -> Result<Option<HistoryEntry>, ClientError> {
        Ok(match self.reader.poll(timeout)? {
            None => None,
            Some(Entry::End) => Some(HistoryEntry::End),
            Some(Entry::Record(bytes)) => Some(match serde_json::from_slice(&bytes) {
                Ok(record) => HistoryEntry::Record(record),
                Err(_) => HistoryEntry::Unreadable,
            }),
        })
    }
}
