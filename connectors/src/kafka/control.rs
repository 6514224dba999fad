//! Appends records to `cebe.control` (a flag, a definition, a setting) and reads them back.

use std::time::{Duration, Instant};

use cebe_schemas::time::Millis;
use rdkafka::Offset;

use super::append::Appender;
use super::client::{ClientError, KafkaOptions};
use super::reader::{Entry, TopicReader};
use crate::binding::{Binding, LogRecord};

/// An engine may have bound a record before anybody looks: so many bindings back is far enough.
const LOOK_BACK: i64 = 1_000;

/// Appends `record`, a partial document of sources, definitions and settings (`ControlState`), and
/// returns its offset once every in-sync replica has it. It takes effect when the engine binds it.
///
/// # Errors
/// It could not be delivered within `timeout`. It may still arrive; appending it again is harmless.
pub fn publish(
    options: &KafkaOptions,
    record: &[u8],
    timeout: Duration,
) -> Result<i64, ClientError> {
    let mut appender = Appender::open(options, &options.topics.control, timeout)?;
    appender.append(&[record.to_vec()])
}

/// A record on `cebe.control`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// Where it is.
    pub offset: i64,
    /// When it was written; −1 if that is not known.
    pub created_ms: Millis,
    /// A partial document of sources, definitions and settings.
    pub payload: Vec<u8>,
}

/// Every control record so far, in order.
///
/// # Errors
/// The topic cannot be read.
pub fn read(options: &KafkaOptions) -> Result<Vec<ControlRecord>, ClientError> {
    let mut reader = TopicReader::open(options, &options.topics.control, Offset::Beginning)?;
    let mut records = Vec::new();
    loop {
        match reader.poll(Duration::from_secs(1))? {
            None => {}
            Some(Entry::Record(payload)) => {
                let (offset, created_ms) = reader.place();
                records.push(ControlRecord { offset, created_ms, payload });
            }
            Some(Entry::End) => return Ok(records),
        }
    }
}

/// Waits until an engine has bound the control record at `offset`, and returns the binding. None if
/// none has within `timeout`; it will be as soon as an engine runs.
///
/// # Errors
/// The log of bindings cannot be read.
pub fn wait_bound(
    options: &KafkaOptions,
    offset: i64,
    timeout: Duration,
) -> Result<Option<Binding>, ClientError> {
    let topics = &options.topics;
    let (start, end) = TopicReader::watermarks(options, &topics.bindings)?;
    let from = Offset::Offset(end.saturating_sub(LOOK_BACK).max(start));
    let mut reader = TopicReader::open(options, &topics.bindings, from)?;
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        let Some(Entry::Record(bytes)) = reader.poll(Duration::from_millis(100))? else { continue };
        let Ok(LogRecord::Binding(binding)) = LogRecord::from_bytes(&bytes) else { continue };
        if binding.ranges.iter().any(|r| *r.topic == topics.control && r.to > offset) {
            return Ok(Some(binding));
        }
    }
    Ok(None)
}
