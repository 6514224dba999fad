//! A job as people and machines read of it.

use std::fmt::Write as _;

use cebe_connectors::backfill::job::{Job, Standing};
use cebe_connectors::backfill::taken::Counts;
use cebe_schemas::time::{Millis, format_rfc3339, rfc3339};
use serde::Serialize;

/// How far a job is, and what became of its events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    pub job: String,
    pub source_module: String,
    /// `done` once everything that was published is taken in; `undoing` until it is `undone`.
    pub standing: &'static str,
    #[serde(with = "rfc3339")]
    pub begun_at: Millis,
    pub from: Vec<String>,
    pub percent_complete: f64,
    /// Records read from the input.
    pub lines_read: u64,
    /// Those of them that happened before `--since`: they are skipped.
    pub too_early: u64,
    /// Records published, of which those that `wait` are not taken in yet.
    pub published: u64,
    pub waiting: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    /// Excluded by the flag of the source, or too early.
    pub skipped: u64,
    pub rejected_by_reason: std::collections::BTreeMap<String, u64>,
    /// Records read that nothing is known of: lines_read − accepted − duplicate − rejected − skipped − waiting.
    pub difference: i64,
}

impl Shown {
    /// From what the job's process and the engine say. What is read first has to be the engine's word.
    pub fn of(job: &Job, counts: &Counts) -> Shown {
        let progress = &job.progress;
        let published = progress.published();
        let decided = counts.accepted + counts.duplicate + counts.rejected + counts.skipped;
        let waiting = published.saturating_sub(counts.records_read);
        let has_stopped = matches!(job.standing, Standing::Published | Standing::Undone);
        let is_done = has_stopped && progress.is_complete && waiting == 0;
        let skipped = counts.skipped + progress.left_out;
        let known = counts.accepted + counts.duplicate + counts.rejected + skipped + waiting;
        Shown {
            job: job.id.clone(),
            source_module: job.start.source_module.clone(),
            standing: match (job.standing, counts.undone_at) {
                (_, Some(_)) => "undone",
                (Standing::Undone, None) if published > 0 => "undoing",
                (_, None) if is_done => "done",
                (standing, None) => standing.as_str(),
            },
            begun_at: job.begun_ms,
            from: job.start.from.clone(),
            percent_complete: percent(job, published, decided, is_done),
            lines_read: progress.read,
            too_early: progress.left_out,
            published,
            waiting,
            accepted: counts.accepted,
            duplicate: counts.duplicate,
            rejected: counts.rejected,
            skipped,
            rejected_by_reason: counts.rejected_by_reason.clone(),
            difference: progress.read as i64 - known as i64,
        }
    }

    /// Records that the engine has taken in.
    pub fn processed(&self) -> u64 {
        self.published - self.waiting
    }

    /// The key event `cebe_backfill_progress`.
    pub fn log(&self) {
        tracing::info!(
            source_module = self.source_module,
            records_processed = self.processed(),
            percent_complete = self.percent_complete,
            job = self.job,
            "cebe_backfill_progress"
        );
    }

    /// To standard output.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        match json {
            true => println!("{}", serde_json::to_string(self)?),
            false => print!("{}", self.text()),
        }
        Ok(())
    }

    /// One line.
    pub fn line(&self) -> String {
        format!(
            "{:40} {:10} {:5.1} %  {:>12} read  {}",
            self.job,
            self.standing,
            self.percent_complete,
            self.lines_read,
            format_rfc3339(self.begun_at)
        )
    }

    fn text(&self) -> String {
        let reasons: Vec<String> =
            self.rejected_by_reason.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        let early = match self.too_early {
            0 => String::new(),
            n => format!("before --since {n}"),
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "job {} of {}: {}, {:.1} %",
            self.job, self.source_module, self.standing, self.percent_complete
        );
        for (name, n, more) in [
            ("read", self.lines_read as i64, ""),
            ("accepted", self.accepted as i64, ""),
            ("duplicate", self.duplicate as i64, ""),
            ("rejected", self.rejected as i64, &*reasons.join(", ")),
            ("skipped", self.skipped as i64, &early),
            ("waiting", self.waiting as i64, ""),
            ("difference", self.difference, ""),
        ] {
            let _ = writeln!(text, "{}", format!("  {name:10} {n:>12}  {more}").trim_end());
        }
        text
    }
}

