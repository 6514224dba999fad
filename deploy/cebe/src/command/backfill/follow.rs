//! Publishes for a job until everything is taken in, and shows how far it is.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cebe_connectors::backfill::job::{Job, Says, Standing};
use cebe_connectors::backfill::log::append;
use cebe_connectors::backfill::publish::{Publishing, Step};
use cebe_connectors::backfill::taken::Taken;
use cebe_connectors::kafka::KafkaOptions;
use indicatif::{ProgressBar, ProgressStyle};

use super::Shown;
use crate::config::Config;
use crate::logging;

/// Records in one transaction.
const BATCH: usize = 5_000;
/// So many records may be published that the engine has not taken in: what waits in Kafka is bounded, and a
/// job that is paused stops soon.
const AHEAD: u64 = 30_000;
const LOOK: Duration = Duration::from_millis(50);
/// A key event of operation is logged this often.
const TELL: Duration = Duration::from_secs(5);
/// After this long it is said that nothing moves.
const STILL: Duration = Duration::from_secs(15);

/// Goes on with job `id`.
pub(super) fn go_on(
    config: &Config,
    kafka: &KafkaOptions,
    id: &str,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if !std::io::stderr().is_terminal() {
        logging::init(&config.log)?;
    }
    let mut publishing = Publishing::open(kafka, id)?;
    let mut taken = Taken::follow(kafka, publishing.job()?.begun_ms)?;
    taken.read_all()?;
    let mut screen = Screen::new(publishing.job()?)?;
    let mut pace = Pace::new(publishing.job()?.start.rate);
    loop {
        taken.poll()?;
        let counts = taken.of(id);
        let job = publishing.job()?;
        let shown = Shown::of(job, &counts);
        screen.show(&shown);
        if shown.standing == "done" {
            screen.end();
            shown.print(json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let is_ahead = job.progress.published() >= counts.records_read + AHEAD;
        let most = if is_ahead { 0 } else { pace.most() };
        if most == 0 || job.standing == Standing::Published {
            std::thread::sleep(LOOK);
            publishing.look()?;
        }
        match publishing.step(most)? {
            Step::Published(records) => pace.spend(records),
            Step::Stands(Standing::Published | Standing::Running) => {}
            Step::Stands(standing) => {
                screen.end();
                eprintln!("job {id} is {}", standing.as_str());
                if standing == Standing::Paused {
                    eprintln!("go on with: cebe backfill resume {id}");
                }
                shown.print(json)?;
                return Ok(ExitCode::SUCCESS);
            }
            Step::Full => {
                append(kafka, id, Says::Paused)?;
                screen.end();
                eprintln!(
                    "job {id} is paused: it has published as many events as --events-max allows. Start \
                     another with more; what was taken in counts once"
                );
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}

/// At most so many records a second, in even portions.
struct Pace {
    rate: Option<u32>,
    begin: Instant,
    spent: u64,
}

impl Pace {
    fn new(rate: Option<u32>) -> Pace {
        Pace { rate, begin: Instant::now(), spent: 0 }
    }

    fn most(&mut self) -> usize {
        let Some(rate) = self.rate else { return BATCH };
        let due = (self.begin.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        // What was not used for long is not made up for.
        self.spent = self.spent.max(due.saturating_sub(rate.into()));
        due.saturating_sub(self.spent).min(BATCH as u64) as usize
    }

    fn spend(&mut self, records: usize) {
        self.spent += records as u64;
    }
}

/// A bar on a terminal, else log lines.
struct Screen {
    bar: ProgressBar,
    told: Option<Instant>,
    moved: (Instant, u64),
    is_still: bool,
}

impl Screen {
    fn new(job: &Job) -> anyhow::Result<Screen> {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(1_000),
            false => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg} {eta} left")?;
        bar.set_style(style);
        bar.set_prefix(job.id.clone());
        Ok(Screen { bar, told: None, moved: (Instant::now(), 0), is_still: false })
    }

    fn show(&mut self, shown: &Shown) {
        let processed = shown.processed();
        if processed != self.moved.1 {
            self.moved = (Instant::now(), processed);
            self.is_still = false;
        } else if self.moved.0.elapsed() > STILL && !self.is_still {
            self.is_still = true;
            self.bar.suspend(|| {
                let waiting = shown.waiting;
                eprintln!(
                    "{waiting} records are published and not taken in: no engine runs, or live events \
                     leave no room"
                );
            });
        }
        self.bar.set_position((shown.percent_complete * 10.0) as u64);
        let rejected = shown.rejected;
        self.bar.set_message(format!(
            "{:.1} % {processed} {rejected} rejected",
            shown.percent_complete
        ));
        if self.told.is_none_or(|told| told.elapsed() > TELL) || shown.standing == "done" {
            self.told = Some(Instant::now());
            shown.log();
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept() {
        let mut pace = Pace::new(Some(1_000));
        pace.begin = Instant::now() - Duration::from_secs(10);
        assert_eq!(pace.most(), 1_000, "a second of what was not used");
        pace.spend(1_000);
        assert!(pace.most() < 100);
        assert_eq!(Pace::new(None).most(), BATCH);
    }
}
