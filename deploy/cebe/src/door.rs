//! Events that come in over HTTP, from the API to Kafka.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cebe_connectors::kafka::intake::{Incoming, Intake};
use cebe_query::push::{Door, Outgoing, Publish, Publishing, Put, Rate, Unpublished};
use cebe_schemas::control::ControlState;
use cebe_schemas::verdict::Judge;
use tokio::sync::watch;

use crate::config::Config;

/// How long Kafka may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(8);

/// The door of this process; `control` is what its engine was told so far.
pub fn open(config: &Config, control: watch::Receiver<Arc<ControlState>>) -> anyhow::Result<Door> {
    let judge = Judge { catalogue: Arc::new(config.catalogue()?), keys: Arc::new(config.keys()?) };
    let intake = Intake::open(&config.kafka_options(), PATIENCE)?;
    let tokens = |name: &str, value: i64| {
        let tokens = u32::try_from(value).ok().and_then(NonZeroU32::new);
        tokens.with_context(|| format!("http.{name} is {value}"))
    };
    let rate = Rate {
        per_second: tokens("push_events_per_second", config.http.push_events_per_second)?,
        burst: tokens("push_events_burst", config.http.push_events_burst)?,
    };
    Ok(Door::new(judge, control, Kafka(intake), rate))
}

struct Kafka(Intake);

impl Publish for Kafka {
    fn publish(&self, events: Vec<Outgoing>) -> Publishing {
        let intake = self.0.clone();
        Box::pin(async move {
            let incoming = events.iter().map(|event| Incoming {
                source_module: &event.source_module,
                key: &event.key,
                payload: &event.payload,
                created_ms: event.created_ms,
            });
            let incoming: Vec<_> = incoming.collect();
            let put = intake.publish(&incoming).await;
            let put = put.map_err(|error| Unpublished(error.to_string()))?;
            Ok(put.iter().map(|put| Put { partition: put.partition, offset: put.offset }).collect())
        })
    }
}
