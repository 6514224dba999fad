//! A believable stream into Kafka, at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use cebe_dev::demo::Stream;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

/// How often a share of the second's records goes out.
const BEAT: Duration = Duration::from_millis(10);
const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

impl Load {
    pub fn start(brokers: &str, rate: u32) -> anyhow::Result<Load> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || publish(&producer, rate, &stopped));
        Ok(Load { stop, thread })
    }

    /// Stops; how many records Kafka has acknowledged.
    pub fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the publisher died"))?
    }
}

fn publish(
    producer: &ThreadedProducer<DefaultProducerContext>,
    rate: u32,
    stop: &AtomicBool,
) -> anyhow::Result<u64> {
    let mut stream = Stream::new(1, "outage", &ACCOUNTS);
    let (begin, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while sent < due {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let message = stream.next(now.as_millis() as i64);
            let topic = format!("cebe.events.{}", message.source);
            let record = BaseRecord::to(&topic).key(&message.key).payload(&message.payload);
            match producer.send(record) {
                Ok(()) => sent += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => return Err(error).context("cannot publish"),
            }
        }
        thread::sleep(BEAT);
    }
    producer.flush(Duration::from_secs(30)).context("kafka does not acknowledge")?;
    Ok(sent)
}
