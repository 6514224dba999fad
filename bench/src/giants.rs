//! What giants cost, each among many ordinary customers: an update of the giant, and an event of
//! somebody else before it is there and while it is.

use std::sync::Arc;
use std::time::Instant;

use cebe_dataflow::Dataflow;
use cebe_schemas::fact::{Linking, TickInput};
use cebe_schemas::time::Millis;
use clap::Args;
use serde_json::json;

use crate::Common;
use crate::measure::{Timings, memory_bytes};
use crate::report::{Table, mib, ms};
use crate::workload::{Random, START_MS, Workload, definitions, empty};

/// Customers that are no giants, or have nothing to do with one.
const ORDINARY: u64 = 100_000;
const BROADCASTS: u64 = 1_000;

#[derive(Args)]
pub struct Options {
    /// Events of one person.
    #[arg(long, default_value_t = 100_000)]
    facts: u64,
    /// Recipients of one broadcast.
    #[arg(long, default_value_t = 1_000_000)]
    recipients: u64,
    /// Customers with one phone.
    #[arg(long, default_value_t = 100_000)]
    holders: u64,
    /// Customers in a chain of explicit links.
    #[arg(long, default_value_t = 10_000)]
    chain: u64,
    /// Ticks of each kind.
    #[arg(long, default_value_t = 200)]
    ticks: u64,
    #[command(flatten)]
    common: Common,
}

/// What one giant costs.
struct Outcome {
    giant: String,
    load_s: f64,
    updates: Vec<(&'static str, Timings)>,
    others_before: Timings,
    others_after: Timings,
    memory_bytes: u64,
}

/// A dataflow with ordinary customers, and its time.
struct World {
    dataflow: Dataflow,
    workload: Workload,
    random: Random,
    now: Millis,
    batch: usize,
    ticks: u64,
}

impl World {
    fn new(options: &Options) -> anyhow::Result<World> {
        let mut world = World {
            dataflow: Dataflow::start(options.common.workers)?,
            workload: Workload::new(),
            random: Random(7),
            now: START_MS,
            batch: options.common.batch,
            ticks: options.ticks,
        };
        let mut first = empty(world.now);
        first.definitions = Some(definitions(&[
            ("broadcast.replied", 2, 30),
            ("broadcast.sent", 3, 7),
            ("ad.clicked", 1, 10),
        ]));
        world.dataflow.tick(first)?;
        world.load(ORDINARY, |world, tick, n, now| {
            world.workload.phone(tick, n, n, now);
            let group = world.random.below(BROADCASTS);
            world.workload.event(tick, n, "broadcast.sent", now, Some(group));
        })?;
        Ok(world)
    }

