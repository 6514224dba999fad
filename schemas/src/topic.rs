//! The topics that an engine needs, and how each is kept (architecture §6).

use crate::view::{
    BINDINGS_TOPIC, CONTROL_TOPIC, COUNTS_TOPIC, HISTORY_TOPIC, JOBS_TOPIC, OUT_PARTITIONS,
    PROGRESS_TOPIC, View,
};

/// Kept for ever.
pub const FOR_EVER_MS: i64 = -1;
/// As long as a subscriber may be away.
pub const MONTH_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A topic as it is created. No topic is ever compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// How long a record is kept, in milliseconds; -1 is for ever.
    pub retention_ms: i64,
}

impl Topic {
    /// A topic.
    pub fn new(name: impl Into<String>, partitions: u32, retention_ms: i64) -> Topic {
        Topic { name: name.into(), partitions, retention_ms }
    }
}

/// What an engine reads and writes beside the topics of its sources.
pub fn engine() -> Vec<Topic> {
    // One partition, never deleted: these are the order of everything, or small.
    let order = [BINDINGS_TOPIC, CONTROL_TOPIC, HISTORY_TOPIC, COUNTS_TOPIC, JOBS_TOPIC];
    let order = order.map(|name| Topic::new(name, 1, FOR_EVER_MS));
    let views = View::ALL.map(|view| Topic::new(view.topic(), OUT_PARTITIONS, MONTH_MS));
    order.into_iter().chain(views).chain([Topic::new(PROGRESS_TOPIC, 1, MONTH_MS)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_has_a_topic_of_its_own() {
        let topics = engine();
        for view in View::ALL {
            let own = |topic: &&Topic| topic.name == view.topic();
            assert_eq!(topics.iter().filter(own).count(), 1, "{view:?}");
        }
        assert_eq!(topics.len(), View::ALL.len() + 6);
    }

    #[test]
    fn the_order_of_everything_is_kept_for_ever_in_one_partition() {
        for name in ["cebe.control", "cebe.bindings", "cebe.history", "cebe.counts", "cebe.jobs"] {
            assert!(engine().contains(&Topic::new(name, 1, FOR_EVER_MS)));
        }
    }
}
