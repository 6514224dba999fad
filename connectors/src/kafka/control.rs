//! Appends records to `cebe.control` (a flag, a definition, a setting) and reads them back.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::sync::{Arc, Mutex, PoisonError};

use super::client::{ClientError, KafkaOptions};
use super::reader::{Entry, TopicReader};
use crate::binding::LogRecord;

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
    let action = || format!("append to {}", options.topics.control);
    let outcome = Outcome::default();
    let millis = timeout.as_millis().max(1_000).to_string();
    let producer: BaseProducer<Outcome> = options
        .producer(&[("message.timeout.ms", &millis)])
        .create_with_context(outcome.clone())
        .map_err(ClientError::on(action()))?;
    let message = BaseRecord::<(), [u8]>::to(&options.topics.control).partition(0).payload(record);
    producer.send(message).map_err(|(error, _)| ClientError { action: action(), error })?;
    let deadline = Instant::now() + timeout + Duration::from_secs(1);
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        producer.poll(Duration::from_millis(20));
    }
    let delivered = outcome.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    delivered.unwrap_or(Err(KafkaError::Canceled)).map_err(ClientError::on(action()))
}

/// Every control record so far, in order.
///
/// # Errors
/// The topic cannot be read.
pub fn read(options: &KafkaOptions) -> Result<Vec<Vec<u8>>, ClientError> {
    let mut reader = TopicReader::open(options, &options.topics.control, Offset::Beginning)?;
    let mut records = Vec::new();
    loop {
        match reader.poll(Duration::from_secs(1))? {
            None => {}
            Some(Entry::Record(record)) => records.push(record),
            Some(Entry::End) => return Ok(records),
        }
    }
}

/// Waits until an engine has bound the control record at `offset`: from then on it is in force.
/// False if none has within `timeout`; it will be as soon as an engine runs.
///
/// # Errors
/// The log of bindings cannot be read.
pub fn wait_in_force(
    options: &KafkaOptions,
    offset: i64,
    timeout: Duration,
) -> Result<bool, ClientError> {
    let topics = &options.topics;
    let (start, end) = TopicReader::watermarks(options, &topics.bindings)?;
    let from = Offset::Offset(end.saturating_sub(LOOK_BACK).max(start));
    let mut reader = TopicReader::open(options, &topics.bindings, from)?;
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        let Some(Entry::Record(bytes)) = reader.poll(Duration::from_millis(100))? else { continue };
        let Ok(LogRecord::Binding(binding)) = LogRecord::from_bytes(&bytes) else { continue };
        if binding.ranges.iter().any(|r| *r.topic == topics.control && r.to > offset) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Option<Result<i64, KafkaError>>>>);

impl rdkafka::ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}
