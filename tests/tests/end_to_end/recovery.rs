//! What a start needs and what it does not: snapshots, and Kafka's records since the newest one.

use std::path::Path;

use anyhow::{Context, ensure};
use cebe_tests::system::{System, eventually};
use serde_json::json;

use crate::cases::{event, message, read_through, records_read, sources_on};

const TOPIC: &str = "cebe.events.ads";

pub(crate) fn clicks(account: &str, keys: std::ops::Range<u32>) -> Vec<cebe_dev::demo::Message> {
    keys.map(|key| {
        let (key, customer) = (key.to_string(), (key % 3).to_string());
        let mut click = event(account, "ads", "ad.clicked", &key, &customer);
        click["properties"] = json!({"campaign_id": "c"});
        message("ads", click)
    })
    .collect()
}

pub(crate) fn held(system: &System, account: &str) -> anyhow::Result<(u64, u64)> {
    let events = format!("SELECT count() FROM cebe.events WHERE account_id = '{account}'");
    let customers = format!(
        "SELECT denominator FROM cebe.metric_values WHERE account_id = '{account}' \
         AND metric = 'ads_conversion' AND group_key = 'c'"
    );
    Ok((system.number(&events)?, system.number(&customers)?))
}

/// Records that are in a snapshot are not needed any more; those that nobody has read are missed, by
/// name; and given up only when told so.
pub fn what_is_cut_under_a_stopped_engine_is_missed(system: &System) -> anyhow::Result<()> {
    let engine = system.engine()?;
    sources_on(system)?;
    let before = records_read(system)?;
    system.publish(&clicks("cut", 0..30))?;
    read_through(system, before + 30)?;
    engine.stop()?;
    system.delete_records(TOPIC)?;
    system.publish(&clicks("cut", 20..40))?;
    let engine = system.engine()?;
    ensure!(engine.log().contains("restored from a snapshot"), "{}", engine.log());
    read_through(system, before + 50)?;
    ensure!(held(system, "cut")? == (40, 3), "{:?}", held(system, "cut")?);
    engine.stop()?;

    system.publish(&clicks("cut", 40..60))?;
    system.delete_records(TOPIC)?;
    system.publish(&clicks("cut", 60..70))?;
    let mut engine = system.spawn_engine()?;
    ensure!(!engine.wait_exit()?, "it skipped what was deleted");
    let why = engine.log();
    let named = why.contains(&format!("{TOPIC}/")) && why.contains("--accept-loss");
    ensure!(named && why.contains("records are gone that were not read yet"), "{why}");

    let engine = system.engine_in("engine", &["--accept-loss"])?;
    read_through(system, before + 60)?;
    ensure!(held(system, "cut")? == (50, 3), "{:?}", held(system, "cut")?);
    ensure!(engine.log().contains("records are lost"), "{}", engine.log());
    engine.stop()
}

/// Whatever is found damaged is made anew: from the snapshot before, from the key files, from the log.
pub fn damaged_files_are_made_anew(system: &System) -> anyhow::Result<()> {
    let engine = system.engine_in("damaged", &[])?;
    sources_on(system)?;
    let before = records_read(system)?;
    let mut expected = 0;
    let mut engine = Some(engine);
    let damages: [(Damage, &str); 3] = [
        (newest_manifest, "a manifest is left out"),
        (every_fact, "beginning at the first binding"),
        (keys, "taking used keys from the snapshot"),
    ];
    for (round, (damage, says)) in damages.into_iter().enumerate() {
        let from = 20 * round as u32;
        // Half of them are repeated in the next round.
        system.publish(&clicks("damaged", from..from + 40))?;
        expected += 40;
        read_through(system, before + expected)?;
        engine.take().context("no engine")?.stop()?;
        damage(&system.data_dir("damaged"))?;
        let again = system.engine_in("damaged", &[])?;
        ensure!(again.log().contains(says), "not {says:?}: {}", again.log());
        engine = Some(again);
        let (events, customers) = held(system, "damaged")?;
        ensure!((events, customers) == (u64::from(from) + 40, 3), "{events} {customers}");
    }
    system.publish(&clicks("damaged", 0..10))?;
    read_through(system, before + expected + 10)?;
    ensure!(held(system, "damaged")? == (80, 3), "{:?}", held(system, "damaged")?);
    engine.context("no engine")?.stop()
}

