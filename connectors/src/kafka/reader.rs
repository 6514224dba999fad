//! Reads one partition of a topic in order, and tells where it ends.

use std::time::Duration;

use cebe_schemas::time::Millis;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ClientError, Consumer, KafkaOptions, Quiet, with_retries};

/// What [`TopicReader::poll`] came upon.
pub(crate) enum Entry {
    /// The next record; an absent value is an empty one.
    Record(Vec<u8>),
    /// All that was committed when the reader was opened has been read, or when this was asked.
    End,
}

pub(crate) struct TopicReader {
    consumer: Consumer,
    topic: String,
    complaints: Quiet,
    place: (i64, Millis),
    /// Where the partition ended when this was opened: while records keep coming, the client tells of no end.
    end: i64,
    end_is_due: bool,
}

impl TopicReader {
    /// Begins at `offset` of the topic's only partition.
    pub(crate) fn open(
        options: &KafkaOptions,
        topic: &str,
        offset: Offset,
    ) -> Result<TopicReader, ClientError> {
        TopicReader::open_at(options, topic, 0, offset)
    }

    /// Begins at `offset` of one partition.
    pub(crate) fn open_at(
        options: &KafkaOptions,
        topic: &str,
        partition: i32,
        offset: Offset,
    ) -> Result<TopicReader, ClientError> {
        let consumer = options.consumer(&[("enable.partition.eof", "true")])?;
        // Without knowing the leader first, the client looks for it only once a second.
        with_retries(|| {
            let action = ClientError::on(format!("find {topic}"));
            consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).map_err(action)
        })?;
        let (_, end) = with_retries(|| {
            let action = ClientError::on(format!("find the end of {topic}"));
            consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).map_err(action)
        })?;
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, offset)
            .and_then(|()| consumer.assign(&assignment))
            .map_err(ClientError::on(format!("read {topic}")))?;
        Ok(TopicReader {
            consumer,
            topic: topic.to_owned(),
            complaints: Quiet::default(),
            place: (-1, -1),
            end,
            end_is_due: false,
        })
    }

    /// The next record or the end, if either comes within `timeout`. While the broker is away
    /// nothing comes; the client keeps trying.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub(crate) fn poll(&mut self, timeout: Duration) -> Result<Option<Entry>, ClientError> {
        if std::mem::take(&mut self.end_is_due) {
            return Ok(Some(Entry::End));
        }
        match self.consumer.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => {
                self.end_is_due = self.place.0 < self.end - 1 && message.offset() >= self.end - 1;
                self.place = (message.offset(), message.timestamp().to_millis().unwrap_or(-1));
                Ok(Some(Entry::Record(message.payload().unwrap_or_default().to_vec())))
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Some(Entry::End)),
            Some(Err(error)) => {
                // A topic may be unknown for a moment after a broker has started.
                let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
                    || matches!(
                        error.rdkafka_error_code(),
                        Some(Code::AutoOffsetReset | Code::TopicAuthorizationFailed)
                    );
                let error = ClientError { action: format!("read {}", self.topic), error };
                if fatal {
                    return Err(error);
                }
                self.complaints.retrying(&error);
                Ok(None)
            }
        }
    }

    /// Offset and create time of the last record.
    pub(crate) fn place(&self) -> (i64, Millis) {
        self.place
    }

    /// The first offset whose record was created at `from_ms` or later; none: there is no such.
    pub(crate) fn offset_since(
        options: &KafkaOptions,
        topic: &str,
        from_ms: Millis,
    ) -> Result<Option<i64>, ClientError> {
        let consumer = options.consumer(&[])?;
        let action = || ClientError::on(format!("find the offset of a time in {topic}"));
        let mut times = TopicPartitionList::new();
        times.add_partition_offset(topic, 0, Offset::Offset(from_ms)).map_err(action())?;
        let found = with_retries(|| {
            consumer.offsets_for_times(times.clone(), Duration::from_secs(5)).map_err(action())
        })?;
        let offset = found.find_partition(topic, 0).map(|found| found.offset());
        Ok(offset.and_then(|offset| offset.to_raw()).filter(|offset| *offset >= 0))
    }

    /// First offset held and the offset after the last committed record.
    pub(crate) fn watermarks(
        options: &KafkaOptions,
        topic: &str,
    ) -> Result<(i64, i64), ClientError> {
        TopicReader::watermarks_of(options, topic, 0)
    }

    /// The same of one partition.
    pub(crate) fn watermarks_of(
        options: &KafkaOptions,
        topic: &str,
        partition: i32,
    ) -> Result<(i64, i64), ClientError> {
        let consumer = options.consumer(&[])?;
        with_retries(|| {
            let action = ClientError::on(format!("find the end of {topic}"));
            consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).map_err(action)
        })
    }
}
