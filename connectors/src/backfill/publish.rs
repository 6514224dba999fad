//! Publishes the events of a job, batch by batch, each with how far the job is then in one transaction.

use std::path::PathBuf;
use std::time::Duration;

use cebe_schemas::time::Millis;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use super::head::Head;
use super::input::{Input, InputError, Mapping, MappingError, Reader};
use super::job::{Job, Progress, Says, Standing};
use super::log::{JobLog, record};
use crate::kafka::client::{ClientError, JOB_HEADER, KafkaOptions};
use crate::kafka::transaction::{Failure, TransactionError, Transactions};

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// A batch takes in no further record from here on.
const BATCH_BYTES: usize = 4 << 20;

/// A job cannot go on. What it has published is known, and it can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum PublishingError {
    /// No job has this id.
    #[error("there is no job {0}: cebe backfill list")]
    Unknown(String),
    /// The input is another than at first.
    #[error(
        "{path} has changed since the job began: put it back as it was, or cancel the job and start another \
         (what was taken in counts once)"
    )]
    Changed {
        /// The file.
        path: String,
    },
    /// Another process publishes for this job.
    #[error("another process has taken job {0} over: this one stops")]
    TakenOver(String),
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The mapping cannot be read.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// Kafka refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What one step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many records are published.
    Published(usize),
    /// There is nothing to do: so the job stands.
    Stands(Standing),
    /// It has published as many events as it may.
    Full,
}

/// A job that this process publishes for.
pub struct Publishing {
    kafka: KafkaOptions,
    log: JobLog,
    id: String,
    topic: String,
    transactions: Transactions,
    reader: Reader,
    since_ms: Millis,
    events_max: u64,
}

/// Some records, and how far the job is after them.
struct Batch {
    payloads: Vec<Vec<u8>>,
    progress: Progress,
}

impl Publishing {
    /// Takes the job over from any process that publishes for it, and goes on where it is.
    ///
    /// # Errors
    /// [`PublishingError`].
    pub fn open(kafka: &KafkaOptions, id: &str) -> Result<Publishing, PublishingError> {
        // First of all: from here on nobody else moves the job on.
        let transactional_id = format!("cebe-backfill-{id}");
        let transactions = Transactions::open(kafka, &transactional_id, TRANSACTION_TIMEOUT)?;
        let log = JobLog::open(kafka)?;
        let unknown = || PublishingError::Unknown(id.to_owned());
        let job = log.jobs().get(id).ok_or_else(unknown)?;
        let reader = reader(job)?;
        Ok(Publishing {
            kafka: kafka.clone(),
            id: id.to_owned(),
            topic: kafka.topics.backfill(&job.start.source_module),
            transactions,
            reader,
            since_ms: job.start.since_ms.unwrap_or(Millis::MIN),
            events_max: job.start.events_max,
            log,
        })
    }

    /// The job as it is now.
    ///
    /// # Errors
    /// [`PublishingError::Unknown`], which cannot be after it was opened.
    pub fn job(&self) -> Result<&Job, PublishingError> {
        self.log.jobs().get(&self.id).ok_or_else(|| PublishingError::Unknown(self.id.clone()))
    }

    /// Takes note of what was said of the job meanwhile.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn look(&mut self) -> Result<(), PublishingError> {
        Ok(self.log.poll()?)
    }

    /// Publishes the next records, at most `most`.
    ///
    /// # Errors
    /// [`PublishingError`].
    pub fn step(&mut self, most: usize) -> Result<Step, PublishingError> {
        self.look()?;
        let &Job { standing, progress, .. } = self.job()?;
        if standing != Standing::Running {
            return Ok(Step::Stands(standing));
        }
        if most == 0 {
            return Ok(Step::Published(0));
        }
        let left = self.events_max.saturating_sub(progress.published());
        if left == 0 {
            return Ok(Step::Full);
        }
        let batch = self.read(progress, most.min(usize::try_from(left).unwrap_or(usize::MAX)))?;
        self.publish(&batch)?;
        Ok(Step::Published(batch.payloads.len()))
    }

    fn read(&mut self, mut progress: Progress, most: usize) -> Result<Batch, PublishingError> {
        let (mut payloads, mut bytes) = (Vec::new(), 0);
        while payloads.len() < most && bytes < BATCH_BYTES {
            let Some(payload) = self.reader.next()? else {
                progress.is_complete = true;
                break;
            };
            progress.read += 1;
            let occurred_at_ms = Head::of(&payload).and_then(|head| head.occurred_at_ms());
            // What cannot be read is published: the engine says what is wrong with it.
            if occurred_at_ms.is_some_and(|at| at < self.since_ms) {
                progress.left_out += 1;
                continue;
            }
            bytes += payload.len();
            payloads.push(payload);
        }
        progress.position = self.reader.position();
        progress.bytes = self.reader.bytes_read();
        Ok(Batch { payloads, progress })
    }

    fn publish(&mut self, batch: &Batch) -> Result<(), PublishingError> {
        loop {
            match self.attempt(batch) {
                Ok(()) => return self.see(batch),
                Err(Failure::Fatal(TransactionError::Fenced { .. })) => {
                    return Err(PublishingError::TakenOver(self.id.clone()));
                }
                Err(Failure::Fatal(TransactionError::Client(error))) => return Err(error.into()),
                Err(Failure::Aborted(error)) => {
                    tracing::warn!(%error, "the transaction was aborted; sending the batch again");
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(Failure::Unknown(error)) => {
                    tracing::warn!(%error, "the transaction's outcome is not known; finding out");
                    self.transactions.renew()?;
                    self.log = JobLog::open(&self.kafka)?;
                    if self.job()?.progress == batch.progress {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits until the batch that was published is known to be.
    fn see(&mut self, batch: &Batch) -> Result<(), PublishingError> {
        while self.job()?.progress != batch.progress {
            self.log.wait(Duration::from_secs(1))?;
        }
        Ok(())
    }

    fn attempt(&self, batch: &Batch) -> Result<(), Failure> {
        self.transactions.begin()?;
        for payload in &batch.payloads {
            let job = Header { key: JOB_HEADER, value: Some(&self.id) };
            let key = Head::of(payload).map(|head| head.key()).unwrap_or_default();
            let mut message = BaseRecord::<[u8], [u8]>::to(&self.topic)
                .payload(payload)
                .headers(OwnedHeaders::new_with_capacity(1).insert(job));
            message.key = (!key.is_empty()).then_some(key.as_bytes());
            self.transactions.send(message)?;
        }
        let progress = record(&self.id, Says::Published(batch.progress));
        let message = BaseRecord::<[u8], [u8]>::to(&self.kafka.topics.jobs).partition(0);
        self.transactions.send(message.payload(&progress))?;
        self.transactions.deliver()?;
        self.transactions.commit()?;
        Ok(())
    }
}

/// Reads on where the job is, if its files are what they were.
fn reader(job: &Job) -> Result<Reader, PublishingError> {
    let mapping = job.start.mapping.as_deref().map(Mapping::parse).transpose()?;
    let paths = job.start.files.iter().map(|file| PathBuf::from(&file.path)).collect();
    let input = Input::open(paths, mapping)?;
    for (file, found) in job.start.files.iter().zip(input.files()) {
        if file.digest != found.digest {
            return Err(PublishingError::Changed { path: file.path.clone() });
        }
    }
    Ok(input.reader(job.progress.position)?)
}
