//! The log of bindings: `cebe.bindings`, one partition, never compacted, kept for ever.
//!
//! What counts is decided by [`Chain`], who may append by [`Claim`]; this is their I/O. The log is
//! read to its end at start. A binding is acted on only after it was read back: that it can be
//! read means that every in-sync replica has it. Appending the same bytes twice is harmless.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::client::{ClientError, Context, KafkaOptions};
use super::log_place::LogPlace;
use super::reader::{Entry, TopicReader};
use crate::binding::chain::{Chain, ChainError, Reading};
use crate::binding::claim::{Action, Claim, ClaimError};
use crate::binding::{Binding, LogRecord, Range};
use crate::clock::{Clock, ClockError, SystemClock};
use crate::fault;

/// The default of [`BindingLogOptions::claim_wait`].
pub const CLAIM_WAIT: Duration = Duration::from_millis(2_000);

/// A record that was not read back is appended again after this time.
const RESEND: Duration = Duration::from_secs(10);

/// Nothing more can be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindingLogError {
    /// The log is damaged.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Another engine appends.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The wall clock jumped. The only error after which binding may be tried again.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Kafka refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A binding cannot be written as JSON.
    #[error("cannot write a binding: {0}")]
    Json(#[from] serde_json::Error),
    /// [`BindingLog::bind`] before [`BindingLog::take_over`].
    #[error("this engine has not taken over yet: it may not bind")]
    NotHolding,
}

/// How an engine enters the log.
#[derive(Clone, Debug)]
pub struct BindingLogOptions {
    /// A name for people; made unique for each start.
    pub engine: String,
    /// How long a running engine has to answer a claim.
    pub claim_wait: Duration,
    /// The logic of the bindings to append.
    pub logic_version: u32,
}

/// Appends and reads bindings.
pub struct BindingLog {
    options: KafkaOptions,
    reader: TopicReader,
    producer: BaseProducer<Context>,
    place: LogPlace,
    claim: Claim,
    logic_version: u32,
    is_mixed: bool,
    clock: Clock,
    system: SystemClock,
}

impl BindingLog {
    /// Reads the log from `place` to its end and puts in a claim. The engine may replay meanwhile, and
    /// then has to [`take_over`](BindingLog::take_over).
    ///
    /// # Errors
    /// A damaged log; Kafka refuses.
    pub fn open(
        options: &KafkaOptions,
        entry: BindingLogOptions,
        place: LogPlace,
    ) -> Result<BindingLog, BindingLogError> {
        let producer = options
            .producer(&[("message.timeout.ms", "30000")])
            .create_with_context(Context)
            .map_err(ClientError::on("create a producer"))?;
        let nonce = RandomState::new().build_hasher().finish() as u32;
        let engine = format!("{}-{}-{nonce:08x}", entry.engine, std::process::id());
        let mut log = BindingLog {
            options: options.clone(),
            reader: place.reader(options)?,
            producer,
            place,
            claim: Claim::new(engine, entry.claim_wait.as_millis() as u64),
            logic_version: entry.logic_version,
            is_mixed: false,
            clock: Clock::default(),
            system: SystemClock::default(),
        };
        while !log.read(Duration::from_secs(1))?.end {}
        while !log.claim.waiting() {
            if let Action::Claim(claim) = log.claim.next(&log.place.chain, log.now_ms()) {
                let claimed = claim.generation;
                log.append(&LogRecord::Claim(claim), |log| log.chain().claimed() >= claimed)?;
            }
        }
        fault::point("after_claim");
        Ok(log)
    }

    /// Waits for the rest of the time that a running engine has to answer, then appends an empty
    /// binding of this engine's generation. From then on it may [`bind`](BindingLog::bind).
    ///
    /// # Errors
    /// [`ClaimError::Running`]: another engine is.
    pub fn take_over(&mut self) -> Result<(), BindingLogError> {
        loop {
            self.poll()?;
            match self.claim.next(&self.place.chain, self.now_ms()) {
                Action::Wait(ms) => {
                    self.read(Duration::from_millis(ms))?;
                }
                Action::TakeOver(generation) => {
                    let binding = self.next_binding(generation, Vec::new())?;
                    self.append_binding(binding)?;
                    fault::point("after_takeover");
                    return Ok(());
                }
                Action::Nothing | Action::Answer(_) | Action::Claim(_) => return Ok(()),
            }
        }
    }

    /// Takes in whatever others have appended; does not wait.
    ///
    /// # Errors
    /// This engine must stop: it is fenced, or the log is damaged.
    pub fn poll(&mut self) -> Result<(), BindingLogError> {
        while self.read(Duration::ZERO)?.something {}
        Ok(())
    }

    /// Whether a starting engine waits to hear from this one: any binding is the answer, also an
    /// empty one.
    pub fn answer_due(&self) -> bool {
        self.claim.answer_due()
    }

