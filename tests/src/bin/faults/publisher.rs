//! Publishes the load and remembers what Kafka acknowledged.
//!
//! It works as the push guide asks of a source: an outbox, idempotent and with `acks=all`. When it is
//! killed it forgets what was on its way, and the next one sends everything again that has no
//! acknowledgement, and some that has one but was not crossed off in time: those become duplicates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use crate::load::{Load, Outgoing};

/// How often a share of the second's records goes out.
const BEAT: Duration = Duration::from_millis(10);
/// No further record is made while so many wait for Kafka.
const WAITING_MAX: usize = 50_000;
/// So many that were acknowledged last were not crossed off when the publisher died.
const NOT_CROSSED_OFF: usize = 50;
/// How long the last records may wait for Kafka.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that was made, and where Kafka has it.
#[derive(Default)]
pub struct Outbox {
    pub records: Vec<Outgoing>,
    /// Index of the record, partition, offset; in order of acknowledgement.
    pub acknowledged: Vec<(usize, i32, i64)>,
    is_acknowledged: Vec<bool>,
    waiting: usize,
    /// A record was given up: the producer has to be replaced.
    failed: bool,
}

impl Outbox {
    /// A line for each acknowledgement: topic/partition/offset, tab, payload.
    pub fn to_tsv(&self) -> String {
        let line = |(index, partition, offset): &(usize, i32, i64)| {
            let Outgoing { topic, payload, .. } = &self.records[*index];
            format!("{topic}/{partition}/{offset}\t{payload}\n")
        };
        self.acknowledged.iter().map(line).collect()
    }

    /// What [`Outbox::to_tsv`] tells.
    pub fn of_tsv(text: &str) -> Option<Outbox> {
        let mut outbox = Outbox::default();
        for line in text.lines() {
            let (place, payload) = line.split_once('\t')?;
            let mut place = place.rsplitn(3, '/');
            let (offset, partition) = (place.next()?.parse().ok()?, place.next()?.parse().ok()?);
            let (topic, payload) = (place.next()?.to_owned(), payload.to_owned());
            outbox.acknowledged.push((outbox.records.len(), partition, offset));
            outbox.records.push(Outgoing { topic, key: String::new(), payload });
        }
        Some(outbox)
    }
}

/// A thread that publishes.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<()>>,
}

#[derive(Default)]
struct Shared {
    outbox: Arc<Mutex<Outbox>>,
    flow: AtomicBool,
    stop: AtomicBool,
    kill: AtomicBool,
}

struct Acknowledgements(Arc<Mutex<Outbox>>);

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let mut outbox = locked(&self.0);
        match result {
            Ok(message) => {
                outbox.acknowledged.push((index, message.partition(), message.offset()));
                if !std::mem::replace(&mut outbox.is_acknowledged[index], true) {
                    outbox.waiting -= 1;
                }
            }
            Err(_) => outbox.failed = true,
        }
    }
}

impl Publisher {
    /// Publishes what opens `load`, and `rate` records of it a second once they are to flow.
    pub fn start(brokers: &str, rate: u32, load: Load) -> anyhow::Result<Publisher> {
        let shared = Arc::new(Shared::default());
        let (brokers, mine) = (brokers.to_owned(), shared.clone());
        let thread = thread::spawn(move || publish(&brokers, rate, load, &mine));
        Ok(Publisher { shared, thread })
    }

    /// Lets events flow until stopped.
    pub fn flow(&self) {
        self.shared.flow.store(true, Ordering::Relaxed);
    }

    /// Kills the producer; another one goes on.
    pub fn kill(&self) {
        self.shared.kill.store(true, Ordering::Relaxed);
    }

    /// How many records are acknowledged, copies included.
    pub fn acknowledged(&self) -> usize {
        locked(&self.shared.outbox).acknowledged.len()
    }

    /// Waits until everything is acknowledged.
    pub fn stop(self) -> anyhow::Result<Outbox> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the publisher panicked"))??;
        Ok(std::mem::take(&mut *locked(&self.shared.outbox)))
    }
}

type Connected = ThreadedProducer<Acknowledgements>;

