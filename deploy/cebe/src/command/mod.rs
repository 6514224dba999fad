//! One file a subcommand, and what several of them need.

pub mod eval;
pub mod explain;
pub mod migrate;
pub mod preview;
pub mod replay;
pub mod run;
pub mod schema;
pub mod segment;
pub mod source;
pub mod verify;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use cebe_connectors::kafka::{control, topics};
use cebe_schemas::control::ControlState;
use serde_json::{Value, json};

use crate::config::Config;

const KAFKA_PATIENCE: Duration = Duration::from_secs(15);
/// A running engine takes a record in within a tick.
const IN_FORCE_PATIENCE: Duration = Duration::from_secs(5);

/// Appends a control record, if the control state would take it, and waits until it is in force.
fn publish_control(config: &Config, mut record: Value) -> anyhow::Result<()> {
    record["changed_by"] = json!(std::env::var("USER").unwrap_or_else(|_| "unknown".into()));
    let record = record.to_string();
    ControlState::new().apply(record.as_bytes())?;
    let kafka = config.kafka_options();
    let offset = control::publish(&kafka, record.as_bytes(), KAFKA_PATIENCE)?;
    if !control::wait_in_force(&kafka, offset, IN_FORCE_PATIENCE)? {
        eprintln!("kept, and in force as soon as an engine runs: none has taken it in so far");
    }
    Ok(())
}

/// The sources that have a topic.
fn topic_list(config: &Config) -> anyhow::Result<BTreeSet<String>> {
    topics::list_sources(&config.kafka_options(), KAFKA_PATIENCE)
        .context("sources cannot be listed")
}

/// The wall clock.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
