//! Definitions that come in over HTTP, from the API to `cebe.control`.

use std::sync::Arc;
use std::time::Duration;

use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::control;
use cebe_query::define::{Appending, ControlLog, Definer, NotAppended};
use cebe_schemas::control::ControlState;
use tokio::sync::watch;

use crate::config::Config;

/// How long Kafka may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(5);

/// What puts definitions in force in this process; `control` is what its engine was told so far.
pub fn open(config: &Config, control: watch::Receiver<Arc<ControlState>>) -> Definer {
    Definer::new(control, Kafka(config.kafka_options()))
}

struct Kafka(KafkaOptions);

impl ControlLog for Kafka {
    fn append(&self, record: Vec<u8>) -> Appending {
        let kafka = self.0.clone();
        // It waits for Kafka.
        let appended =
            tokio::task::spawn_blocking(move || control::publish(&kafka, &record, PATIENCE));
        Box::pin(async move {
            let appended = appended.await.map_err(|error| NotAppended(error.to_string()))?;
            appended.map_err(|error| NotAppended(error.to_string()))
        })
    }
}