    /// Says something for each number below `count`, a batch a tick; returns seconds.
    fn load(
        &mut self,
        count: u64,
        say: impl Fn(&mut World, &mut TickInput, u64, Millis),
    ) -> anyhow::Result<f64> {
        let begin = Instant::now();
        let mut numbers = 0..count;
        while !numbers.is_empty() {
            let mut tick = self.next();
            for n in numbers.by_ref().take(self.batch) {
                say(self, &mut tick, n, self.now);
            }
            self.dataflow.tick(tick)?;
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    fn next(&mut self) -> TickInput {
        self.now += 1;
        empty(self.now)
    }

    /// Times one tick for each round.
    fn time(
        &mut self,
        ticks: u64,
        say: impl Fn(&mut World, &mut TickInput, u64, Millis),
    ) -> anyhow::Result<Timings> {
        let mut timings = Timings::default();
        for n in 0..ticks {
            let mut tick = self.next();
            say(self, &mut tick, n, self.now);
            timings.tick(&mut self.dataflow, tick)?;
        }
        Ok(timings)
    }

    /// Times events of customers that are no giants.
    fn others(&mut self) -> anyhow::Result<Timings> {
        self.time(self.ticks, |world, tick, n, now| {
            world.workload.event(
                tick,
                n % ORDINARY,
                "broadcast.replied",
                now,
                Some(n % BROADCASTS),
            );
        })
    }

    /// Loads a giant and times what happens to it then.
    fn measure(
        mut self,
        giant: String,
        load: impl FnOnce(&mut World) -> anyhow::Result<f64>,
        update: impl FnOnce(&mut World) -> anyhow::Result<Vec<(&'static str, Timings)>>,
    ) -> anyhow::Result<Outcome> {
        let others_before = self.others()?;
        let load_s = load(&mut self)?;
        let updates = update(&mut self)?;
        let (others_after, memory_bytes) = (self.others()?, memory_bytes()?);
        self.dataflow.shutdown();
        Ok(Outcome { giant, load_s, updates, others_before, others_after, memory_bytes })
    }
}

/// Of a number that no ordinary customer has.
const GIANT: u64 = 1 << 40;

fn person(options: &Options) -> anyhow::Result<Outcome> {
    let event = |world: &mut World, tick: &mut TickInput, n: u64, now: Millis| {
        let name = if n.is_multiple_of(3) { "broadcast.replied" } else { "broadcast.sent" };
        let group = world.random.below(BROADCASTS);
        world.workload.event(tick, GIANT, name, now - n as Millis, Some(group));
    };
    World::new(options)?.measure(
        format!("a person with {} events", options.facts),
        |world| world.load(options.facts, event),
        |world| Ok(vec![("one event", world.time(options.ticks, event)?)]),
    )
}

fn broadcast(options: &Options) -> anyhow::Result<Outcome> {
    World::new(options)?.measure(
        format!("a broadcast with {} recipients", options.recipients),
        |world| {
            world.load(options.recipients, |world, tick, n, now| {
                world.workload.event(tick, GIANT + n, "broadcast.sent", now, Some(GIANT));
            })
        },
        |world| {
            let reply = world.time(options.ticks, |world, tick, n, now| {
                world.workload.event(tick, GIANT + n, "broadcast.replied", now, Some(GIANT));
            })?;
            Ok(vec![("one reply", reply)])
        },
    )
}

fn identifier(options: &Options) -> anyhow::Result<Outcome> {
    let linking = |tick: &mut TickInput, holders_max: usize| {
        tick.linking = Some(Arc::new(Linking { holders_max, ..Linking::default() }));
    };
    World::new(options)?.measure(
        format!("an identifier with {} holders", options.holders),
        |world| {
            world.load(options.holders, |world, tick, n, now| {
                world.workload.phone(tick, GIANT + n, GIANT, now);
            })
        },
        |world| {
            let comes = world.time(options.ticks, |world, tick, n, now| {
                world.workload.phone(tick, n, GIANT, now);
            })?;
            let goes = world.time(options.ticks, |world, tick, n, now| {
                world.workload.phone(tick, n, n, now);
            })?;
            let lifted = world.time(1, |_, tick, _, _| linking(tick, usize::MAX))?;
            let more = world.time(options.ticks.min(10), |world, tick, n, now| {
                world.workload.phone(tick, n, GIANT, now);
            })?;
            let lowered = world.time(1, |_, tick, _, _| linking(tick, 5))?;
            Ok(vec![
                ("one comes", comes),
                ("one goes", goes),
                ("the cap is lifted", lifted),
                ("one comes, no cap", more),
                ("the cap is back", lowered),
            ])
        },
    )
}

fn chain(options: &Options) -> anyhow::Result<Outcome> {
    let middle = options.chain / 2;
    let link = move |world: &mut World, tick: &mut TickInput, at: u64, now: Millis, linked| {
        world.workload.merge(tick, GIANT + at, GIANT + at + 1, linked, now);
    };
    World::new(options)?.measure(
        format!("a chain of {} customers", options.chain),
        |world| {
            let last = options.chain - 1;
            world.load(last, move |world, tick, n, now| link(world, tick, n, now, true))
        },
        |world| {
            let ticks = options.ticks.min(10);
            let (mut cut, mut mend) = (Timings::default(), Timings::default());
            for n in 0..ticks {
                for (linked, timings) in [(false, &mut cut), (true, &mut mend)] {
                    let mut tick = world.next();
                    let now = world.now;
                    link(world, &mut tick, middle + n, now, linked);
                    timings.tick(&mut world.dataflow, tick)?;
                }
            }
            let event = world.time(options.ticks, |world, tick, n, now| {
                world.workload.event(tick, GIANT + n, "broadcast.sent", now, Some(n % BROADCASTS));
            })?;
            Ok(vec![("cut in the middle", cut), ("mended", mend), ("one event", event)])
        },
    )
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let quantiles = |timings: &Timings| timings.quantiles_ms([0.5, 0.99, 1.0]);
    let mut table = Table::new(["tick, ms", "p50", "p99", "max"]);
    for giant in [person, broadcast, identifier, chain] {
        let outcome = giant(options)?;
        let others = [
            ("somebody else, before", &outcome.others_before),
            ("somebody else, after", &outcome.others_after),
        ];
        let kinds = outcome.updates.iter().map(|(kind, timings)| (*kind, timings)).chain(others);
        if options.common.json {
            let ticks: Vec<_> =
                kinds.map(|(kind, times)| json!({"tick": kind, "ms": quantiles(times)})).collect();
            println!(
                "{}",
                json!({"workload": "giants", "giant": outcome.giant, "load_s": outcome.load_s,
                    "workers": options.common.workers, "quantiles": [0.5, 0.99, 1.0],
                    "ticks": ticks, "memory_bytes": outcome.memory_bytes})
            );
            continue;
        }
        let load = format!("{}, loaded in {:.2} s", outcome.giant, outcome.load_s);
        table.row([load, String::new(), String::new(), mib(outcome.memory_bytes)]);
        for (kind, times) in kinds {
            let [p50, p99, max] = quantiles(times).map(ms);
            table.row([format!("  {kind}"), p50, p99, max]);
        }
    }
    if !options.common.json {
        table.print();
    }
    Ok(())
}
