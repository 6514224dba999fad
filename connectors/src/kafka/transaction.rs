//! A transactional producer: what is sent between the beginning and the commit is seen whole or not at all.
//!
//! An error that only aborts can be answered by sending the same again. If a commit does not answer, nobody
//! knows what became of it, and librdkafka cannot be asked (it has no KIP-890): the producer has to be made
//! [anew](Transactions::renew), which ends the transaction one way or the other (`init_transactions`), and
//! what was sent in it tells which.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::client::{ClientError, Context, KafkaOptions, with_retries};

/// Nothing can be sent any more.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// Another process has begun under the same id.
    #[error("fenced: another process publishes with the transactional id {id}; this one must stop")]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// Kafka refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What became of a transaction that was not committed.
pub(crate) enum Failure {
    /// Nothing is out; the producer can go on.
    Aborted(ClientError),
    /// It may be out or not.
    Unknown(ClientError),
    Fatal(TransactionError),
}

/// Makes one transaction after the other.
pub(crate) struct Transactions {
    kafka: KafkaOptions,
    id: String,
    timeout: Duration,
    producer: BaseProducer<Context>,
}

impl Transactions {
    /// Fences whoever published under `id` before, and ends what it had begun. `timeout`: how long a
    /// transaction may take before the broker aborts it.
    pub(crate) fn open(
        kafka: &KafkaOptions,
        id: &str,
        timeout: Duration,
    ) -> Result<Transactions, ClientError> {
        let producer = producer(kafka, id, timeout)?;
        Ok(Transactions { kafka: kafka.clone(), id: id.to_owned(), timeout, producer })
    }

    /// Ends the transaction of which the outcome is not known.
    pub(crate) fn renew(&mut self) -> Result<(), ClientError> {
        self.producer = producer(&self.kafka, &self.id, self.timeout)?;
        Ok(())
    }

    /// Begins one.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        self.step("begin a transaction", self.producer.begin_transaction())
    }

    /// Sends a record in it, waiting while the client's queue is full.
    pub(crate) fn send(&self, mut message: BaseRecord<'_, [u8], [u8]>) -> Result<(), Failure> {
        loop {
            match self.producer.send(message) {
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => message = back,
                outcome => {
                    return self.step("publish a record", outcome.map_err(|(error, _)| error));
                }
            }
            self.pause();
        }
    }

    /// Waits until every record is acknowledged, or has failed.
    pub(crate) fn deliver(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                let late = Err(KafkaError::Flush(Code::OperationTimedOut));
                return self.step("deliver records", late);
            }
            self.pause();
        }
        Ok(())
    }

    /// Commits it.
    pub(crate) fn commit(&self) -> Result<(), Failure> {
        self.step("commit a transaction", self.producer.commit_transaction(self.timeout))
    }

    /// Serves the client and waits a little. Its own flush looks every 100 ms, and its poll spins
    /// through the last millisecond of a timeout.
    fn pause(&self) {
        self.producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(200));
    }

    fn step(&self, action: &str, result: Result<(), KafkaError>) -> Result<(), Failure> {
        result.map_err(|error| self.failure(action, error))
    }

    fn failure(&self, action: &str, error: KafkaError) -> Failure {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            let fenced =
                matches!(code, Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced);
            tracing::error!(%code, reason, "the transactional producer has failed");
            return Failure::Fatal(if fenced {
                TransactionError::Fenced { id: self.id.clone() }
            } else {
                ClientError { action: action.to_owned(), error }.into()
            });
        }
        let abort = match &error {
            KafkaError::Transaction(error) => error.txn_requires_abort(),
            _ => true,
        };
        let error = ClientError { action: action.to_owned(), error };
        if abort && self.producer.abort_transaction(self.timeout).is_ok() {
            Failure::Aborted(error)
        } else {
            Failure::Unknown(error)
        }
    }
}

fn producer(
    kafka: &KafkaOptions,
    id: &str,
    timeout: Duration,
) -> Result<BaseProducer<Context>, ClientError> {
    let timeout_ms = timeout.as_millis();
    // librdkafka wants each request to end before its transaction.
    let request_ms = timeout_ms.min(30_000).to_string();
    let timeout_ms = timeout_ms.to_string();
    let fixed = [
        ("socket.timeout.ms", request_ms.as_str()),
        ("transactional.id", id),
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
