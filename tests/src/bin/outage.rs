//! `cargo outage`: events at a rate, ClickHouse away for a while, and how long until everything is as it was.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use cebe_dev::clickhouse;
use cebe_dev::demo::{Publisher, Stream};
use cebe_tests::system::System;
use cebe_tests::watch::{Summary, Watch};
use clap::Parser;
use serde_json::json;

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
/// What counts as back: readable within this time.
const BACK_MS: u64 = 1_000;
/// And so for this long.
const BACK_FOR: Duration = Duration::from_secs(3);
/// Neither JIT compilers nor caches are warm before.
const WARM_UP: Duration = Duration::from_secs(20);

/// Takes ClickHouse away under load, and measures what everybody notices.
///
/// Servers and engine are its own, in a folder that is deleted. `readable` is the age of the newest event
/// that can be read in ClickHouse, `feeds` that of the newest tick on `cebe.out.progress`.
#[derive(Parser)]
#[command(name = "outage", max_term_width = 100)]
struct Arguments {
    /// Events a second.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// How long ClickHouse is away.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// How long is measured before and after, in seconds.
    #[arg(long, default_value_t = 60)]
    beside: u64,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let beside = Duration::from_secs(arguments.beside);
    let system = System::measured()?;
    let mut engine = system.engine()?;
    for source in ["cdp", "broadcast", "ads"] {
        system.cebe_ok(&["source", "on", source])?;
    }
    let stream = Stream::new(1, "outage", &ACCOUNTS);
    let load = Publisher::start(&system.services, arguments.rate, stream)?;
    let mut watch = Watch::begin(&system, engine.pid())?;
    say("before", WARM_UP + beside);
    watch.phase("warm-up", WARM_UP)?;
    let before = watch.phase("before", beside)?;
    let down = Duration::from_secs_f64(arguments.minutes * 60.0);
    say("clickhouse is away", down);
    clickhouse::stop(system.services.options())?;
    let away = watch.phase("away", down)?;
    clickhouse::start(system.services.options())?;
    say("clickhouse is back", down);
    let back = Instant::now();
    let catching_up = watch.until("catching up", BACK_MS, BACK_FOR, down * 3)?;
    let took = back.elapsed().saturating_sub(BACK_FOR);
    say("after", beside);
    let after = watch.phase("after", beside)?;
    if !engine.is_running()? {
        bail!("the engine has ended: {}", engine.log_tail());
    }
    let published = load.stop()?;
    thread::sleep(Duration::from_secs(2));
    engine.stop()?;
    print(&arguments, published, took, &[before, away, catching_up, after]);
    Ok(())
}

fn say(what: &str, about: Duration) {
    eprintln!("{what}: up to {} s", about.as_secs());
}

fn print(arguments: &Arguments, published: u64, took: Duration, phases: &[Summary]) {
    let (rate, took_s) = (arguments.rate, took.as_secs_f64());
    if arguments.json {
        let phases: Vec<_> = phases.iter().map(Summary::json).collect();
        println!(
            "{}",
            json!({"rate": rate, "published": published, "back_after_s": took_s, "phases": phases})
        );
        return;
    }
    println!("{published} events published, {rate} a second; back under 1 s after {took_s:.1} s");
    println!("{}", Summary::HEADER);
    phases.iter().for_each(|phase| println!("{phase}"));
}
