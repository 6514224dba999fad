//! One Kafka transaction a tick: all its records and its progress record.
//!
//! Where the outcome of a commit is not known, the last committed progress record tells.

use std::time::Duration;

use cebe_schemas::view::View;
use rdkafka::producer::BaseRecord;

use super::numbered::{Difference, Numbered, compare};
use super::progress_log::{self, ProgressError};
use crate::fault;
use crate::kafka::binding_log::{BindingLog, BindingLogError};
use crate::kafka::client::KafkaOptions;
use crate::kafka::transaction::{Failure, TransactionError, Transactions};

/// The default of [`PublisherOptions::transactional_id`].
pub const TRANSACTIONAL_ID: &str = "cebe-engine";

/// A tick cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another engine has begun to publish, or Kafka refuses.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
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
    topics: Vec<(View, String)>,
    transactions: Transactions,
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
        let PublisherOptions { transactional_id, transaction_timeout } = options;
        let transactions = Transactions::open(kafka, &transactional_id, transaction_timeout)
            .map_err(TransactionError::from)?;
        Ok(Publisher { kafka: kafka.clone(), topics, transactions })
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
                Err(Failure::Fatal(error)) => return Err(error.into()),
                Err(Failure::Aborted(error)) => {
                    tracing::warn!(%error, "the transaction was aborted; sending the tick again");
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(Failure::Unknown(error)) => {
                    tracing::warn!(%error, "the transaction's outcome is not known; finding out");
                    log.poll()?;
                    self.transactions.renew().map_err(TransactionError::from)?;
                    if self.is_out(tick)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn attempt(&self, tick: &Numbered, progress: &[u8]) -> Result<(), Failure> {
        let transaction = &self.transactions;
        transaction.begin()?;
        for record in &tick.records {
            let message = BaseRecord::to(self.topic(record.view))
                .partition(record.partition as i32)
                .key(record.key.as_slice())
                .payload(record.value.as_slice())
                .timestamp(record.t_ms);
            transaction.send(message)?;
        }
        fault::point_after("mid_transaction", || drop(transaction.deliver()));
        let message = BaseRecord::<[u8], [u8]>::to(&self.kafka.topics.progress)
            .partition(0)
            .payload(progress)
            .timestamp(tick.progress.through);
        transaction.send(message)?;
        transaction.deliver()?;
        fault::point("before_commit");
        transaction.commit()?;
        fault::point("after_commit");
        Ok(())
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
