//! What a definition costs when it is put, edited and removed while many customers are held: the tick
//! that brings it, and the event that waits for that tick.

use std::time::Duration;

use cebe_connectors::kafka::source::Record;
use cebe_schemas::view::CONTROL_TOPIC;
use clap::Args;
use serde_json::{Value, json};

use crate::measure::{Timings, memory_bytes};
use crate::pipeline::engine::{Pipeline, Ticked, control};
use crate::pipeline::seeded::ACCOUNT;
use crate::report::{Table, mib, ms};
use crate::workload::START_MS;

const BATCH: u64 = 20_000;
/// Who enters: a clause about `share`, which is the customer's number modulo 100.
const ENTERING: [(&str, &str); 3] = [
    ("all", r#"{"attribute":"share","gte":0}"#),
    ("1 %", r#"{"attribute":"share","eq":7}"#),
    ("none", r#"{"attribute":"share","gte":100}"#),
];

#[derive(Args)]
#[command(after_help = MEANING)]
pub struct Options {
    /// Customers held, once for each; each has attributes and one event.
    #[arg(long, value_delimiter = ',', default_value = "1000000,5000000")]
    customers: Vec<u64>,
    /// How often each definition is put, edited and removed.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Dataflow workers.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// One line of JSON for each row instead of a table.
    #[arg(long)]
    json: bool,
}

const MEANING: &str = "\
tick: ms on the wall of the tick that brings the definition, through adapter, dataflow and numbering.
changes: the differences of that tick, each of which is a record of the output.
waits: ms that an event waits which comes when the tick has just begun, its own tick included.
The edit is another clause with the same members. Median and greatest of all rounds.";

/// What is done with a definition.
#[derive(Clone, Copy)]
enum Step {
    Put,
    Edit,
    Remove,
}

impl Step {
    const ALL: [Step; 3] = [Step::Put, Step::Edit, Step::Remove];

    fn name(self) -> &'static str {
        match self {
            Step::Put => "put",
            Step::Edit => "edited",
            Step::Remove => "removed",
        }
    }

    fn record(self, when: &str) -> anyhow::Result<Value> {
        let when: Value = serde_json::from_str(when)?;
        let segment = |version: u32, when: Value| {
            json!({"segments": [{"segment_id": "s", "account_id": ACCOUNT, "version": version,
                "when": when}]})
        };
        Ok(match self {
            Step::Put => segment(1, when),
            Step::Edit => {
                segment(2, json!({"all": [when, {"attribute": "share", "exists": true}]}))
            }
            Step::Remove => {
                json!({"remove_segments": [{"segment_id": "s", "account_id": ACCOUNT}]})
            }
        })
    }
}

/// Of one step in all rounds.
#[derive(Default)]
struct Outcome {
    ticks: Timings,
    waits: Timings,
    changes: u64,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let header = ["customers", "entering", "is", "tick p50", "max", "changes", "waits p50", "max"];
    let mut table = Table::new([&header[..], &["memory"]].concat());
    for &customers in &options.customers {
        let mut world = World::load(customers, options.workers)?;
        for (entering, when) in ENTERING {
            let outcomes = world.measure(when, options.rounds)?;
            let memory = memory_bytes()?;
            for (step, outcome) in Step::ALL.into_iter().zip(outcomes) {
                let [tick, tick_max] = outcome.ticks.quantiles_ms([0.5, 1.0]);
                let [waits, waits_max] = outcome.waits.quantiles_ms([0.5, 1.0]);
                let changes = outcome.changes;
                if options.json {
                    println!(
                        "{}",
                        json!({"workload": "definitions", "customers": customers,
                            "entering": entering, "step": step.name(), "tick_p50_ms": tick,
                            "tick_max_ms": tick_max, "changes": changes, "waits_p50_ms": waits,
                            "waits_max_ms": waits_max, "workers": options.workers,
                            "memory_bytes": memory})
                    );
                }
                let names = [customers.to_string(), entering.to_owned(), step.name().to_owned()];
                let times = [ms(tick), ms(tick_max), changes.to_string(), ms(waits), ms(waits_max)];
                table.row(names.into_iter().chain(times).chain([mib(memory)]));
            }
        }
        world.pipeline.shutdown();
    }
    if !options.json {
        table.print();
        println!("\n{MEANING}");
    }
    Ok(())
}

/// A pipeline that holds customers.
struct World {
    pipeline: Pipeline,
    customers: u64,
    key: u64,
}

impl World {
    fn load(customers: u64, workers: usize) -> anyhow::Result<World> {
        let pipeline = Pipeline::start(control(None)?, workers, START_MS)?;
        let mut world = World { pipeline, customers, key: 0 };
        let mut numbers = 0..customers;
        while !numbers.is_empty() {
            let batch = numbers.by_ref().take(BATCH as usize);
            let records: Vec<Record> = batch.map(|n| world.created(n)).collect();
            world.pipeline.tick(&records, None)?;
        }
        Ok(world)
    }

    fn created(&mut self, customer: u64) -> Record {
        let properties = json!({"share": customer % 100, "city": "jakarta"});
        self.event("customer.created", customer, properties)
    }

    fn event(&mut self, name: &str, customer: u64, properties: Value) -> Record {
        self.key += 1;
        let envelope = json!({
            "event_name": name, "schema_version": 1, "source_module": "cdp",
            "idempotency_key": self.key.to_string(), "account_id": ACCOUNT,
            "qontak_customer_id": customer.to_string(), "occurred_at": self.pipeline.t_ms,
            "properties": properties,
        });
        record("cebe.events.cdp", &envelope)
    }

    /// Each step in turn, several times, and an event right after each.
    fn measure(&mut self, when: &str, rounds: u64) -> anyhow::Result<[Outcome; 3]> {
        let mut outcomes: [Outcome; 3] = Default::default();
        for round in 0..rounds {
            for (step, outcome) in Step::ALL.into_iter().zip(&mut outcomes) {
                let defined = record(CONTROL_TOPIC, &step.record(when)?);
                let defined = self.pipeline.tick(&[defined], None)?;
                let customer = (round + 1) * 7_919 % self.customers;
                let event = self.event("customer.updated", customer, json!({"city": "depok"}));
                let after = self.pipeline.tick(&[event], None)?;
                let (tick, own) = (wall(&defined), wall(&after));
                outcome.ticks.add(tick);
                outcome.waits.add(tick + own);
                outcome.changes = defined.changes;
            }
        }
        Ok(outcomes)
    }
}

fn wall(ticked: &Ticked) -> Duration {
    ticked.costs.to_records().wall
}

fn record(topic: &str, payload: &Value) -> Record {
    let payload = payload.to_string().into_bytes();
    Record { topic: topic.into(), created_ms: -1, payload, ..Record::default() }
}
