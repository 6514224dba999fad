//! Reads records where they stand, and publishes them again behind what has come since.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::offsets::{Offsets, Wanted};
use crate::kafka::client::{ClientError, Consumer, KafkaOptions, Quiet, with_retries};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Fewer records in between are read over: to begin anew at another offset takes a round trip.
const READ_OVER: i64 = 2_000;

/// A replay ended early. What it published so far is harmless: it can be run again as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Kafka refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A record was not taken.
    #[error("kafka did not take a record of {topic}/{partition} again: {error}; run it once more")]
    Undelivered {
        /// Its topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Why.
        error: KafkaError,
    },
}

/// What became of the records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records asked for.
    pub selected: u64,
    /// Records published again and acknowledged.
    pub replayed: u64,
    /// Records that Kafka does not hold any more.
    pub gone: u64,
}

/// Reads and publishes.
pub struct Replay {
    consumer: Consumer,
    producer: BaseProducer<Delivery>,
    delivery: Delivery,
    outcome: Outcome,
    complaints: Quiet,
}

impl Replay {
    /// A replay that has not begun.
    ///
    /// # Errors
    /// The clients cannot be made with these options.
    pub fn open(options: &KafkaOptions) -> Result<Replay, ReplayError> {
        let consumer = options.consumer(&[
            ("enable.partition.eof", "true"),
            ("queued.min.messages", "10000"),
            ("queued.max.messages.kbytes", "16384"),
        ])?;
        // Without knowing the leaders first, the client looks for them only once a second.
        with_retries(|| {
            let action = ClientError::on("list the topics");
            consumer.fetch_metadata(None, TIMEOUT).map_err(action)
        })?;
        let delivery = Delivery::default();
        let in_flight = [
            ("queue.buffering.max.messages", "10000"),
            ("queue.buffering.max.kbytes", "16384"),
            // Whatever the broker took before.
            ("message.max.bytes", "16777216"),
        ];
        let producer = options
            .producer(&in_flight)
            .create_with_context(delivery.clone())
            .map_err(ClientError::on("create a producer"))?;
        let (outcome, complaints) = Default::default();
        Ok(Replay { consumer, producer, delivery, outcome, complaints })
    }

