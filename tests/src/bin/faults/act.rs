//! Carries out a fault.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use fastrand::Rng;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use crate::publisher::Publisher;
use crate::schedule::{Damage, Fault};
use crate::tear::tear;
use crate::world::{PATIENCE, Relief, World};

/// How long an engine may take to come to the point where it dies.
const POINT_PATIENCE: Duration = Duration::from_secs(45);
/// An engine that is ready does not come to these any more.
const AT_START: [&str; 4] = ["after_claim", "after_takeover", "during_restore", "during_replay"];
const SIGABRT: i32 = 6;

/// Does it, and says what came of it, if that is not obvious. An outage goes on when this returns.
///
/// # Errors
/// The engine does not behave, or the fault cannot be had.
pub fn carry_out(world: &mut World, publisher: &Publisher, fault: Fault) -> anyhow::Result<String> {
    if fault.needs_calm() {
        world.relieve_all()?;
    }
    match fault {
        Fault::KillEngine => {
            world.kill_engine()?;
            world.start_engine(None)?;
        }
        Fault::KillEngineTwice { after_ms } => {
            world.kill_engine()?;
            world.start_engine(None)?;
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(after_ms) {
                world.pause()?;
            }
            world.kill_engine()?;
            world.start_engine(None)?;
        }
        Fault::DieAt { point, passing } => return die_at(world, point, passing),
        Fault::KillServer { server, away_ms } => {
            world.kill_server(server)?;
            world.relieve_after(Duration::from_millis(away_ms), Relief::Start(server));
        }
        Fault::Network { server, mode, for_ms } => {
            world.proxy(server).set(mode);
            world.relieve_after(Duration::from_millis(for_ms), Relief::Pass(server));
        }
        Fault::Freeze { for_ms } => return freeze(world, for_ms),
        Fault::ReadOnly { for_ms } => return read_only(world, for_ms),
        Fault::Torn { damage, pick } => return torn(world, damage, pick),
        Fault::Partitions { source } => return one_partition_more(world, source),
        Fault::KillPublisher => publisher.kill(),
    }
    Ok(String::new())
}

/// The engine is started anew with the point armed, dies there by itself, and comes back unarmed.
fn die_at(world: &mut World, point: &str, passing: u32) -> anyhow::Result<String> {
    world.kill_engine()?;
    world.start_engine(Some(&format!("{point}:{passing}")))?;
    let begin = Instant::now();
    while begin.elapsed() < POINT_PATIENCE {
        if let Some(status) = world.engine()?.exit_status()? {
            ensure!(has_aborted(status), "ended with {status}: {}", world.engine()?.log_tail());
            let after = begin.elapsed().as_secs_f32();
            // It is known to be dead: nobody is to look for it.
            world.bury_engine();
            world.start_engine(None)?;
            return Ok(format!("died {after:.1} s after its start"));
        }
        if AT_START.contains(&point) && world.is_ready() {
            break;
        }
        world.pause_beside_engine()?;
    }
    world.kill_engine()?;
    world.start_engine(None)?;
    Ok(format!("did not come there within {:.1} s: killed", begin.elapsed().as_secs_f32()))
}

fn has_aborted(status: ExitStatus) -> bool {
    status.signal() == Some(SIGABRT)
}

/// SIGSTOP; another engine takes over; SIGCONT: the first must end by itself, without success.
fn freeze(world: &mut World, for_ms: u64) -> anyhow::Result<String> {
    world.await_ready()?;
    world.engine()?.signal("STOP")?;
    let mut frozen = world.replace_engine()?.context("no engine ran")?;
    world.await_ready()?;
    thread::sleep(Duration::from_millis(for_ms));
    frozen.signal("CONT")?;
    let woken = Instant::now();
    let success = frozen.wait_exit().with_context(|| frozen.log_tail())?;
    let log = frozen.log();
    ensure!(!success, "the engine that was frozen ended as if all were well");
    let said = log.contains("fenced") || log.contains("another engine");
    ensure!(said, "the engine that was frozen does not say why it ended: {}", frozen.log_tail());
    Ok(format!("it ended {:.1} s after it woke", woken.elapsed().as_secs_f32()))
}

/// Some tables take rows, others do not.
fn read_only(world: &mut World, for_ms: u64) -> anyhow::Result<String> {
    let mut refused = world.tables("name LIKE 'landing_%' AND engine LIKE '%MergeTree'")?;
    Rng::with_seed(for_ms).shuffle(&mut refused);
    refused.truncate(4);
    refused.iter().try_for_each(|table| world.refuse_rows(table))?;
    world.relieve_after(Duration::from_millis(for_ms), Relief::TakeRows);
    Ok(refused.join(", "))
}

/// The engine finds one of its files damaged. It may rebuild what it lost or say what is damaged;
/// then the folder is deleted, as an operator would, and it has to start.
fn torn(world: &mut World, damage: Damage, pick: u64) -> anyhow::Result<String> {
    world.kill_engine()?;
    let folder = world.data_dir();
    let told = tear(&[folder.clone(), world.snapshot_dir()], damage, pick)?;
    world.start_engine(None)?;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(status) = world.engine()?.exit_status()? {
            let said = world.engine()?.log_tail();
            world.bury_engine();
            if !said.contains(&folder.display().to_string()) {
                bail!("{told}; the engine ended with {status} and does not name it: {said}");
            }
            fs::remove_dir_all(&folder)?;
            world.start_engine(None)?;
            let said = said.lines().last().unwrap_or_default().to_owned();
            return Ok(format!("{told}; refused, deleted, started anew: {said}"));
        }
        if world.is_ready() {
            return Ok(format!("{told}; it started"));
        }
        world.pause_beside_engine()?;
    }
    bail!("{told}; the engine is not ready after {PATIENCE:?}: {}", world.engine()?.log_tail())
}

fn one_partition_more(world: &mut World, source: &str) -> anyhow::Result<String> {
    let brokers = &world.services.kafka_bootstrap;
    let topic = format!("cebe.events.{source}");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let metadata = admin.inner().fetch_metadata(Some(&topic), Duration::from_secs(30))?;
    let now = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let wanted = [NewPartitions::new(&topic, now + 1)];
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime.block_on(admin.create_partitions(&wanted, &options))?;
    if let Some(Err((topic, code))) = results.into_iter().next() {
        bail!("{topic}: no further partition: {code}");
    }
    Ok(format!("{} now", now + 1))
}
