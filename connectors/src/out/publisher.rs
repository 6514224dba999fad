//! One Kafka transaction a tick: all its records and its progress record.
//!
//! An error that only aborts is answered by aborting and sending the same tick again. If a commit
//! does not answer, nobody knows what became of it, and librdkafka cannot be asked (it has no
//! KIP-890): the producer is thrown away, a new one ends the transaction one way or the other
//! (`init_transactions`), and the last committed progress record tells which.

use std::time::{Duration, Instant};

use cebe_schemas::view::View;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::numbered::{Difference, Numbered, compare};
use super::progress_log::{self, ProgressError};
use crate::fault;
use crate::kafka::binding_log::{BindingLog, BindingLogError};
use crate::kafka::client::{ClientError, Context, KafkaOptions, with_retries};

/// The default of [`PublisherOptions::transactional_id`].
pub const TRANSACTIONAL_ID: &str = "cebe-engine";

/// A tick cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another engine has begun to publish.
    #[error("fenced: another engine publishes with the transactional id {id}; this one must stop")]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// Kafka refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What is out cannot be read.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The tick turned out to be published already, differently.
    #[error(transparent)]
    Difference(#[from] Box<Difference>),
    /// Another engine binds.
    #[error(transparent)]
    Log(#[from] BindingLogError),
    /// The progress record cannot be written as JSON.
    #[error("cannot write a progress record: {0}")]
    Json(#[from] serde_json::Error),
}

/// How to publish.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The same for every engine of an installation: a newer one fences the older ones.
    pub transactional_id: String,
    /// How long a transaction may take before the broker aborts it.
    pub transaction_timeout: Duration,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            transactional_id: TRANSACTIONAL_ID.to_owned(),
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

/// Publishes ticks, each once.
pub struct Publisher {
    kafka: KafkaOptions,
    options: PublisherOptions,
    topics: Vec<(View, String)>,
    producer: BaseProducer<Context>,
}

impl Publisher {
    /// Fences every engine before this one and ends what it had begun to publish. Only for an
    /// engine that has taken over the log of bindings.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(
        kafka: &KafkaOptions,
        options: PublisherOptions,
    ) -> Result<Publisher, PublishError> {
        let topics = View::ALL.iter().map(|view| (*view, kafka.topics.out(*view))).collect();
        let producer = producer(kafka, &options)?;
        Ok(Publisher { kafka: kafka.clone(), options, topics, producer })
    }

    /// Publishes a tick and returns once it is committed. While Kafka does not answer it waits.
    /// `log` tells whether another engine has taken over before this one would fence it.
    ///
    /// # Errors
    /// [`PublishError`]: the engine must stop.
    pub fn publish(&mut self, tick: &Numbered, log: &mut BindingLog) -> Result<(), PublishError> {
        let progress = serde_json::to_vec(&tick.progress)?;
        loop {
            match self.attempt(tick, &progress) {
                Ok(()) => return Ok(()),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Aborted(error)) => {
                    tracing::warn!(%error, "the transaction was aborted; sending the tick again");
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(Failure::Unknown(error)) => {
                    tracing::warn!(%error, "the transaction's outcome is not known; finding out");
                    log.poll()?;
                    self.producer = producer(&self.kafka, &self.options)?;
                    if self.is_out(tick)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn attempt(&self, tick: &Numbered, progress: &[u8]) -> Result<(), Failure> {
        let step = |action: &str, result: Result<(), KafkaError>| {
            result.map_err(|error| self.failure(action, error))
        };
        step("begin a transaction", self.producer.begin_transaction())?;
        for record in &tick.records {
            let message = BaseRecord::to(self.topic(record.view))
                .partition(record.partition as i32)
                .key(record.key.as_slice())
                .payload(record.value.as_slice())
                .timestamp(record.t_ms);
            step("publish a row", self.send(message))?;
        }
        fault::point_after("mid_transaction", || drop(self.deliver()));
        let message = BaseRecord::<[u8], [u8]>::to(&self.kafka.topics.progress)
            .partition(0)
            .payload(progress)
            .timestamp(tick.progress.through);
        step("publish the progress", self.send(message))?;
        step("deliver the tick", self.deliver())?;
        fault::point("before_commit");
        let timeout = self.options.transaction_timeout;
        step("commit the tick", self.producer.commit_transaction(timeout))?;
        fault::point("after_commit");
        Ok(())
    }

    /// Hands a record to the client, waiting while its queue is full.
    fn send(&self, mut message: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
        loop {
            match self.producer.send(message) {
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => message = back,
                outcome => return outcome.map_err(|(error, _)| error),
            }
            self.pause();
        }
    }

    /// Waits until every record is acknowledged, or has failed.
    fn deliver(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + self.options.transaction_timeout;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(KafkaError::Flush(Code::OperationTimedOut));
            }
            self.pause();
        }
        Ok(())
    }

    /// Serves the client and waits a little. Its own flush looks every 100 ms, and its poll spins
    /// through the last millisecond of a timeout.
    fn pause(&self) {
        self.producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(200));
    }

    fn failure(&self, action: &str, error: KafkaError) -> Failure {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            let fenced =
                matches!(code, Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced);
            tracing::error!(%code, reason, "the transactional producer has failed");
            return Failure::Fatal(if fenced {
                PublishError::Fenced { id: self.options.transactional_id.clone() }
            } else {
                ClientError { action: action.to_owned(), error }.into()
            });
        }
        let abort = match &error {
            KafkaError::Transaction(error) => error.txn_requires_abort(),
            _ => true,
        };
        let error = ClientError { action: action.to_owned(), error };
        if abort && self.producer.abort_transaction(self.options.transaction_timeout).is_ok() {
            Failure::Aborted(error)
        } else {
            Failure::Unknown(error)
        }
    }

    fn is_out(&self, tick: &Numbered) -> Result<bool, PublishError> {
        match progress_log::last(&self.kafka)? {
            Some(last) if last.binding >= tick.progress.binding => {
                if last.binding == tick.progress.binding {
                    compare(&last, &tick.progress)?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn topic(&self, view: View) -> &str {
        self.topics.iter().find(|(each, _)| *each == view).map_or("", |(_, topic)| topic)
    }
}

/// What became of one attempt.
enum Failure {
    /// Nothing is out; the producer can go on.
    Aborted(ClientError),
    /// It may be out or not.
    Unknown(ClientError),
    Fatal(PublishError),
}

fn producer(
    kafka: &KafkaOptions,
    options: &PublisherOptions,
) -> Result<BaseProducer<Context>, PublishError> {
    let timeout_ms = options.transaction_timeout.as_millis();
    // librdkafka wants each request to end before its transaction.
    let request_ms = timeout_ms.min(30_000).to_string();
    let timeout_ms = timeout_ms.to_string();
    let fixed = [
        ("socket.timeout.ms", request_ms.as_str()),
        ("transactional.id", options.transactional_id.as_str()),
        ("transaction.timeout.ms", &timeout_ms),
        ("delivery.report.only.error", "true"),
    ];
    let producer: BaseProducer<Context> = kafka
        .producer(&fixed)
        .create_with_context(Context)
        .map_err(ClientError::on("create the transactional producer"))?;
    with_retries(|| {
        producer
            .init_transactions(Duration::from_secs(30))
            .map_err(ClientError::on("begin to publish (init_transactions)"))
    })?;
    Ok(producer)
}
