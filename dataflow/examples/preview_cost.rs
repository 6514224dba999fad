//! What a preview costs: `cargo run --release -p cebe-dataflow --example preview_cost -- 1000000`.
//!
//! So many customers with three events each; a segment that half of them would enter; a tick with 100
//! events between any two slices of about 5 ms.

use std::time::{Duration, Instant};

use anyhow::Context;
use cebe_dataflow::{Dataflow, PreviewStep};
use cebe_schemas::control::ControlState;
use cebe_schemas::definition::Definitions;
use cebe_schemas::fact::{EventFact, Known, TickInput};
use cebe_schemas::id::{EventType, Group, IdKey};
use cebe_schemas::time::Millis;
use serde_json::json;

const START_MS: Millis = 1_764_000_000_000;
const SLICE: Duration = Duration::from_millis(5);

fn input(t_ms: Millis, events: impl Iterator<Item = (usize, &'static str)>) -> TickInput {
    let key = IdKey::new([7; 16]);
    let mut input = TickInput { t_ms, ..TickInput::default() };
    for (number, event) in events {
        let id = number.to_string();
        let subject = key.subject("a", &id);
        let known = Known {
            subject,
            account_id: "a".into(),
            customer_id: id.into(),
            occurred_at_ms: t_ms,
            by: None,
            team: None,
        };
        input.known.push(known);
        let event = EventType::named(event);
        input.events.push((subject, EventFact { event, group: Group::NONE, occurred_at_ms: t_ms }));
    }
    input
}

fn definitions(segments: serde_json::Value) -> anyhow::Result<Definitions> {
    let mut control = ControlState::new();
    control.apply(json!({ "segments": segments }).to_string().as_bytes())?;
    Ok(control.definitions().resolved(|_| Some("broadcast_id".into()), |_, _, text| text.into()))
}

/// Megabytes of this process.
fn resident_mb() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0 / 1e6
}

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: {} × p50 {:.2} p99 {:.2} max {:.2} ms",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn main() -> anyhow::Result<()> {
    let persons: usize = std::env::args().nth(1).context("how many customers?")?.parse()?;
    let mut dataflow = Dataflow::start(1)?;
    let names = ["broadcast.sent", "broadcast.read", "broadcast.replied"];
    // A half of the customers replied.
    let happens = |event: usize, number: usize| event < 2 || number.is_multiple_of(2);
    let mut t_ms = START_MS;
    for (event, name) in names.into_iter().enumerate() {
        for from in (0..persons).step_by(20_000) {
            let numbers = (from..persons.min(from + 20_000)).filter(|n| happens(event, *n));
            t_ms += 20;
            let mut input = input(t_ms, numbers.map(|number| (number, name)));
            if t_ms == START_MS + 20 {
                input.definitions = Some(definitions(json!([]))?.into());
            }
            dataflow.tick(input)?;
        }
    }
    let mut tick = |dataflow: &mut Dataflow, round: usize| -> anyhow::Result<Duration> {
        t_ms += 20;
        let numbers = (0..100).map(|n| ((round * 100 + n) * 7919 % persons, names[1]));
        let (input, begin) = (input(t_ms, numbers), Instant::now());
        dataflow.tick(input)?;
        Ok(begin.elapsed())
    };
    let before: Vec<_> = (0..300).map(|n| tick(&mut dataflow, n)).collect::<Result<_, _>>()?;
    say("ticks without a preview", before);

    let new = definitions(json!([{"segment_id": "s", "account_id": "a", "when": {"all": [
        {"did": "broadcast.replied", "within": "30d"}, {"not": {"did": "ad.clicked"}}]}}]))?;
    let (memory, begin) = (resident_mb(), Instant::now());
    dataflow.begin_preview(&new, Millis::MAX)?;
    let (mut budget, mut slices, mut ticks) = (2_000, Vec::new(), Vec::new());
    let found = loop {
        let slice = Instant::now();
        let step = dataflow.continue_preview(budget)?;
        slices.push(slice.elapsed());
        match step {
            PreviewStep::Done(found) => break found,
            PreviewStep::Dropped => anyhow::bail!("dropped"),
            PreviewStep::Left(_) => {
                let ratio = SLICE.as_secs_f64() / slice.elapsed().as_secs_f64();
                budget = ((budget as f64 * ratio.clamp(0.25, 2.0)) as usize).clamp(100, 1 << 20);
            }
        }
        ticks.push(tick(&mut dataflow, ticks.len())?);
    };
    println!("{persons} customers in {:.2} s", begin.elapsed().as_secs_f64());
    say("slices", slices);
    say("ticks between", ticks);
    let (after, report) = (resident_mb(), Instant::now());
    let preview = found.report(20);
    let entering = preview.segments[0].entering;
    println!("{entering} would enter; {:.0} bytes each", (after - memory) * 1e6 / entering as f64);
    println!("written down in {:.0} ms, on another thread", report.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
