//! Reads and appends to `cebe.jobs`.

use std::time::Duration;

use rdkafka::Offset;

use super::job::{JobRecord, Jobs, Says};
use crate::clock;
use crate::kafka::append::Appender;
use crate::kafka::client::{ClientError, KafkaOptions};
use crate::kafka::reader::{Entry, TopicReader};

const PATIENCE: Duration = Duration::from_secs(15);

/// All jobs, kept up to date.
pub struct JobLog {
    reader: TopicReader,
    jobs: Jobs,
}

impl JobLog {
    /// Reads everything so far, however long Kafka is away. The topic has to be there.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(kafka: &KafkaOptions) -> Result<JobLog, ClientError> {
        let reader = TopicReader::open(kafka, &kafka.topics.jobs, Offset::Beginning)?;
        let mut log = JobLog { reader, jobs: Jobs::default() };
        while !log.read_one(Duration::from_secs(1))?.is_some_and(|is_end| is_end) {}
        Ok(log)
    }

    /// The jobs, as far as they were read.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Reads the next record, if one comes within `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<(), ClientError> {
        self.read_one(timeout).map(drop)
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn poll(&mut self) -> Result<(), ClientError> {
        while self.read_one(Duration::ZERO)? == Some(false) {}
        Ok(())
    }

    /// Whether that was the end; none: nothing came.
    fn read_one(&mut self, timeout: Duration) -> Result<Option<bool>, ClientError> {
        let Some(entry) = self.reader.poll(timeout)? else { return Ok(None) };
        let Entry::Record(bytes) = entry else { return Ok(Some(true)) };
        match serde_json::from_slice::<JobRecord>(&bytes) {
            Ok(record) => self.jobs.take_in(record),
            // Of a newer version, or somebody else's: what is known of the others holds all the same.
            Err(error) => tracing::warn!(%error, "a record on cebe.jobs cannot be read"),
        }
        Ok(Some(false))
    }
}

/// Appends what happened to `job`.
///
/// # Errors
/// It could not be delivered; it may still arrive.
pub fn append(kafka: &KafkaOptions, job: &str, says: Says) -> Result<(), ClientError> {
    let mut appender = Appender::open(kafka, &kafka.topics.jobs, PATIENCE)?;
    appender.append(&[record(job, says)]).map(drop)
}

/// A record on `cebe.jobs`. Nothing in it can fail to be JSON.
pub(super) fn record(job: &str, says: Says) -> Vec<u8> {
    let record = JobRecord { job: job.to_owned(), at_ms: clock::now_ms(), says };
    serde_json::to_vec(&record).unwrap_or_default()
}
