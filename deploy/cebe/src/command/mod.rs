//! One file a subcommand, and what several of them need.

pub mod apply;
pub mod backfill;
mod control;
mod definition;
pub mod eval;
pub mod explain;
pub mod key;
pub mod metric;
pub mod migrate;
mod pending;
pub mod preview;
pub mod reconcile;
pub mod replay;
pub mod run;
pub mod schema;
pub mod segment;
pub mod settings;
pub mod snapshots;
pub mod source;
pub mod verify;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
pub use cebe_connectors::clock::now_ms;
use cebe_connectors::kafka::topics;

use crate::config::Config;

/// How long Kafka may take to answer a command.
pub const KAFKA_PATIENCE: Duration = Duration::from_secs(15);

/// The sources that have a topic.
fn topic_list(config: &Config) -> anyhow::Result<BTreeSet<String>> {
    topics::list_sources(&config.kafka_options(), KAFKA_PATIENCE)
        .context("sources cannot be listed")
}
