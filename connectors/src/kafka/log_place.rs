//! A place on `cebe.bindings`: what has been read by then, and where to go on.

use std::time::Duration;

use rdkafka::Offset;
use serde::{Deserialize, Serialize};

use super::client::{ClientError, KafkaOptions};
use super::reader::{Entry, TopicReader};
use crate::binding::Digest;
use crate::binding::chain::{Chain, ChainError, Reading};

/// What a reader of the log of bindings knows, and where it stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogPlace {
    /// What was read.
    pub chain: Chain,
    /// The offset after the last record read.
    next_offset: i64,
    /// The offset of the last binding that counts.
    head_offset: i64,
}

impl LogPlace {
    /// Takes in the next record.
    pub(super) fn read(&mut self, bytes: &[u8], offset: i64) -> Result<Reading, ChainError> {
        let reading = self.chain.read(bytes)?;
        self.next_offset = offset + 1;
        if matches!(reading, Reading::Binding(_)) {
            self.head_offset = offset;
        }
        Ok(reading)
    }

    /// Reads on from here.
    pub(super) fn reader(&self, options: &KafkaOptions) -> Result<TopicReader, ClientError> {
        let from = match self.next_offset {
            0 => Offset::Beginning,
            next => Offset::Offset(next),
        };
        TopicReader::open(options, &options.topics.bindings, from)
    }

    /// Whether the log is the one on which this is a place: its last binding stands where it stood.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn is_in_log(&self, options: &KafkaOptions) -> Result<bool, ClientError> {
        let topic = &options.topics.bindings;
        let (start, end) = TopicReader::watermarks(options, topic)?;
        if self.head_offset < start || self.next_offset > end {
            return Ok(false);
        }
        let mut reader = TopicReader::open(options, topic, Offset::Offset(self.head_offset))?;
        loop {
            match reader.poll(Duration::from_secs(1))? {
                None => {}
                Some(Entry::End) => return Ok(false),
                Some(Entry::Record(bytes)) => {
                    return Ok(Digest::of(&bytes) == self.chain.head().digest);
                }
            }
        }
    }
}
