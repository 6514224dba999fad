//! Customers who wait for the end of a window.

use cebe_schemas::control::ControlState;
use cebe_schemas::time::Millis;
use serde_json::json;

use super::engine::Pipeline;
use super::seeded::ACCOUNT;
use crate::workload::{START_MS, Workload, empty};

/// No event of the workload is of this type: only those who wait are in its segment.
const EVENT: &str = "ad.lead";
/// Longer than any load here takes.
const WINDOW_DAYS: Millis = 90;
const BATCH: usize = 20_000;
/// None is a customer of the workload.
const FIRST: u64 = 1 << 40;

/// Puts the segment in force that they wait in.
pub fn define(control: &mut ControlState) -> anyhow::Result<()> {
    let segment = json!({
        "segment_id": "waiting", "account_id": ACCOUNT,
        "when": {"did": EVENT, "within": format!("{WINDOW_DAYS}d")},
    });
    control.apply(json!({"segments": [segment]}).to_string().as_bytes())?;
    Ok(())
}

/// Lets `count` customers wait, each by one event. They are told to the dataflow alone.
pub fn hold(pipeline: &mut Pipeline, count: u64) -> anyhow::Result<()> {
    let mut workload = Workload::new();
    let ticks = count.div_ceil(BATCH as u64) as Millis + 1;
    pipeline.tick(&[], Some(START_MS - ticks))?;
    let mut customers = FIRST..FIRST + count;
    while !customers.is_empty() {
        let now = pipeline.t_ms + 1;
        let mut tick = empty(now);
        for customer in customers.by_ref().take(BATCH) {
            workload.event(&mut tick, customer, EVENT, now, None);
        }
        pipeline.tick_of_facts(tick)?;
    }
    Ok(())
}
