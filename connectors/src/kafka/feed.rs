//! Reads what a view's topic holds, one partition after the other.

use std::time::Duration;

use cebe_schemas::view::View;
use rdkafka::Offset;

use super::client::{ClientError, KafkaOptions};
use super::reader::{Entry, TopicReader};

/// One partition of a feed, as a subscriber sees it.
pub struct Feed {
    reader: TopicReader,
    ended: bool,
}

impl Feed {
    /// Begins at the oldest record that is held.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(options: &KafkaOptions, view: View, partition: u32) -> Result<Feed, ClientError> {
        let (topic, partition) = (options.topics.out(view), partition as i32);
        let reader = TopicReader::open_at(options, &topic, partition, Offset::Beginning)?;
        Ok(Feed { reader, ended: false })
    }

    /// The value of the next record; none at the end.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn next_value(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        while !self.ended {
            match self.reader.poll(Duration::from_secs(1))? {
                None => {}
                Some(Entry::End) => self.ended = true,
                Some(Entry::Record(value)) => return Ok(Some(value)),
            }
        }
        Ok(None)
    }

    /// The first offset that is held: more than 0 once retention has removed any.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn first_offset(
        options: &KafkaOptions,
        view: View,
        partition: u32,
    ) -> Result<i64, ClientError> {
        let topic = options.topics.out(view);
        Ok(TopicReader::watermarks_of(options, &topic, partition as i32)?.0)
    }
}
