//! Reads one partition of a topic in order, and tells where it ends.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ClientError, Consumer, KafkaOptions, Quiet, with_retries};

/// What [`TopicReader::poll`] came upon.
pub(crate) enum Entry {
    /// The next record; an absent value is an empty one.
    Record(Vec<u8>),
    /// All that was committed when this was asked has been read.
    End,
}

pub(crate) struct TopicReader {
    consumer: Consumer,
    topic: String,
    complaints: Quiet,
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
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, offset)
            .and_then(|()| consumer.assign(&assignment))
            .map_err(ClientError::on(format!("read {topic}")))?;
        Ok(TopicReader { consumer, topic: topic.to_owned(), complaints: Quiet::default() })
    }

    /// The next record or the end, if either comes within `timeout`. While the broker is away
    /// nothing comes; the client keeps trying.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub(crate) fn poll(&mut self, timeout: Duration) -> Result<Option<Entry>, ClientError> {
        match self.consumer.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => {
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
