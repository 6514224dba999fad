//! `cebe-dev demo`: services, a believable stream, the engine, and what comes out, live.
//!
//! * [`Stream`]: the records; `broken` holds the ways to get one wrong.
//! * `publish`: puts the stream into Kafka at a rate.
//! * `engine`: builds and runs the `cebe` binary.
//! * `poller`: measures propagation, as a reader of ClickHouse who knows nothing of the engine.
//! * `report`: what the tables say; `screen`: the same for people.

mod broken;
mod engine;
mod poller;
mod publish;
mod report;
mod screen;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use self::engine::Engine;
use self::poller::Poller;
pub use self::publish::Publisher;
use self::report::Report;
pub use self::stream::{Message, Stream};
use crate::{Options, Services};

/// The three tenants of the demo.
const ACCOUNTS: [&str; 3] = ["kopi-kita", "sehat-id", "toko-bunga"];
/// How long the last records may take into ClickHouse.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// What to show, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// Records a second.
    pub rate: u32,
    /// When to end; none: at Ctrl-C.
    pub duration: Option<Duration>,
    /// A summary as JSON at the end instead of the live screen.
    pub json: bool,
    /// The seed of the stream.
    pub seed: u64,
}

/// Runs the demo to its end; the services go on running.
pub fn run(options: &Options, demo: Demo) -> anyhow::Result<()> {
    let interrupted = interrupted()?;
    let services = crate::up(options)?;
    let engine = Engine::start(&services, &options.dir)?;
    engine.turn_on_sources(ACCOUNTS[0], ACCOUNTS[1])?;
    for account in ACCOUNTS {
        engine.put_segments(account)?;
    }
    let before = Report::read(&services)?;
    let publisher = Publisher::start(&services, demo.rate, stream(demo.seed))?;
    let poller = Poller::start(&services)?;
    let begin = Instant::now();
    let mut screen = screen::Screen::new(!demo.json);
    while demo.duration.is_none_or(|d| begin.elapsed() < d) && !interrupted.load(Ordering::Relaxed)
    {
        thread::sleep(Duration::from_millis(500));
        engine.check()?;
        if screen.is_shown() {
            let report = Report::read(&services)?.since(&before);
            screen.show(&report, &poller.latencies(), begin.elapsed());
        }
    }
    let published = publisher.stop()?;
    let report = drain(&services, &before, published)?;
    let latencies = poller.stop()?;
    engine.stop()?;
    if demo.json {
        println!("{}", serde_json::to_string_pretty(&report.summary(&latencies, published))?);
    } else {
        screen.show(&report, &latencies, begin.elapsed());
        screen.farewell(&services);
    }
    Ok(())
}

fn stream(seed: u64) -> Stream {
    // Customers and keys of each run are new, so that runs on the same services add up.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stream::new(seed, &format!("{}-", since_epoch.as_secs() % 100_000_000), &ACCOUNTS)
}

/// Waits until the ledger has read all that was published.
fn drain(services: &Services, before: &Report, published: u64) -> anyhow::Result<Report> {
    let begin = Instant::now();
    loop {
        let report = Report::read(services)?.since(before);
        if report.records_read >= published {
            return Ok(report);
        }
        ensure!(
            begin.elapsed() < DRAIN_PATIENCE,
            "{published} records were published and {} read after {DRAIN_PATIENCE:?}: see the \
             engine's log",
            report.records_read
        );
        thread::sleep(Duration::from_millis(100));
    }
}

fn interrupted() -> anyhow::Result<std::sync::Arc<AtomicBool>> {
    let flag = std::sync::Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || seen.store(true, Ordering::Relaxed))
        .context("ctrl-c cannot be caught")?;
    Ok(flag)
}
