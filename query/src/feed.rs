//! What is out, tick by tick, for those who subscribe. The binary has Kafka behind it.

use cebe_schemas::time::Millis;
use cebe_schemas::view::View;
use tokio::sync::mpsc;

/// A logical time, whole: every row of the views that are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its T.
    pub t_ms: Millis,
    /// In order of view, partition and number.
    pub rows: Vec<FeedRow>,
}

/// A row of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Its view.
    pub view: View,
    /// The partition of its topic.
    pub partition: u32,
    /// One JSON object, as it stands on the topic.
    pub json: Box<[u8]>,
}

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What comes next is there no more: begin with a snapshot.
    Gap,
    /// The feeds cannot be read.
    Broken(String),
}

/// Ticks in order, until one side is gone. Nothing is read that nobody takes.
pub type Following = mpsc::Receiver<Result<Tick, Ended>>;

/// Follows feeds.
pub trait Follow: Send + Sync {
    /// The ticks after `after_ms` of some views.
    fn follow(&self, views: Vec<View>, after_ms: Millis) -> Following;
}
