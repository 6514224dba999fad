//! Appends records to a topic of one partition, each acknowledged by every in-sync replica.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::client::{ClientError, KafkaOptions};

/// Appends to one topic.
pub struct Appender {
    producer: BaseProducer<Outcome>,
    outcome: Outcome,
    topic: String,
    patience: Duration,
}

impl Appender {
    /// `patience`: how long an acknowledgement may take.
    ///
    /// # Errors
    /// The client cannot be made with these options.
    pub fn open(
        options: &KafkaOptions,
        topic: &str,
        patience: Duration,
    ) -> Result<Appender, ClientError> {
        let outcome = Outcome::default();
        let millis = patience.as_millis().max(1_000).to_string();
        let producer = options
            .producer(&[("message.timeout.ms", &millis)])
            .create_with_context(outcome.clone())
            .map_err(ClientError::on(format!("append to {topic}")))?;
        Ok(Appender { producer, outcome, topic: topic.to_owned(), patience })
    }

    /// Appends `records` in this order, and returns the offset of the last one.
    ///
    /// # Errors
    /// Not all could be delivered in time. Those that are missing may still arrive.
    pub fn append(&mut self, records: &[Vec<u8>]) -> Result<i64, ClientError> {
        let action = || format!("append to {}", self.topic);
        *self.outcome.lock() = Delivered::default();
        for record in records {
            let message = BaseRecord::<(), [u8]>::to(&self.topic).partition(0).payload(record);
            let sent = self.producer.send(message);
            sent.map_err(|(error, _)| ClientError { action: action(), error })?;
        }
        let deadline = Instant::now() + self.patience + Duration::from_secs(1);
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::from_millis(20));
        }
        let Delivered { count, last, error } = std::mem::take(&mut *self.outcome.lock());
        let lacking = (count < records.len()).then_some(KafkaError::Canceled);
        match (error.or(lacking), last) {
            (None, Some(offset)) => Ok(offset),
            (error, _) => {
                let error = error.unwrap_or(KafkaError::Canceled);
                Err(ClientError { action: action(), error })
            }
        }
    }
}

/// What became of the records of one call.
#[derive(Default)]
struct Delivered {
    count: usize,
    last: Option<i64>,
    error: Option<KafkaError>,
}

#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Delivered>>);

impl Outcome {
    fn lock(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl rdkafka::ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        let mut delivered = self.lock();
        match result {
            Ok(message) => {
                delivered.count += 1;
                delivered.last = delivered.last.max(Some(message.offset()));
            }
            Err((error, _)) => delivered.error = Some(error.clone()),
        }
    }
}
