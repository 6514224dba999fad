//! Tells operators how far backfills are: the key event `cebe_backfill_progress`, as log and metric.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cebe_connectors::backfill::job::Standing;
use cebe_connectors::backfill::log::JobLog;
use cebe_connectors::backfill::taken::Taken;
use cebe_connectors::kafka::{ClientError, KafkaOptions};
use cebe_schemas::time::Millis;

use crate::command::backfill::Shown;
use crate::command::now_ms;

const LOOK: Duration = Duration::from_secs(1);
/// A job is told of in the log this often, if it moves.
const TELL: Duration = Duration::from_secs(10);
/// Jobs of which nothing was heard for longer are told of no more.
const SILENT_MS: Millis = 86_400_000;
/// What waits for Kafka begins again after this.
const PAUSE: Duration = Duration::from_secs(5);

/// Watches from a thread of its own, which ends with the process.
pub fn watch(kafka: KafkaOptions) -> std::io::Result<()> {
    let watch = move || {
        loop {
            let Err(error) = Watch::new(&kafka).and_then(|mut watch| watch.run());
            tracing::warn!(%error, "the progress of backfills is not told for a while");
            std::thread::sleep(PAUSE);
        }
    };
    std::thread::Builder::new().name("cebe-backfills".into()).spawn(watch).map(drop)
}

struct Watch {
    log: JobLog,
    taken: Taken,
    /// Job → when it was told of last, and what.
    told: HashMap<String, (Instant, u64, bool)>,
}

impl Watch {
    fn new(kafka: &KafkaOptions) -> Result<Watch, ClientError> {
        let log = JobLog::open(kafka)?;
        let taken = Taken::follow(kafka, now_ms() - 30 * SILENT_MS)?;
        Ok(Watch { log, taken, told: HashMap::new() })
    }

    fn run(&mut self) -> Result<std::convert::Infallible, ClientError> {
        self.taken.read_all()?;
        loop {
            self.taken.poll()?;
            self.log.poll()?;
            self.tell();
            std::thread::sleep(LOOK);
        }
    }

    fn tell(&mut self) {
        let since_ms = now_ms() - SILENT_MS;
        let jobs = self.log.jobs().newest_first().into_iter();
        for job in jobs.filter(|job| {
            job.heard_ms > since_ms
                && !matches!(job.standing, Standing::Cancelled | Standing::Undone)
        }) {
            let shown = Shown::of(job, &self.taken.of(&job.id));
            let processed = shown.processed();
            let labels =
                [("source_module", shown.source_module.clone()), ("job", shown.job.clone())];
            metrics::gauge!("cebe_backfill_progress", &labels).set(shown.percent_complete);
            metrics::gauge!("cebe_backfill_records_processed", &labels).set(processed as f64);
            let is_done = shown.standing == "done";
            let is_news = match self.told.get(&job.id) {
                None => !is_done,
                Some((at, before, was_done)) => {
                    is_done != *was_done || at.elapsed() > TELL && processed != *before
                }
            };
            if is_news {
                shown.log();
                self.told.insert(job.id.clone(), (Instant::now(), processed, is_done));
            }
        }
    }
}
