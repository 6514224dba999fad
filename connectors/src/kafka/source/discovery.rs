//! Looks for new topics and partitions, beside the engine's thread so that it never waits for
//! metadata.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use crate::kafka::client::{ClientError, Consumer, KafkaOptions, Topics, with_retries};

const EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A partition that was not there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The first offset that it still holds.
    pub start: i64,
}

/// A running search; it ends when this is dropped.
pub(super) struct Discovery {
    found: Receiver<Found>,
    _stop: Sender<()>,
}

impl Discovery {
    /// Finds everything there is besides `known`, then goes on in its own thread.
    pub(super) fn start(
        consumer: &Arc<Consumer>,
        options: &KafkaOptions,
        mut known: HashSet<(Arc<str>, i32)>,
    ) -> Result<Discovery, ClientError> {
        let topics = options.topics.clone();
        let (found_sender, found) = channel();
        let (stop_sender, stop) = channel();
        let first = with_retries(|| look(consumer, &topics, &mut known))?;
        for each in first {
            // The receiver lives in this function.
            let _ = found_sender.send(each);
        }
        let consumer = Arc::downgrade(consumer);
        std::thread::Builder::new()
            .name("kafka-discovery".to_owned())
            .spawn(move || search(&consumer, &topics, known, &found_sender, &stop))
            .map_err(|error| ClientError {
                action: format!("start the thread that looks for topics ({error})"),
                error: rdkafka::error::KafkaError::Canceled,
            })?;
        Ok(Discovery { found, _stop: stop_sender })
    }

    /// What was found since it was asked last.
    pub(super) fn found(&self) -> Vec<Found> {
        self.found.try_iter().collect()
    }
}

fn search(
    consumer: &Weak<Consumer>,
    topics: &Topics,
    mut known: HashSet<(Arc<str>, i32)>,
    sender: &Sender<Found>,
    stop: &Receiver<()>,
) {
    while stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(consumer) = consumer.upgrade() else { return };
        match look(&consumer, topics, &mut known) {
            Ok(found) => {
                for each in found {
                    if sender.send(each).is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "trying again"),
        }
    }
}

/// Partitions of the input that are not `known` yet, which they then are.
fn look(
    consumer: &Consumer,
    topics: &Topics,
    known: &mut HashSet<(Arc<str>, i32)>,
) -> Result<Vec<Found>, ClientError> {
    let metadata =
        consumer.fetch_metadata(None, TIMEOUT).map_err(ClientError::on("list the topics"))?;
    let mut found = Vec::new();
    for topic in metadata.topics() {
        if !topics.reads(topic.name()) {
            continue;
        }
        let name: Arc<str> = topic.name().into();
        for partition in topic.partitions() {
            let place = (name.clone(), partition.id());
            if known.contains(&place) {
                continue;
            }
            let (start, _) = consumer
                .fetch_watermarks(&name, partition.id(), TIMEOUT)
                .map_err(ClientError::on(format!("find the start of {name}/{}", place.1)))?;
            found.push(Found { topic: name.clone(), partition: place.1, start });
        }
    }
    known.extend(found.iter().map(|each| (each.topic.clone(), each.partition)));
    Ok(found)
}
