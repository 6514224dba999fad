//! `cargo beside`: a backfill beside live events, and what the live ones notice.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use cebe_dev::demo::{Publisher, Stream};
use cebe_tests::system::System;
use cebe_tests::watch::{Summary, Watch};
use clap::Parser;
use serde_json::{Value, json};

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
/// Neither JIT compilers nor caches are warm before.
const WARM_UP: Duration = Duration::from_secs(20);
/// How long it may take after an undoing until live events are readable as they were.
const UNDONE_PATIENCE: Duration = Duration::from_secs(1_800);
const YEAR_MS: u64 = 365 * 86_400_000;
const EVENTS: [&str; 4] = ["sent", "delivered", "read", "replied"];

/// Brings a year of history in while events flow, and measures what these notice.
///
/// Servers and engine are its own, in a folder that is deleted. `readable` is the age of the newest event
/// that can be read in ClickHouse, `feeds` that of the newest tick on `cebe.out.progress`.
#[derive(Parser)]
#[command(name = "beside", max_term_width = 100)]
struct Arguments {
    /// Live events a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Events of the past.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How long is measured before and after, in seconds.
    #[arg(long, default_value_t = 60)]
    beside: u64,
    /// Undo the backfill at the end, and measure that too.
    #[arg(long)]
    undo: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let beside = Duration::from_secs(arguments.beside);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("history.jsonl");
    eprintln!("writing {} events", arguments.events);
    write_history(&file, arguments.events)?;
    let system = System::measured()?;
    let mut engine = system.engine()?;
    for source in ["cdp", "broadcast", "ads"] {
        system.cebe_ok(&["source", "on", source])?;
    }
    let stream = Stream::new(1, "beside", &ACCOUNTS);
    let load = Publisher::start(&system.services, arguments.rate, stream)?;
    let mut watch = Watch::begin(&system, engine.pid())?;
    eprintln!("before: {} s", (WARM_UP + beside).as_secs());
    watch.phase("warm-up", WARM_UP)?;
    let before = watch.phase("before", beside)?;
    let path = file.to_string_lossy().into_owned();
    let mut job =
        system.spawn(&["backfill", "start", "--source", "broadcast", "--from", &path, "--json"])?;
    let begin = Instant::now();
    let mut status = None;
    let during = watch.phase_while("during", || {
        status = job.try_wait()?;
        Ok(status.is_none())
    })?;
    let took = begin.elapsed();
    ensure!(status.is_some_and(|status| status.success()), "the backfill failed: {status:?}");
    eprintln!("after: {} s", beside.as_secs());
    let mut phases = vec![before, during, watch.phase("after", beside)?];
    if arguments.undo {
        eprintln!("undoing");
        phases.push(undo(&system, &mut watch)?);
        let catch_up = watch.until("it catches up", 2_000, WARM_UP / 4, UNDONE_PATIENCE)?;
        phases.push(catch_up);
    }
    if !engine.is_running()? {
        bail!("the engine has ended: {}", engine.log_tail());
    }
    let published = load.stop()?;
    let list = system.cebe_ok(&["backfill", "list", "--json"])?;
    let done: Value = serde_json::from_str(list.lines().next().context("no job")?)?;
    engine.stop()?;
    print(&arguments, published, took, &done, &phases);
    Ok(())
}

/// Undoes the newest job.
fn undo(system: &System, watch: &mut Watch<'_>) -> anyhow::Result<Summary> {
    let list = system.cebe_ok(&["backfill", "list", "--json"])?;
    let job: Value = serde_json::from_str(list.lines().next().context("no job")?)?;
    let id = job["job"].as_str().context("no id")?;
    let mut undo = system.spawn(&["backfill", "undo", id])?;
    let mut status = None;
    let undoing = watch.phase_while("undoing", || {
        status = undo.try_wait()?;
        Ok(status.is_none())
    })?;
    ensure!(status.is_some_and(|status| status.success()), "undoing failed: {status:?}");
    Ok(undoing)
}

/// A year of broadcasts and what a tenth as many customers did with them.
fn write_history(path: &Path, events: u64) -> anyhow::Result<()> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let mut out = BufWriter::new(File::create(path)?);
    let customers = (events / 10).max(1);
    for n in 0..events {
        let (touch, what) = (n / 4, EVENTS[(n % 4) as usize]);
        let customer = touch * 7_919 % customers;
        let age_ms = touch * 104_729 * 1_000 % YEAR_MS + 3_600_000 - n % 4 * 60_000;
        let event = json!({
            "event_name": format!("broadcast.{what}"), "schema_version": 1,
            "source_module": "broadcast", "idempotency_key": format!("past-{n}"),
            "account_id": ACCOUNTS[(customer % 3) as usize],
            "qontak_customer_id": format!("p{customer}"), "occurred_at": now_ms - age_ms,
            "properties": {"broadcast_id": format!("past-{}", age_ms / 86_400_000)},
        });
        writeln!(out, "{event}")?;
    }
    Ok(out.flush()?)
}

fn print(arguments: &Arguments, published: u64, took: Duration, job: &Value, phases: &[Summary]) {
    let (events, seconds) = (arguments.events, took.as_secs_f64());
    let per_second = events as f64 / seconds;
    if arguments.json {
        let phases: Vec<_> = phases.iter().map(Summary::json).collect();
        println!(
            "{}",
            json!({"rate": arguments.rate, "published": published, "job": job,
                "seconds": seconds, "phases": phases})
        );
        return;
    }
    println!("{published} live events, {} a second", arguments.rate);
    println!(
        "{events} events of the past in {seconds:.0} s, {per_second:.0} a second; accepted {}, difference {}",
        job["accepted"], job["difference"]
    );
    println!("{}", Summary::HEADER);
    phases.iter().for_each(|phase| println!("{phase}"));
}
