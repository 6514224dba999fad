//! What every Kafka client of the engine has in common.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cebe_schemas::view::{self, View};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// The names of the topics.
    pub topics: Topics,
    /// Further librdkafka properties, such as `security.protocol`. They win over the defaults, but
    /// not over what correctness rests on.
    pub properties: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// Plain text, the usual topics.
    pub fn new(brokers: &str) -> KafkaOptions {
        KafkaOptions {
            brokers: brokers.to_owned(),
            topics: Topics::default(),
            properties: BTreeMap::new(),
        }
    }

    fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in COMMON.iter().chain(defaults) {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (key, value) in fixed {
            config.set(*key, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// A consumer with manual assignment: it joins no group and commits no offset.
    pub(crate) fn consumer(&self, defaults: &[(&str, &str)]) -> Result<Consumer, ClientError> {
        let fixed = [
            // librdkafka hands out records only to a consumer that has a group id.
            ("group.id", "cebe-unused"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
        ];
        let config = self.config(&[CONSUMER, defaults].concat(), &fixed);
        config.create_with_context(Context).map_err(ClientError::on("create a consumer"))
    }

    /// The configuration of a client that only administers.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.config(&[], &[])
    }

    /// The configuration of an idempotent producer.
    pub(crate) fn producer(&self, fixed: &[(&str, &str)]) -> ClientConfig {
        let idempotent = [("acks", "all"), ("enable.idempotence", "true")];
        self.config(PRODUCER, &[&idempotent, fixed].concat())
    }
}

pub(crate) type Consumer = BaseConsumer<Context>;

const COMMON: &[(&str, &str)] =
    &[("client.id", "cebe"), ("reconnect.backoff.max.ms", "2000"), ("socket.timeout.ms", "30000")];

const CONSUMER: &[(&str, &str)] = &[
    // The broker answers as soon as there is data; the wait only delays newly assigned partitions.
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "100"),
    // After a full queue the default waits a second before fetching again.
    ("fetch.queue.backoff.ms", "5"),
];

const PRODUCER: &[(&str, &str)] = &[("linger.ms", "0"), ("compression.type", "lz4")];

/// The header by which a record names the backfill that it belongs to.
pub const JOB_HEADER: &str = "cebe-job";

/// The names of the topics. Other names than the usual serve tests that share a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// `cebe.bindings`.
    pub bindings: String,
    /// `cebe.control`.
    pub control: String,
    /// `cebe.history`.
    pub history: String,
    /// `cebe.counts`.
    pub counts: String,
    /// `cebe.events.`, followed by the source.
    pub events_prefix: String,
    /// `cebe.backfill.`, followed by the source.
    pub backfill_prefix: String,
    /// `cebe.jobs`.
    pub jobs: String,
    /// `cebe.out.progress`.
    pub progress: String,
    prefix: String,
}

impl Default for Topics {
    fn default() -> Topics {
        Topics::prefixed("")
    }
}

impl Topics {
    /// The usual names with `prefix` before each.
    pub fn prefixed(prefix: &str) -> Topics {
        Topics {
            bindings: format!("{prefix}{}", view::BINDINGS_TOPIC),
            control: format!("{prefix}{}", view::CONTROL_TOPIC),
            history: format!("{prefix}{}", view::HISTORY_TOPIC),
            counts: format!("{prefix}{}", view::COUNTS_TOPIC),
            events_prefix: format!("{prefix}{}", view::EVENTS_PREFIX),
            backfill_prefix: format!("{prefix}{}", view::BACKFILL_PREFIX),
            jobs: format!("{prefix}{}", view::JOBS_TOPIC),
            progress: format!("{prefix}{}", view::PROGRESS_TOPIC),
            prefix: prefix.to_owned(),
        }
    }

    /// The topic of a view's changes.
    pub fn out(&self, view: View) -> String {
        self.named(&view.topic())
    }

    /// The topic whose usual name is `name`.
    pub fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The topic of a source's live events.
    pub fn events(&self, source_module: &str) -> String {
        format!("{}{source_module}", self.events_prefix)
    }

    /// The topic of a source's backfills.
    pub fn backfill(&self, source_module: &str) -> String {
        format!("{}{source_module}", self.backfill_prefix)
    }

    /// Whether `topic` is that of a source's backfills.
    pub fn is_backfill(&self, topic: &str) -> bool {
        topic.starts_with(&self.backfill_prefix)
    }

    /// Whether `topic` is part of the input.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        [&self.control, &self.history, &self.counts].iter().any(|name| *name == topic)
            || self.source_module(topic).is_some_and(|source| !source.is_empty())
    }

    /// Whether `topic` is an input that is kept for ever: what sources publish is not.
    pub(crate) fn keeps(&self, topic: &str) -> bool {
        topic == self.control || topic == self.history
    }

    /// The source whose events `topic` carries, live or of a backfill; none for any other topic. A topic
    /// that ends with the prefix holds records of no source: `eval` has them, Kafka is not read there.
    pub fn source_module<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic
            .strip_prefix(&self.events_prefix)
            .or_else(|| topic.strip_prefix(&self.backfill_prefix))
    }
}

/// Kafka, or the client library, refused something.
#[derive(Clone, Debug, thiserror::Error)]
#[error("kafka: cannot {action}: {error}")]
pub struct ClientError {
    /// What was tried.
    pub action: String,
    /// What came back.
    #[source]
    pub error: KafkaError,
}

impl ClientError {
    pub(crate) fn on(action: impl Into<String>) -> impl FnOnce(KafkaError) -> ClientError {
        move |error| ClientError { action: action.into(), error }
    }

    /// Whether waiting may help: the broker is away, has just started and does not know its topics
    /// yet, or a partition moves.
    pub fn is_transient(&self) -> bool {
        match &self.error {
            KafkaError::Transaction(error) => error.is_retriable(),
            error => error.rdkafka_error_code().is_some_and(is_transient),
        }
    }
}

fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NetworkException
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
    )
}

/// Repeats `operation` until it succeeds or fails for good, with growing pauses.
pub(crate) fn with_retries<T>(
    mut operation: impl FnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut pause = Duration::from_millis(100);
    loop {
        match operation() {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "kafka is not answering; trying again");
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            outcome => return outcome,
        }
    }
}

/// Lets one warning through in a while, however often it is repeated.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Option<Instant>);

impl Quiet {
    pub(crate) fn due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= Duration::from_secs(5));
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }

    /// Warns of an error after which reading goes on. That Kafka is away is said elsewhere.
    pub(crate) fn retrying(&mut self, error: &ClientError) {
        if !error.is_transient() && self.due() {
            tracing::warn!(%error, "trying again");
        }
    }
}

/// Sends what librdkafka has to say to `tracing`: that Kafka is away as one line in a while for all
/// clients together, the details at debug level.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context;

static AWAY: Mutex<Quiet> = Mutex::new(Quiet(None));

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg};
        match level {
            Emerg | Alert | Critical => tracing::warn!(facility, "librdkafka: {message}"),
            _ => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let away = code.is_some_and(is_transient);
        if code == Some(Code::PartitionEOF) {
            // Not an error: a reader has asked to be told.
        } else if !away {
            tracing::warn!(%error, reason, "kafka client");
        } else if AWAY.lock().unwrap_or_else(PoisonError::into_inner).due() {
            tracing::warn!(reason, "kafka cannot be reached; the clients keep trying");
        } else {
            tracing::debug!(%error, reason, "kafka client");
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            tracing::debug!(%error, "a record was not delivered; it is sent again");
        }
    }
}