type Damage = fn(&Path) -> anyhow::Result<()>;

fn flip(file: &Path) -> anyhow::Result<()> {
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("an empty file")? ^= 1;
    Ok(std::fs::write(file, bytes)?)
}

fn files(folder: &Path, kind: &str) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let is_kind = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind))
    };
    let mut found: Vec<_> = entries.iter().map(|entry| entry.path()).filter(is_kind).collect();
    found.sort();
    ensure!(!found.is_empty(), "{}: no {kind}", folder.display());
    Ok(found)
}

fn newest_manifest(data: &Path) -> anyhow::Result<()> {
    let found = files(&data.join("snapshots"), "manifest-")?;
    flip(found.last().context("no manifest")?)
}

fn every_fact(data: &Path) -> anyhow::Result<()> {
    files(&data.join("snapshots"), "facts-")?.iter().try_for_each(|file| flip(file))
}

fn keys(data: &Path) -> anyhow::Result<()> {
    Ok(std::fs::remove_dir_all(data.join("keys"))?)
}

/// A snapshot comes by itself while events flow, and the next start begins there.
pub fn a_start_begins_at_the_newest_snapshot(system: &System) -> anyhow::Result<()> {
    let engine = system.engine_in("snapshots", &[])?;
    sources_on(system)?;
    let before = records_read(system)?;
    system.publish(&clicks("snapshots", 0..10))?;
    read_through(system, before + 10)?;
    let folder = system.data_dir("snapshots").join("snapshots");
    eventually("a snapshot is written", || Ok(files(&folder, "manifest-").ok()))?;
    engine.kill()?;
    let engine = system.engine_in("snapshots", &[])?;
    ensure!(engine.log().contains("restored from a snapshot"), "{}", engine.log());
    system.publish(&clicks("snapshots", 5..15))?;
    read_through(system, before + 20)?;
    ensure!(held(system, "snapshots")? == (15, 3), "{:?}", held(system, "snapshots")?);
    engine.stop()
}

/// It has services of its own: a log is of the older logic from its first binding on.
pub fn another_logic_follows(_: &System) -> anyhow::Result<()> {
    let system = &System::start()?;
    let older = || system.spawn_engine_as("logic", &[], &[("CEBE_FAULT", "older_logic")]);
    let mut engine = older()?;
    engine.wait_ready()?;
    sources_on(system)?;
    system.publish(&clicks("logic", 0..10))?;
    read_through(system, 10)?;
    let folder = system.data_dir("logic").join("snapshots");
    eventually("a snapshot is written", || Ok(files(&folder, "manifest-").ok()))?;
    // Published, and in no snapshot.
    system.publish(&clicks("logic", 10..12))?;
    read_through(system, 12)?;
    engine.kill()?;
    let engine = system.engine_in("logic", &[])?;
    let log = engine.log();
    ensure!(
        log.contains("the differences are published rows=0") && log.contains("cause=Definition"),
        "{log}"
    );
    system.publish(&clicks("logic", 5..15))?;
    read_through(system, 22)?;
    ensure!(held(system, "logic")? == (15, 3), "{:?}", held(system, "logic")?);
    system.verify()?;
    engine.stop()?;
    // The version before is taken back.
    let mut engine = older()?;
    engine.wait_ready()?;
    let log = engine.log();
    ensure!(
        log.contains("the differences are published rows=0") && log.contains("cause=Definition"),
        "{log}"
    );
    engine.stop()
}
