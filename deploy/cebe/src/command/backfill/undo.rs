//! Asks the engine to undo a job, and waits until it has.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use cebe_connectors::backfill::UNDONE_WITHIN_MS;
use cebe_connectors::backfill::job::{Job, Says};
use cebe_connectors::backfill::log::{JobLog, append};
use cebe_connectors::backfill::taken::Taken;
use cebe_connectors::kafka::KafkaOptions;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Shown, known};
use crate::command::{control, now_ms};
use crate::config::Config;
use crate::logging;

const LOOK: Duration = Duration::from_millis(200);
/// After this long it is said what may be the matter.
const STILL: Duration = Duration::from_secs(30);

pub(super) fn run(
    config: &Config,
    kafka: &KafkaOptions,
    id: &str,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if !std::io::stderr().is_terminal() {
        logging::init(&config.log)?;
    }
    let log = JobLog::open(kafka)?;
    let job = known(log.jobs(), id)?;
    let mut taken = Taken::follow(kafka, job.begun_ms)?;
    taken.read_all()?;
    if taken.of(id).undone_at.is_none() {
        ask(kafka, job)?;
        // Of a job that has published nothing, nothing has to be undone.
        if job.progress.published() > 0 {
            wait(&mut taken, id)?;
        }
    }
    let log = JobLog::open(kafka)?;
    Shown::of(known(log.jobs(), id)?, &taken.of(id)).print(json)?;
    Ok(ExitCode::SUCCESS)
}

fn ask(kafka: &KafkaOptions, job: &Job) -> anyhow::Result<()> {
    let age_ms = now_ms() - job.heard_ms;
    if age_ms > UNDONE_WITHIN_MS {
        let (days, most) = (age_ms / 86_400_000, UNDONE_WITHIN_MS / 86_400_000);
        bail!("job {} ended {days} days ago: it can be undone for {most} days", job.id);
    }
    // Its process stops, and nobody resumes it.
    append(kafka, &job.id, Says::Undone)?;
    control::append(kafka, &mut json!({"backfills": {&*job.id: "undo"}}))?;
    Ok(())
}

fn wait(taken: &mut Taken, id: &str) -> anyhow::Result<()> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    bar.set_style(ProgressStyle::with_template("{spinner} undoing {msg} {elapsed}")?);
    bar.set_message(id.to_owned());
    let (begin, mut has_said) = (Instant::now(), false);
    while taken.of(id).undone_at.is_none() {
        bar.tick();
        std::thread::sleep(LOOK);
        taken.poll()?;
        if begin.elapsed() > STILL && !has_said {
            has_said = true;
            bar.suspend(|| {
                eprintln!(
                    "job {id} is not undone yet: the engine works through everything since it began, or a \
                     definition waits for history, or no engine runs; its log says which. This command may be \
                     ended and given again"
                );
            });
        }
    }
    bar.finish_and_clear();
    Ok(())
}
