//! What is out already: `cebe.out.progress`, one record a tick, in order of binding.

use std::time::Duration;

use cebe_schemas::row::Progress;
use cebe_schemas::time::Millis;
use rdkafka::Offset;

use crate::kafka::client::{ClientError, KafkaOptions};
use crate::kafka::reader::{Entry, TopicReader};

/// The progress topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Kafka refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A record that no engine wrote.
    #[error("{topic}: cannot read the record after binding {after}: {error}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// The binding of the record before; 0: none.
        after: u64,
        /// What is wrong with it.
        #[source]
        error: serde_json::Error,
    },
}

/// The newest progress record that is committed; none if nothing was ever published, or all of it
/// is older than the topic's retention. Ask after `init_transactions`: what an engine before
/// this one had begun is then either committed or gone.
///
/// # Errors
/// [`ProgressError`].
pub fn last(options: &KafkaOptions) -> Result<Option<Progress>, ProgressError> {
    let topic = &options.topics.progress;
    // A tick takes two offsets: its record and the end of its transaction.
    let mut look_back = 64;
    loop {
        let (start, end) = TopicReader::watermarks(options, topic)?;
        let from = end.saturating_sub(look_back).max(start);
        let mut log = ProgressLog::from_offset(options, Offset::Offset(from))?;
        let mut last = None;
        while let Some(progress) = log.read()? {
            last = Some(progress);
        }
        if last.is_some() || from == start {
            return Ok(last);
        }
        look_back = look_back.saturating_mul(16);
    }
}

/// Reads progress records one after the other, beside a replay of the bindings.
pub struct ProgressLog {
    reader: TopicReader,
    topic: String,
    ahead: Option<Progress>,
    after: u64,
    ended: bool,
}

impl ProgressLog {
    /// From the oldest that is held and of a tick after `t_ms`.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn since(options: &KafkaOptions, t_ms: Millis) -> Result<ProgressLog, ProgressError> {
        // A record carries the T of its tick.
        let from = TopicReader::offset_since(options, &options.topics.progress, t_ms + 1)?;
        ProgressLog::from_offset(options, from.map_or(Offset::End, Offset::Offset))
    }

    fn from_offset(options: &KafkaOptions, offset: Offset) -> Result<ProgressLog, ProgressError> {
        let topic = options.topics.progress.clone();
        let reader = TopicReader::open(options, &topic, offset)?;
        Ok(ProgressLog { reader, topic, ahead: None, after: 0, ended: false })
    }

    /// The progress of `binding`; none if it was not published, or is older than the topic's
    /// retention. Has to be asked in order.
    ///
    /// # Errors
    /// [`ProgressError`].
    pub fn of(&mut self, binding: u64) -> Result<Option<Progress>, ProgressError> {
        loop {
            match self.ahead.take() {
                Some(progress) if progress.binding == binding => return Ok(Some(progress)),
                Some(progress) if progress.binding > binding => {
                    self.ahead = Some(progress);
                    return Ok(None);
                }
                _ => self.ahead = self.read()?,
            }
            if self.ahead.is_none() {
                return Ok(None);
            }
        }
    }

    /// The next record; none at the end. What comes after that is from the asking engine itself.
    fn read(&mut self) -> Result<Option<Progress>, ProgressError> {
        while !self.ended {
            match self.reader.poll(Duration::from_secs(1))? {
                None => {}
                Some(Entry::End) => self.ended = true,
                Some(Entry::Record(bytes)) => {
                    let progress: Progress = serde_json::from_slice(&bytes).map_err(|error| {
                        let (topic, after) = (self.topic.clone(), self.after);
                        ProgressError::Unreadable { topic, after, error }
                    })?;
                    self.after = progress.binding;
                    return Ok(Some(progress));
                }
            }
        }
        Ok(None)
    }
}
