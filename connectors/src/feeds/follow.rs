//! Follows some views, tick by tick.

use std::time::Duration;

use cebe_schemas::time::Millis;
use cebe_schemas::view::View;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::sleep;

use super::feed::{Feed, Record};
use super::gather::{Gather, Wanted};
use super::{FeedError, FeedOptions};
use crate::kafka::KafkaOptions;

/// What is fetched ahead of each partition: a subscriber is one of many.
const QUEUE_KBYTES: u32 = 256;
/// How long Kafka, when it is away, is left alone at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A subscriber's place in the feeds. Reads only as fast as it is asked for ticks: Kafka keeps what waits.
pub struct Follower {
    feed: Feed,
    gather: Gather,
    views: Vec<View>,
}

/// A whole tick: every row of the views that are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedTick {
    /// Its T.
    pub t_ms: Millis,
    /// In order of view, partition and number.
    pub rows: Vec<FollowedRow>,
}

/// A row of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedRow {
    /// Its view.
    pub view: View,
    /// The partition of its topic.
    pub partition: u32,
    /// One JSON object, as it stands on the topic.
    pub json: Box<[u8]>,
}

impl Follower {
    /// Begins with the first tick after `after_ms`; waits while Kafka is away.
    ///
    /// # Errors
    /// None: some of it is there no more, as far as can be told. Or the client cannot be made.
    pub async fn begin(
        kafka: &KafkaOptions,
        views: &[View],
        after_ms: Millis,
    ) -> Result<Option<Follower>, FeedError> {
        let settings = kafka.properties.iter().map(|(name, value)| (name.clone(), value.clone()));
        let options = FeedOptions {
            kafka_bootstrap: kafka.brokers.clone(),
            kafka_settings: settings.collect(),
            topic_prefix: kafka.topics.named(""),
            // librdkafka hands out records only to a consumer that has a group id; nothing is committed.
            group_id: "cebe-subscriber".into(),
            client_id: "cebe-subscriber".into(),
            views: views.to_vec(),
            queue_kbytes: QUEUE_KBYTES,
        };
        let mut feed = Feed::open(&options)?;
        let mut pause = PAUSE;
        loop {
            // It asks Kafka for offsets, and waits for the answers.
            let begun = tokio::task::spawn_blocking(move || {
                let begun = feed.start(Some(after_ms));
                (feed, begun)
            });
            let Ok((same, begun)) = begun.await else {
                return Err(FeedError::Kafka(KafkaError::Canceled));
            };
            feed = same;
            match begun {
                Ok(()) if feed.cut().is_of_progress() => return Ok(None),
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "the feeds cannot be read yet"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let gather = Gather::after(Some(after_ms));
        Ok(Some(Follower { feed, gather, views: views.to_vec() }))
    }

    /// The next tick, however long that takes.
    ///
    /// # Errors
    /// [`FeedError::Lost`]: it was left behind by retention. Others: the feed is not what it should be.
    pub async fn next(&mut self) -> Result<FollowedTick, FeedError> {
        match self.next_whole().await {
            Err(FeedError::Mismatch(mismatch)) if self.feed.cut().explains(&mismatch) => {
                Err(lost())
            }
            outcome => outcome,
        }
    }

    async fn next_whole(&mut self) -> Result<FollowedTick, FeedError> {
        loop {
            let wanted = self.gather.wanted();
            if wanted == Wanted::Nothing
                && let Some(tick) = self.gather.next_tick()?
            {
                let rows = tick.rows.into_iter().flat_map(|((view, partition), rows)| {
                    let row = move |json| FollowedRow { view, partition, json };
                    rows.into_iter().map(move |one| row(one.json))
                });
                return Ok(FollowedTick { t_ms: tick.t_ms, rows: rows.collect() });
            }
            match self.feed.next(wanted).await? {
                Record::Row(lane, place, row) => self.gather.row(lane, place, row)?,
                Record::Progress(offset, mut progress) => {
                    progress.entries.retain(|entry| self.views.contains(&entry.view));
                    if self.feed.cut().has_taken(offset, &progress) {
                        return Err(lost());
                    }
                    self.gather.progress(offset, progress);
                }
            }
        }
    }
}

fn lost() -> FeedError {
    FeedError::Lost(KafkaError::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange))
}
