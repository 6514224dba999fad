//! Reads `cebe.out.*` and `cebe.out.progress`, each partition when it is its turn.
//!
//! Kafka's client keeps the records of a partition in a queue of its own, of which the size is limited:
//! a partition that nothing is wanted of is not read further, and no other one waits for it.
//!
//! Where to begin is decided by what ClickHouse holds, not by the group's offsets, which are only
//! committed for tools that show lag: so that an emptied or restored database is filled again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cebe_schemas::row::Progress;
use cebe_schemas::time::Millis;
use cebe_schemas::view::{PROGRESS_TOPIC, View};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{CommitMode, Consumer, DefaultConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{info, warn};

use super::cut::{Cut, Held};
use super::gather::Wanted;
use super::row::{self, Lane, Place, Row};
use super::{FeedError, FeedOptions};

const TIMEOUT: Duration = Duration::from_secs(5);

type Queue = StreamPartitionQueue<DefaultConsumerContext>;

/// The topics of all views.
pub(crate) struct Feed {
    consumer: Arc<StreamConsumer>,
    /// None is the progress topic.
    topics: BTreeMap<String, Option<View>>,
    partitions: BTreeMap<Wanted, Partition>,
    cut: Cut,
    /// Whether Kafka has failed since the last record.
    down: bool,
}

struct Partition {
    topic: String,
    number: i32,
    queue: Queue,
}

/// One record.
pub(crate) enum Record {
    Row(Lane, Place, Row),
    Progress(i64, Progress),
}

impl Feed {
    /// No connection is made yet.
    pub(crate) fn open(options: &FeedOptions) -> Result<Self, FeedError> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &options.kafka_bootstrap)
            .set("group.id", &options.group_id)
            .set("client.id", &options.client_id)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            // A gap must be seen.
            .set("auto.offset.reset", "error")
            // A tick ends in each partition at another moment. Were each answered at once, the broker would look at all
            // partitions again for each. A partition whose queue has room again waits for the fetch that is under way
            // without it, too.
            .set("fetch.min.bytes", "262144")
            .set("fetch.wait.max.ms", "25")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.message.max.bytes", "1048576")
            // Of each partition.
            .set("queued.max.messages.kbytes", options.queue_kbytes.to_string());
        for (name, value) in &options.kafka_settings {
            client.set(name, value);
        }
        let views = options.views.iter().map(|view| (view.topic(), Some(*view)));
        let topics = views.chain([(PROGRESS_TOPIC.to_owned(), None)]);
        Ok(Feed {
            consumer: Arc::new(client.create()?),
            topics: topics.map(|(t, v)| (format!("{}{t}", options.topic_prefix), v)).collect(),
            partitions: BTreeMap::new(),
            cut: Cut::default(),
            down: false,
        })
    }

    /// Begins with the first record after `through_ms`, or with the first of all.
    pub(crate) fn start(&mut self, through_ms: Option<Millis>) -> Result<(), KafkaError> {
        let found = self.discover()?;
        let mut assignment = TopicPartitionList::new();
        // Asked before the others: what it announces by then is in them.
        self.cut = Cut::new(self.end_of_progress(&found)?);
        for (topic, partition) in &found {
            let offset = match through_ms {
                None => Offset::Beginning,
                Some(through_ms) => {
                    let held = self.held_after(topic, *partition, through_ms)?;
                    self.cut.note(self.what(topic, *partition), held);
                    Offset::Offset(held.next.unwrap_or(held.end))
                }
            };
            assignment.add_partition_offset(topic, *partition, offset)?;
        }
        // Queues end with the assignment that they were made under.
        self.partitions.clear();
        self.consumer.assign(&assignment)?;
        for (topic, number) in found {
            let queue = self.consumer.split_partition_queue(&topic, number);
            let queue =
                queue.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition))?;
            let what = self.what(&topic, number);
            self.partitions.insert(what, Partition { topic, number, queue });
        }
        Ok(())
    }

    fn what(&self, topic: &str, number: i32) -> Wanted {
        match self.topics[topic] {
            Some(view) => Wanted::Lane((view, number as u32)),
            None => Wanted::Progress,
        }
    }

    fn end_of_progress(&self, found: &[(String, i32)]) -> Result<i64, KafkaError> {
        let is_progress =
            |(topic, number): &&(String, i32)| self.what(topic, *number) == Wanted::Progress;
        let Some((topic, number)) = found.iter().find(is_progress) else { return Ok(0) };
        Ok(self.consumer.fetch_watermarks(topic, *number, TIMEOUT)?.1)
    }

    fn discover(&self) -> Result<Vec<(String, i32)>, KafkaError> {
        let mut partitions = Vec::new();
        for topic in self.topics.keys() {
            let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            let found = metadata.topics().iter().find(|t| t.name() == topic);
            let Some(found) = found.filter(|t| !t.partitions().is_empty()) else {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic));
            };
            partitions.extend(found.partitions().iter().map(|p| (topic.clone(), p.id())));
        }
        Ok(partitions)
    }

    /// What a partition holds from the first record on with a later timestamp, which is its logical time.
    fn held_after(
        &self,
        topic: &str,
        partition: i32,
        through_ms: Millis,
    ) -> Result<Held, KafkaError> {
        // Asked first: if there is no later record, the next one is not before this end.
        let (first, end) = self.consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
        let mut times = TopicPartitionList::new();
        let after = Offset::Offset(through_ms.saturating_add(1));
        times.add_partition_offset(topic, partition, after)?;
        let offsets = self.consumer.offsets_for_times(times, TIMEOUT)?;
        let next = match offsets.find_partition(topic, partition).map(|found| found.offset()) {
            Some(Offset::Offset(next)) => Some(next),
            _ => None,
        };
        Ok(Held { first, next, end })
    }

    /// What Kafka has deleted.
    pub(crate) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The next record of what is wanted. Waits as long as there is none, also if Kafka is down.
    pub(crate) async fn next(&mut self, wanted: Wanted) -> Result<Record, FeedError> {
        let Some(partition) = self.partitions.get(&wanted) else {
            return Err(FeedError::Unknown(format!("{wanted:?}")));
        };
        loop {
            let received = tokio::select! {
                biased;
                received = partition.queue.recv() => received,
                // What concerns no partition.
                received = self.consumer.recv() => received,
            };
            match received {
                Ok(message) => {
                    let record = decode(&self.topics, &message)?;
                    if std::mem::take(&mut self.down) {
                        info!("kafka answers again");
                    }
                    return Ok(record);
                }
                Err(error) if is_lost(&error) => return Err(FeedError::Lost(error)),
                Err(error) => {
                    if !std::mem::replace(&mut self.down, true) {
                        warn!(%error, "kafka does not answer: waiting until it does");
                    }
                }
            }
        }
    }

    /// Tells tools that show lag how far it is: the offset after the last record of each lane, and of
    /// progress. A failure does no harm.
    pub(crate) fn commit(&self, lanes: &BTreeMap<Lane, i64>, progress: i64, mode: CommitMode) {
        let mut offsets = TopicPartitionList::new();
        for (what, Partition { topic, number, .. }) in &self.partitions {
            let offset = match what {
                Wanted::Lane(lane) => lanes.get(lane).copied(),
                Wanted::Progress => Some(progress),
                Wanted::Nothing => None,
            };
            if let Some(offset) = offset {
                let added = offsets.add_partition_offset(topic, *number, Offset::Offset(offset));
                if let Err(error) = added {
                    warn!(%error, topic, offset, "offset cannot be committed");
                }
            }
        }
        if let Err(error) = self.consumer.commit(&offsets, mode) {
            warn!(%error, "offsets cannot be committed");
        }
    }
}

fn decode(
    topics: &BTreeMap<String, Option<View>>,
    message: &BorrowedMessage<'_>,
) -> Result<Record, FeedError> {
    let unreadable = |source| FeedError::Unreadable {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        source,
    };
    let payload = message.payload().unwrap_or_default();
    match topics.get(message.topic()).copied().flatten() {
        None => {
            let progress = serde_json::from_slice(payload).map_err(unreadable)?;
            Ok(Record::Progress(message.offset(), progress))
        }
        Some(view) => {
            let (place, row) = row::read(message.offset(), payload).map_err(unreadable)?;
            Ok(Record::Row((view, message.partition() as u32), place, row))
        }
    }
}

/// Records that were to be read are not there any more.
fn is_lost(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}
