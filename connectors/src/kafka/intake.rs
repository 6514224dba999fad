//! Publishes on the source topics what came in over HTTP. Asynchronous, unlike everything beside it.

use std::sync::Arc;
use std::time::Duration;

use cebe_schemas::time::Millis;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};

use super::client::{ClientError, Context, KafkaOptions, Topics};

/// Records that wait for Kafka; more are turned away.
const WAITING_MAX: &str = "100000";
/// The same in KiB.
const WAITING_KBYTES_MAX: &str = "262144";

/// Publishes events, each acknowledged by every in-sync replica. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    producer: FutureProducer<Context>,
    topics: Topics,
}

/// An event for the topic of its source.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The publisher.
    pub source_module: &'a str,
    /// Decides the partition.
    pub key: &'a str,
    /// The envelope.
    pub payload: &'a [u8],
    /// When the request with it was received: propagation is measured from then on.
    pub created_ms: Millis,
}

/// Where an event was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// Of the topic of its source.
    pub partition: i32,
    /// In that partition.
    pub offset: i64,
}

/// Not all events are known to be published. Those that are count once, also if they come again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IntakeError {
    /// Too many wait for Kafka.
    #[error("too many events wait for kafka")]
    Full,
    /// The source has no topic.
    #[error("there is no topic {0}: create it")]
    NoTopic(Arc<str>),
    /// Kafka did not acknowledge them.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Intake {
    /// `patience`: how long an acknowledgement may take.
    ///
    /// # Errors
    /// The client cannot be made with these options.
    pub fn open(options: &KafkaOptions, patience: Duration) -> Result<Intake, ClientError> {
        let millis = patience.as_millis().max(1_000).to_string();
        let fixed = [
            ("message.timeout.ms", &*millis),
            ("queue.buffering.max.messages", WAITING_MAX),
            ("queue.buffering.max.kbytes", WAITING_KBYTES_MAX),
            ("allow.auto.create.topics", "false"),
        ];
        let producer = options
            .producer(&fixed)
            .create_with_context(Context)
            .map_err(ClientError::on("create a producer"))?;
        Ok(Intake { producer, topics: options.topics.clone() })
    }

    /// Publishes all `events`; where each was put, in their order.
    ///
    /// # Errors
    /// Some may be published, and some may still be.
    pub async fn publish(&self, events: &[Incoming<'_>]) -> Result<Vec<Put>, IntakeError> {
        let mut sent = Vec::with_capacity(events.len());
        for event in events {
            sent.push((event.source_module, self.send(event)?));
        }
        let mut put = Vec::with_capacity(events.len());
        for (source, delivery) in sent {
            let delivery = match delivery.await {
                Ok(delivered) => delivered.map_err(|(error, _)| self.failure(source, error))?,
                // The producer was dropped, and with it whatever it had.
                Err(_) => return Err(self.failure(source, KafkaError::Canceled)),
            };
            put.push(Put { partition: delivery.partition, offset: delivery.offset });
        }
        Ok(put)
    }

    fn send(&self, event: &Incoming<'_>) -> Result<DeliveryFuture, IntakeError> {
        let topic = self.topics.events(event.source_module);
        let record = FutureRecord::to(&topic)
            .key(event.key)
            .payload(event.payload)
            .timestamp(event.created_ms);
        self.producer
            .send_result(record)
            .map_err(|(error, _)| self.failure(event.source_module, error))
    }

    fn failure(&self, source: &str, error: KafkaError) -> IntakeError {
        let topic = self.topics.events(source);
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => IntakeError::Full,
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
                IntakeError::NoTopic(topic.into())
            }
            _ => ClientError { action: format!("publish to {topic}"), error }.into(),
        }
    }
}
