//! Feeds for subscribers over HTTP, from Kafka to the API.

use cebe_connectors::feeds::FeedError;
use cebe_connectors::feeds::follow::{FollowedTick, Follower};
use cebe_connectors::kafka::KafkaOptions;
use cebe_query::feed::{Ended, FeedRow, Follow, Following, Tick};
use cebe_schemas::time::Millis;
use cebe_schemas::view::View;
use tokio::sync::mpsc;

/// Ticks that are read ahead of a subscriber.
const TICKS_AHEAD: usize = 4;

/// The feeds of an installation.
pub struct Feeds(pub KafkaOptions);

impl Follow for Feeds {
    fn follow(&self, views: Vec<View>, after_ms: Millis) -> Following {
        let (sender, following) = mpsc::channel(TICKS_AHEAD);
        let kafka = self.0.clone();
        tokio::spawn(async move {
            let Err(ended) = follow(&kafka, &views, after_ms, &sender).await else { return };
            // Nobody may be there to be told.
            let _ = sender.send(Err(ended)).await;
        });
        following
    }
}

/// Until the subscriber is gone.
async fn follow(
    kafka: &KafkaOptions,
    views: &[View],
    after_ms: Millis,
    sender: &mpsc::Sender<Result<Tick, Ended>>,
) -> Result<(), Ended> {
    let begun = Follower::begin(kafka, views, after_ms).await.map_err(ended)?;
    let mut follower = begun.ok_or(Ended::Gap)?;
    loop {
        let tick = tokio::select! {
            tick = follower.next() => told(tick.map_err(ended)?),
            () = sender.closed() => return Ok(()),
        };
        if sender.send(Ok(tick)).await.is_err() {
            return Ok(());
        }
    }
}

fn told(tick: FollowedTick) -> Tick {
    let row = |row: cebe_connectors::feeds::follow::FollowedRow| FeedRow {
        view: row.view,
        partition: row.partition,
        json: row.json,
    };
    Tick { t_ms: tick.t_ms, rows: tick.rows.into_iter().map(row).collect() }
}

fn ended(error: FeedError) -> Ended {
    match error {
        FeedError::Lost(_) => Ended::Gap,
        error => Ended::Broken(error.to_string()),
    }
}
