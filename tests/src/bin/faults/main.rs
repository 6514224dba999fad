//! `cargo faults`: load and faults by a seed, then quiet, then every check.
//!
//! * [`mod@schedule`]: which faults, and when; pure. [`load`]: what is published; pure.
//! * [`world`]: the servers, the proxies and the engine. [`publisher`]: puts the load into Kafka.
//! * [`act`]: carries a fault out; [`tear`]: the one that damages files.
//! * [`quiet`]: waits until nothing is on its way. [`examine`] and [`check`]: what has to hold then.
//! * [`report`]: what is said of all that.

mod act;
mod check;
mod examine;
mod interrupt;
mod load;
mod publisher;
mod quiet;
mod reading;
mod report;
mod schedule;
mod tear;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;

use crate::load::Load;
use crate::publisher::{Outbox, Publisher};
use crate::report::{Done, Report, Screen};
use crate::schedule::{Size, Step, schedule};
use crate::world::World;

/// Kills, cuts and freezes the engine, Kafka and ClickHouse under load, and then looks for anything
/// lost, doubled, invented or out of order.
///
/// Both servers are real and its own, in a folder that is deleted unless something is wrong. The same
/// seed gives the same load and the same faults at the same times. Exit status 1 means that something is wrong;
/// docs/guides/faults.md says how to read it.
#[derive(Parser)]
#[command(name = "faults", max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// Decides what is published and what goes wrong when; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// At least so many processes are killed; half as many other faults come on top.
    #[arg(long, default_value_t = 12)]
    kills: usize,
    /// How long events flow. Faults that take longer prolong it.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Events a second.
    #[arg(long, default_value_t = 600)]
    rate: u32,
    /// Damage files of the engine too, while it is down.
    #[arg(long)]
    torn: bool,
    /// Print the schedule and end.
    #[arg(long)]
    dry_run: bool,
    /// Check once more what a run has left in this folder, which stays.
    #[arg(long, value_name = "FOLDER")]
    again: Option<PathBuf>,
    /// Keep logs and data in any case.
    #[arg(long)]
    keep: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was acknowledged and where, for whoever looks into a failure.
const ACKNOWLEDGED: &str = "acknowledged.tsv";

const EXAMPLES: &str = "Examples:
  cargo faults --seed 1 --kills 12 --minutes 3     what CI runs
  cargo faults --kills 200 --minutes 60            an hour, another seed each time
  cargo faults --seed 7 --dry-run                  what that seed would do
  cargo faults --again target/faults/seed-7-1795   its checks once more, if something was wrong
  cargo faults --seed 7 --json | jq .checks        for machines; the faults are told on stderr";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let size = Size {
        seed: arguments.seed.unwrap_or_else(|| now_ms() as u64 % 1_000_000),
        kills: arguments.kills,
        length: Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes")?,
        torn: arguments.torn,
    };
    let steps = schedule(size);
    if let Some(folder) = &arguments.again {
        return again(arguments, folder);
    }
    if arguments.dry_run {
        steps.iter().for_each(|step| println!("{}", shown(step.at, step)));
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::install()?;
    let screen = Screen::new(size.length, arguments.json);
    screen.line(&format!("seed {}", size.seed));
    let (begin, folder) = (Instant::now(), new_folder(size.seed));
    let mut report = Report { seed: Some(size.seed), ..Report::default() };
    if let Err(error) = live(arguments, size, &steps, &folder, &screen, &mut report) {
        report.error = Some(format!("{error:#}"));
        report.passed = false;
    }
    screen.end();
    report.seconds = begin.elapsed().as_secs();
    if report.passed && !arguments.keep {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    } else {
        report.folder = Some(folder);
    }
    tell(&report, arguments.json)
}

fn tell(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        report.print();
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checks alone, on what a run has left.
fn again(arguments: &Arguments, folder: &Path) -> anyhow::Result<ExitCode> {
    interrupt::install()?;
    let begin = Instant::now();
    let acknowledged = folder.join(ACKNOWLEDGED);
    let text =
        fs::read_to_string(&acknowledged).with_context(|| acknowledged.display().to_string())?;
    let outbox = Outbox::of_tsv(&text).with_context(|| acknowledged.display().to_string())?;
    let world = World::start(folder)?;
    let findings = examine::examine(&world, &outbox, quiet::frontier(&world)?)?;
    let mut report = Report { acknowledged: outbox.acknowledged.len(), ..Report::default() };
    report.take_in(findings.checks, findings.totals);
    report.seconds = begin.elapsed().as_secs();
    report.folder = Some(folder.to_owned());
    tell(&report, arguments.json)
}

/// From the start of the servers to the last check.
fn live(
    arguments: &Arguments,
    size: Size,
    steps: &[Step],
    folder: &Path,
    screen: &Screen,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut world = World::start(folder)?;
    world.start_engine(None)?;
    world.await_ready()?;
    let brokers = &world.services.kafka_bootstrap;
    let publisher = Publisher::start(brokers, arguments.rate, Load::new(size.seed))?;
    world.await_rows(Load::SEGMENTS, "cebe.segment_definitions")?;
    publisher.flow();
    let faults = go_through(&mut world, &publisher, steps, size.length, screen, report);
    report.gave_up.clone_from(&world.gave_up);
    faults?;
    screen.at(size.length, "waiting for the last records");
    let outbox = publisher.stop()?;
    fs::write(folder.join(ACKNOWLEDGED), outbox.to_tsv())?;
    report.acknowledged = outbox.acknowledged.len();
    let through_ms = quiet::quiet(&mut world);
    report.gave_up.clone_from(&world.gave_up);
    let through_ms = through_ms?;
    screen.at(size.length, "checking");
    let findings = examine::examine(&world, &outbox, through_ms)?;
    report.take_in(findings.checks, findings.totals);
    Ok(())
}

/// Each fault at its time.
fn go_through(
    world: &mut World,
    publisher: &Publisher,
    steps: &[Step],
    length: Duration,
    screen: &Screen,
    report: &mut Report,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    for step in steps {
        while begin.elapsed() < step.at {
            world.pause()?;
            screen.at(begin.elapsed(), &format!("{} records", publisher.acknowledged()));
        }
        if !step.overlaps {
            world.await_ready()?;
        }
        let (at, line) = (begin.elapsed(), shown(begin.elapsed(), step));
        let result = act::carry_out(world, publisher, step.fault)
            .inspect_err(|_| screen.line(&line))
            .with_context(|| step.fault.to_string())?;
        let more = if result.is_empty() { String::new() } else { format!(": {result}") };
        screen.line(&format!("{line}{more}"));
        report.kills += step.fault.kills();
        let fault = step.fault.to_string();
        report.faults.push(Done { at_ms: at.as_millis() as u64, fault, result });
    }
    while begin.elapsed() < length {
        world.pause()?;
        screen.at(begin.elapsed(), &format!("{} records", publisher.acknowledged()));
    }
    Ok(())
}

fn shown(at: Duration, step: &Step) -> String {
    let overlaps = if step.overlaps { "+ " } else { "" };
    format!("{:7.1} s  {overlaps}{}", at.as_secs_f32(), step.fault)
}

/// A folder that is not there yet.
fn new_folder(seed: u64) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    root.join(format!("target/faults/seed-{seed}-{}", now_ms()))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
