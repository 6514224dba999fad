//! Waits until nothing is on its way any more.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cebe_dev::proxy::Mode;
use cebe_schemas::view::PROGRESS_TOPIC;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::check::bound::SOURCES;
use crate::check::feeds::Progress;
use crate::reading;
use crate::schedule::Server;
use crate::world::{PATIENCE, World};

/// Longer than the narrowest window of the load's segments.
const SETTLE: Duration = Duration::from_secs(6);

/// Ends every fault, waits until all is loaded, and stops the engine. Returns the time that ClickHouse
/// is complete through.
pub fn quiet(world: &mut World) -> anyhow::Result<i64> {
    world.relieve_all()?;
    for server in [Server::Kafka, Server::ClickHouse] {
        world.start_server(server)?;
        world.proxy(server).set(Mode::Pass);
    }
    world.await_ready()?;
    let (begin, mut left) = (Instant::now(), Some(String::new()));
    while left.is_some() || begin.elapsed() < SETTLE {
        if begin.elapsed() > PATIENCE * 2 {
            let tail = world.engine()?.log_tail();
            bail!("it does not become quiet: {}: {tail}", left.unwrap_or_default());
        }
        world.pause()?;
        left = unfinished(world)?;
    }
    world.stop_engine()?;
    frontier(world)
}

/// What is still to be done; none: nothing.
fn unfinished(world: &mut World) -> anyhow::Result<Option<String>> {
    let (sent, read) = (published(world)?, records_read(world)?);
    if read != sent {
        return Ok(Some(format!("{read} of {sent} records are read")));
    }
    let last = reading::last(&world.services.kafka_bootstrap, PROGRESS_TOPIC)?;
    let last: Progress = serde_json::from_slice(&last.context("nothing is out")?.payload)?;
    let (frontier, through) = (frontier(world)?, last.through_ms());
    if frontier != through {
        return Ok(Some(format!("{frontier} is loaded, {through} is out")));
    }
    let Ok((_, metrics)) = world.engine()?.get("/metrics") else {
        return Ok(Some("the engine does not answer".into()));
    };
    let gauge = metrics.lines().find_map(|line| line.strip_prefix("cebe_definitions_waiting "));
    let waits = gauge.filter(|count| *count != "0");
    Ok(waits.map(|count| format!("{count} definitions wait for history")))
}

/// The time that ClickHouse is complete through.
pub fn frontier(world: &World) -> anyhow::Result<i64> {
    let sql = "SELECT toUnixTimestamp64Milli(min(complete_through)) FROM cebe.frontier";
    Ok(world.number(sql)? as i64)
}

fn records_read(world: &World) -> anyhow::Result<u64> {
    world.number(
        "SELECT sum(records_read) FROM cebe.ingest_ledger \
         WHERE startsWith(topic, 'cebe.events.') OR startsWith(topic, 'cebe.backfill.')",
    )
}

/// Records on the source topics: publishers there have no transactions, so that offsets have no gap.
fn published(world: &World) -> anyhow::Result<u64> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &world.services.kafka_bootstrap).create()?;
    let mut sum = 0;
    for topic in SOURCES {
        let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let (low, high) = client.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            sum += (high - low) as u64;
        }
    }
    Ok(sum)
}