    /// What would become of `offsets` now, without publishing anything.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn try_out(&self, offsets: &Offsets) -> Result<Outcome, ReplayError> {
        let mut gone = 0;
        for (topic, partition, mut wanted) in offsets.wanted() {
            let (start, end) = self.held(topic, partition)?;
            gone += wanted.drop_below(start) + wanted.drop_from(end);
        }
        let selected = offsets.len();
        Ok(Outcome { selected, replayed: selected - gone, gone })
    }

    /// Publishes the records at `offsets` again, each to the topic and partition that it came from,
    /// with its key and headers. Their create time is that of the replay. Returns once all are
    /// acknowledged; tells `progress` from time to time.
    ///
    /// # Errors
    /// [`ReplayError`]: some are not published.
    pub fn run(
        mut self,
        offsets: &Offsets,
        mut progress: impl FnMut(&Outcome),
    ) -> Result<Outcome, ReplayError> {
        self.outcome.selected = offsets.len();
        for (topic, partition, mut wanted) in offsets.wanted() {
            // What is published below comes to stand behind this end.
            let (_, end) = self.held(topic, partition)?;
            self.outcome.gone += wanted.drop_from(end);
            while wanted.next().is_some() {
                let (start, _) = self.held(topic, partition)?;
                self.outcome.gone += wanted.drop_below(start);
                self.read_on(topic, partition, &mut wanted, &mut progress)?;
            }
        }
        while self.producer.in_flight_count() > 0 {
            self.serve(Duration::from_millis(20))?;
            progress(&self.outcome);
        }
        self.serve(Duration::ZERO)?;
        progress(&self.outcome);
        Ok(self.outcome)
    }

    /// First offset held and the one after the last; equal if there is no such partition.
    fn held(&self, topic: &str, partition: i32) -> Result<(i64, i64), ClientError> {
        let metadata = with_retries(|| {
            let action = ClientError::on(format!("find {topic}"));
            self.consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(action)
        })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if !found.is_some_and(|t| t.partitions().iter().any(|p| p.id() == partition)) {
            return Ok((0, 0));
        }
        with_retries(|| {
            let action = ClientError::on(format!("find the ends of {topic}/{partition}"));
            self.consumer.fetch_watermarks(topic, partition, TIMEOUT).map_err(action)
        })
    }

    /// Reads from the next wanted record on, until none is wanted or the next is better sought.
    fn read_on(
        &mut self,
        topic: &str,
        partition: i32,
        wanted: &mut Wanted,
        progress: &mut impl FnMut(&Outcome),
    ) -> Result<(), ReplayError> {
        let Some(next) = wanted.next() else { return Ok(()) };
        self.serve(Duration::ZERO)?;
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, Offset::Offset(next))
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(ClientError::on(format!("read {topic}/{partition} from {next}")))?;
        loop {
            let error = match self.consumer.poll(Duration::from_millis(100)) {
                None => {
                    self.serve(Duration::ZERO)?;
                    continue;
                }
                Some(Ok(message)) => {
                    let offset = message.offset();
                    self.outcome.gone += wanted.drop_below(offset);
                    if wanted.next() == Some(offset) {
                        send(&self.producer, &self.delivery, &message)?;
                        wanted.drop_below(offset + 1);
                    }
                    drop(message);
                    self.serve(Duration::ZERO)?;
                    progress(&self.outcome);
                    match wanted.next() {
                        Some(next) if next - offset <= READ_OVER => continue,
                        _ => return Ok(()),
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.outcome.gone += wanted.drop_all();
                    return Ok(());
                }
                Some(Err(error)) => error,
            };
            // They have expired meanwhile: what is still held is found out anew.
            if error.rdkafka_error_code() == Some(Code::AutoOffsetReset) {
                return Ok(());
            }
            let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
                || error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed);
            let error = ClientError { action: format!("read {topic}/{partition}"), error };
            if fatal {
                return Err(error.into());
            }
            self.complaints.retrying(&error);
        }
    }

    /// Takes note of what has been acknowledged.
    fn serve(&mut self, wait: Duration) -> Result<(), ReplayError> {
        self.producer.poll(wait);
        self.outcome.replayed = self.delivery.so_far()?;
        Ok(())
    }
}

/// Hands a record to the client, waiting while too much is in flight.
fn send(
    producer: &BaseProducer<Delivery>,
    delivery: &Delivery,
    original: &BorrowedMessage<'_>,
) -> Result<(), ReplayError> {
    let mut record = BaseRecord::<[u8], [u8]>::to(original.topic()).partition(original.partition());
    record.key = original.key();
    record.payload = original.payload();
    record.headers = original.headers().map(BorrowedHeaders::detach);
    loop {
        match producer.send(record) {
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) => record = back,
            Ok(()) => return Ok(()),
            Err((error, _)) => return Err(undelivered(original, error)),
        }
        producer.poll(Duration::from_millis(10));
        delivery.so_far()?;
    }
}

fn undelivered(message: &impl Message, error: KafkaError) -> ReplayError {
    let (topic, partition) = (message.topic().to_owned(), message.partition());
    ReplayError::Undelivered { topic, partition, error }
}

/// How many have been acknowledged, and the first that was not.
#[derive(Clone, Default)]
struct Delivery(Arc<Mutex<(u64, Option<ReplayError>)>>);

impl Delivery {
    fn so_far(&self) -> Result<u64, ReplayError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.take().map_or(Ok(state.0), Err)
    }
}

impl rdkafka::ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => state.0 += 1,
            Err((error, message)) => {
                state.1.get_or_insert(undelivered(message, error.clone()));
            }
        }
    }
}