fn publish(brokers: &str, rate: u32, mut load: Load, shared: &Shared) -> anyhow::Result<()> {
    let mut producer = connect(brokers, shared)?;
    for record in Load::opening() {
        send_new(&producer, shared, record)?;
    }
    while !shared.flow.load(Ordering::Relaxed) && !shared.stop.load(Ordering::Relaxed) {
        thread::sleep(BEAT);
    }
    let begin = Instant::now();
    let mut made = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while made < due && locked(&shared.outbox).waiting < WAITING_MAX {
            send_new(&producer, shared, load.next(crate::now_ms()))?;
            made += 1;
        }
        producer = replaced_if_dead(producer, brokers, shared)?;
        thread::sleep(BEAT);
    }
    send_new(&producer, shared, Load::closing())?;
    let stopping = Instant::now();
    while locked(&shared.outbox).waiting > 0 {
        ensure!(stopping.elapsed() < PATIENCE, "kafka does not acknowledge what was published");
        producer = replaced_if_dead(producer, brokers, shared)?;
        thread::sleep(BEAT);
    }
    Ok(())
}

fn connect(brokers: &str, shared: &Shared) -> anyhow::Result<Connected> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("reconnect.backoff.max.ms", "500")
        .create_with_context(Acknowledgements(shared.outbox.clone()))
        .context("the publisher's producer cannot be made")
}

/// Another producer, if this one is killed or has given up.
fn replaced_if_dead(
    producer: Connected,
    brokers: &str,
    shared: &Shared,
) -> anyhow::Result<Connected> {
    let killed = shared.kill.swap(false, Ordering::Relaxed);
    if !killed && !locked(&shared.outbox).failed {
        return Ok(producer);
    }
    // Whatever is on its way is forgotten; some of it has arrived all the same.
    drop(producer);
    let producer = connect(brokers, shared)?;
    let again = {
        let mut outbox = locked(&shared.outbox);
        outbox.failed = false;
        let recent =
            outbox.acknowledged.iter().rev().take(NOT_CROSSED_OFF).map(|(index, ..)| *index);
        let open = (0..outbox.records.len()).filter(|index| !outbox.is_acknowledged[*index]);
        let mut again: Vec<usize> = recent.chain(open).collect();
        again.sort_unstable();
        again
    };
    for index in again {
        let record = locked(&shared.outbox).records[index].clone();
        send(&producer, &record, index)?;
    }
    Ok(producer)
}

fn send_new(producer: &Connected, shared: &Shared, record: Outgoing) -> anyhow::Result<()> {
    let index = {
        let mut outbox = locked(&shared.outbox);
        outbox.records.push(record.clone());
        outbox.is_acknowledged.push(false);
        outbox.waiting += 1;
        outbox.records.len() - 1
    };
    send(producer, &record, index)
}

fn send(producer: &Connected, record: &Outgoing, index: usize) -> anyhow::Result<()> {
    let mut message =
        BaseRecord::with_opaque_to(&record.topic, index).key(&record.key).payload(&record.payload);
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                message = back;
                thread::sleep(BEAT);
            }
            // The next producer sends it.
            Err(_) if producer.client().fatal_error().is_some() => {
                producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
                return Ok(());
            }
            Err((error, _)) => return Err(error).context("cannot publish"),
        }
    }
}

fn locked(outbox: &Mutex<Outbox>) -> MutexGuard<'_, Outbox> {
    outbox.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_told_and_read() {
        let record = |payload: &str| Outgoing {
            topic: "cebe.events.cdp".into(),
            key: String::new(),
            payload: payload.into(),
        };
        let outbox = Outbox {
            records: vec![record("{\"a\":\"x/1\\t\"}"), record("not acknowledged")],
            acknowledged: vec![(0, 3, 17)],
            ..Outbox::default()
        };
        let read = Outbox::of_tsv(&outbox.to_tsv()).unwrap();
        assert_eq!(
            (&read.records[..], &read.acknowledged),
            (&outbox.records[..1], &vec![(0, 3, 17)])
        );
        assert!(Outbox::of_tsv("cebe.events.cdp/x\t{}").is_none());
    }
}
