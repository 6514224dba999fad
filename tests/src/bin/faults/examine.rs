//! Everything that is checked once all is quiet.

use std::fs;

use anyhow::Context;
use cebe_schemas::view::{BINDINGS_TOPIC, View};
use cebe_tests::oracle::Verdicts;
use serde_json::Value;

use crate::check::answers::answers;
use crate::check::bound::{self, SOURCES};
use crate::check::published::published;
use crate::check::{Check, feeds, folded, verdicts};
use crate::load::CONTROL_TOPIC;
use crate::publisher::Outbox;
use crate::world::World;

/// What came of the checks.
pub struct Findings {
    pub checks: Vec<Check>,
    /// Read, accepted, duplicate, rejected, skipped: what the contract gives.
    pub totals: [u64; 5],
}

/// All checks, on a system that is complete through `through_ms`.
pub fn examine(world: &World, outbox: &Outbox, through_ms: i64) -> anyhow::Result<Findings> {
    let brokers = &world.services.kafka_bootstrap;
    let rows = |sql: &str| rows(world, sql);
    let mut checks = vec![verify(world)?];

    let names = [&SOURCES[..], &[CONTROL_TOPIC]].concat();
    let topics = bound::topics(brokers, &names)?;
    checks.push(published(outbox, &topics));
    let bindings = crate::reading::read(brokers, BINDINGS_TOPIC)?;
    let (lines, in_order) = bound::in_order(&bindings, &topics)?;
    checks.push(in_order);
    let mut oracle = Verdicts::new();
    let mut expected = verdicts::expected(&lines, &mut oracle);
    let early = std::mem::take(&mut expected.early);
    let totals = expected.totals();
    checks.extend(expected.compare(rows)?);

    let progress = feeds::read_progress(brokers)?;
    checks.push(feeds::progress(&progress));
    for view in View::ALL {
        let feed = feeds::read(brokers, view)?;
        checks.push(feeds::feed(view, &feed, &progress));
        if let Some((_, sql)) = folded::VIEWS.iter().find(|(of, _)| *of == view) {
            checks.push(folded::folded(view, &feed, through_ms, &rows(sql)?));
        }
    }
    checks.extend(answers(&lines, &early, &oracle, through_ms, rows)?);
    Ok(Findings { checks, totals })
}

/// `cebe verify`, whose report is kept.
fn verify(world: &World) -> anyhow::Result<Check> {
    let output = world.cebe().args(["verify", "--json"]).output().context("cebe verify")?;
    fs::write(world.folder.join("verify.json"), &output.stdout)?;
    let mut check = Check::of("cebe verify");
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    for comparison in report["comparisons"].as_array().into_iter().flatten() {
        check.compared += comparison["rows"].as_u64().unwrap_or_default();
        for _ in 0..comparison["differences"].as_u64().unwrap_or_default() {
            check.lost(format!("{}: {}", comparison["name"], comparison["first"]));
        }
    }
    if !output.status.success() && check.is_clean() {
        check.lost(format!("it ends with {}", output.status));
    }
    Ok(check)
}

/// The rows of a query, each an array of its columns.
fn rows(world: &World, sql: &str) -> anyhow::Result<Vec<Value>> {
    let text = world.services.query(&format!(
        "{sql} SETTINGS output_format_json_quote_64bit_integers=0 FORMAT JSONCompactEachRow"
    ))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