/// The share of the input that is taken in: of its bytes, until all of it is read.
fn percent(job: &Job, published: u64, decided: u64, is_done: bool) -> f64 {
    if is_done {
        return 100.0;
    }
    let bytes: u64 = job.start.files.iter().map(|file| file.bytes).sum();
    let read = match job.progress.is_complete {
        true => 1.0,
        false => job.progress.bytes as f64 / bytes.max(1) as f64,
    };
    let taken = decided.min(published) as f64 / published.max(1) as f64;
    // 100 is said only of what is done.
    (read * taken * 100.0).min(99.9)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cebe_connectors::backfill::job::{JobFile, Progress, Start};

    use super::*;

    fn job(standing: Standing, progress: Progress) -> Job {
        let start = Start {
            source_module: "cdp".into(),
            from: vec!["a.jsonl".into()],
            files: vec![JobFile { path: "a.jsonl".into(), bytes: 200, digest: String::new() }],
            mapping: None,
            since_ms: None,
            rate: None,
            events_max: 1_000,
        };
        Job { id: "j".into(), start, begun_ms: 0, heard_ms: 0, progress, standing }
    }

    fn counts(accepted: u64, duplicate: u64, rejected: u64, skipped: u64) -> Counts {
        let rejected_by_reason = BTreeMap::from([("too_old".to_owned(), rejected)]);
        let records_read = accepted + duplicate + rejected + skipped;
        let undone_at = None;
        Counts {
            records_read,
            accepted,
            duplicate,
            rejected,
            skipped,
            rejected_by_reason,
            undone_at,
        }
    }

    #[test]
    fn every_line_read_is_accounted_for() {
        let half = Progress { read: 100, left_out: 10, bytes: 100, ..Progress::default() };
        let shown = Shown::of(&job(Standing::Running, half), &counts(30, 10, 4, 1));
        assert_eq!((shown.published, shown.waiting, shown.skipped), (90, 45, 11));
        assert_eq!((shown.difference, shown.percent_complete), (0, 25.0));
        let all = Progress { is_complete: true, bytes: 200, ..half };
        let shown = Shown::of(&job(Standing::Published, all), &counts(70, 10, 4, 5));
        assert_eq!((shown.standing, shown.percent_complete), ("published", 89.0 / 90.0 * 100.0));
        let shown = Shown::of(&job(Standing::Published, all), &counts(71, 10, 4, 5));
        assert_eq!((shown.standing, shown.percent_complete, shown.difference), ("done", 100.0, 0));
    }

    #[test]
    fn undone_is_what_the_engine_says() {
        let all = Progress { read: 4, is_complete: true, ..Progress::default() };
        let (job, mut counts) = (job(Standing::Undone, all), counts(4, 0, 0, 0));
        assert_eq!(Shown::of(&job, &counts).standing, "undoing");
        counts.undone_at = Some(7);
        assert_eq!(Shown::of(&job, &counts).standing, "undone");
    }

    #[test]
    fn a_record_that_was_read_and_not_decided_is_a_difference() {
        let all = Progress { read: 10, is_complete: true, ..Progress::default() };
        let lost = Counts { records_read: 10, ..counts(9, 0, 0, 0) };
        assert_eq!(Shown::of(&job(Standing::Published, all), &lost).difference, 1);
    }

    #[test]
    fn the_text_tells_reasons() {
        let all = Progress { read: 7, left_out: 2, is_complete: true, ..Progress::default() };
        let text = Shown::of(&job(Standing::Published, all), &counts(3, 0, 2, 0)).text();
        assert!(text.starts_with("job j of cdp: done, 100.0 %\n"), "{text}");
        assert!(text.contains("  rejected              2  too_old 2\n"), "{text}");
        assert!(text.contains("  skipped               2  before --since 2\n"), "{text}");
    }
}