    /// Binds `ranges` to T = max(previous + 1, now), and returns the binding once it counts.
    ///
    /// # Errors
    /// [`ClaimError::Fenced`]: another engine has taken over. [`BindingLogError::Clock`]: nothing
    /// was appended.
    pub fn bind(&mut self, ranges: Vec<Range>) -> Result<Binding, BindingLogError> {
        let generation = self.claim.holding().ok_or(BindingLogError::NotHolding)?;
        let binding = self.next_binding(generation, ranges)?;
        self.append_binding(binding)
    }

    /// Where the chain stands.
    pub fn chain(&self) -> &Chain {
        &self.place.chain
    }

    /// Up to where the log has been read.
    pub fn place(&self) -> &LogPlace {
        &self.place
    }

    /// Whether bindings of another logic have been read.
    pub fn is_mixed(&self) -> bool {
        self.is_mixed
    }

    /// The id of this engine.
    pub fn engine(&self) -> &str {
        self.claim.engine()
    }

    /// All bindings after `place`, read again.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn replay(&self, place: LogPlace) -> Result<Replay, BindingLogError> {
        Replay::open(&self.options, place)
    }

    fn next_binding(
        &mut self,
        generation: u64,
        ranges: Vec<Range>,
    ) -> Result<Binding, BindingLogError> {
        let t_ms = self.clock.next(self.system.read(), self.chain().head().t_ms)?;
        let logic_version = self.logic_version;
        Ok(Binding { logic_version, ..self.chain().next(t_ms, generation, ranges) })
    }

    /// Whoever loses the race for the number learns it from the claim while reading.
    fn append_binding(&mut self, binding: Binding) -> Result<Binding, BindingLogError> {
        let number = binding.number;
        let record = LogRecord::Binding(binding);
        self.append(&record, |log| log.chain().head().number >= number)?;
        match record {
            LogRecord::Binding(binding) => Ok(binding),
            LogRecord::Claim(_) => Err(BindingLogError::NotHolding),
        }
    }

    /// Appends `record` and reads until `done`, appending again if it seems to be lost.
    fn append(
        &mut self,
        record: &LogRecord,
        done: impl Fn(&BindingLog) -> bool,
    ) -> Result<(), BindingLogError> {
        let bytes = record.to_bytes()?;
        let mut sent: Option<Instant> = None;
        while !done(self) {
            if sent.is_none_or(|at| at.elapsed() > RESEND && self.producer.in_flight_count() == 0) {
                let message = BaseRecord::<(), [u8]>::to(&self.options.topics.bindings)
                    .partition(0)
                    .payload(&bytes);
                self.producer.send(message).map_err(|(error, _)| ClientError {
                    action: "append a binding".into(),
                    error,
                })?;
                sent = Some(Instant::now());
            }
            self.read(Duration::from_millis(100))?;
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    fn read(&mut self, timeout: Duration) -> Result<Progress, BindingLogError> {
        match self.reader.poll(timeout)? {
            None => Ok(Progress { something: false, end: false }),
            Some(Entry::End) => Ok(Progress { something: true, end: true }),
            Some(Entry::Record(bytes)) => {
                let reading = self.place.read(&bytes, self.reader.place().0)?;
                if let Reading::Binding(binding) = &reading {
                    self.is_mixed |= binding.logic_version != self.logic_version;
                }
                if reading == Reading::Late {
                    tracing::info!(
                        after = self.chain().head().number,
                        "a late claimant is ignored"
                    );
                }
                self.claim.read(&reading, &self.place.chain, self.now_ms())?;
                Ok(Progress { something: true, end: false })
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.system.read().monotonic_ms.unsigned_abs()
    }
}

struct Progress {
    something: bool,
    end: bool,
}

/// Bindings, one after the other: what a restart works through. It holds one at a time, however long
/// the log is.
pub struct Replay {
    reader: TopicReader,
    place: LogPlace,
}

impl Replay {
    /// All bindings after `place`.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn open(options: &KafkaOptions, place: LogPlace) -> Result<Replay, BindingLogError> {
        Ok(Replay { reader: place.reader(options)?, place })
    }

    /// The next binding; none once it has caught up with `log`.
    ///
    /// # Errors
    /// A damaged log; Kafka refuses.
    pub fn next(&mut self, log: &BindingLog) -> Result<Option<Binding>, BindingLogError> {
        self.next_through(log.chain().head().number)
    }

    /// The next binding; none after that of number `last`, which is in the log.
    ///
    /// # Errors
    /// A damaged log; Kafka refuses.
    pub fn next_through(&mut self, last: u64) -> Result<Option<Binding>, BindingLogError> {
        while self.place.chain.head().number < last {
            if let Some(Entry::Record(bytes)) = self.reader.poll(Duration::from_secs(1))?
                && let Reading::Binding(binding) = self.place.read(&bytes, self.reader.place().0)?
            {
                return Ok(Some(binding));
            }
        }
        Ok(None)
    }

    /// Up to where the bindings have been read.
    pub fn place(&self) -> &LogPlace {
        &self.place
    }
}
