//! Propagation, measured from outside: from a record's create time to the first answer of
//! ClickHouse that holds its row. Reads ClickHouse and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};

use crate::Services;

const PAUSE: Duration = Duration::from_millis(10);

/// A thread that asks ClickHouse for new rows, again and again.
pub struct Poller {
    stop: Arc<AtomicBool>,
    latencies_ms: Arc<Mutex<Vec<u64>>>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Poller {
    /// Begins behind the rows that are there now.
    pub fn start(services: &Services) -> anyhow::Result<Poller> {
        let stop = Arc::new(AtomicBool::new(false));
        let latencies_ms = Arc::new(Mutex::new(Vec::new()));
        let last = services.query("SELECT max(ordinal) FROM cebe.landing_events")?;
        let last = last.trim().parse().context("max(ordinal) is not a number")?;
        let (services, stopped, seen) = (services.clone(), stop.clone(), latencies_ms.clone());
        let thread = thread::spawn(move || poll(&services, last, &stopped, &seen));
        Ok(Poller { stop, latencies_ms, thread })
    }

    /// What was measured so far, in milliseconds, in order of size.
    pub fn latencies(&self) -> Vec<u64> {
        let mut sorted = self.latencies_ms.lock().map(|l| l.clone()).unwrap_or_default();
        sorted.sort_unstable();
        sorted
    }

    /// Ends, and says all that was measured.
    pub fn stop(self) -> anyhow::Result<Vec<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let latencies_ms = self.latencies_ms.clone();
        self.thread.join().map_err(|_| anyhow!("the poller died"))??;
        let mut sorted = latencies_ms.lock().map(|l| l.clone()).unwrap_or_default();
        sorted.sort_unstable();
        Ok(sorted)
    }
}

fn poll(
    services: &Services,
    mut last: u64,
    stop: &AtomicBool,
    latencies_ms: &Mutex<Vec<u64>>,
) -> anyhow::Result<()> {
    // One more look after the stop sees the last rows.
    let mut stopping = false;
    while !stopping {
        stopping = stop.load(Ordering::Relaxed);
        let answer = services.query(&format!(
            "SELECT ordinal, toUnixTimestamp64Milli(published_at) FROM cebe.landing_events \
             WHERE ordinal > {last}"
        ))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let Ok(mut latencies) = latencies_ms.lock() else { break };
        for line in answer.lines() {
            let (ordinal, published) = line.split_once('\t').context("a row has two columns")?;
            last = last.max(ordinal.parse()?);
            latencies.push((now as u64).saturating_sub(published.parse()?));
        }
        drop(latencies);
        thread::sleep(PAUSE);
    }
    Ok(())
}
