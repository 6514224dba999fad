//! What became of the records of each backfill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::row::{BackfillRow, Row};
use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::ledger::Outcome;
use crate::kafka::source::Record;

/// Jobs that are remembered. Of more, the one that is silent for longest is forgotten, and keeps the row
/// that it had.
const JOBS_MAX: usize = 1_000;

/// The backfills that were read, by source and job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Backfills {
    jobs: Vec<Job>,
    /// Which of them the last record was of: the next is mostly of the same.
    #[serde(skip)]
    last: usize,
}

/// A backfill of which something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOf<'b> {
    /// The job; "" for what others have published to the lane.
    pub id: &'b Arc<str>,
    /// When the last record was.
    pub last_ms: Millis,
    /// As of now.
    pub is_undone: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    source: Arc<str>,
    id: Arc<str>,
    read: u64,
    accepted: u64,
    duplicate: u64,
    skipped: u64,
    rejected: BTreeMap<String, u64>,
    last_ms: Millis,
    #[serde(default)]
    undone_ms: Option<Millis>,
    #[serde(skip)]
    touched: bool,
}

impl Backfills {
    /// A record of a backfill of `source` was read.
    pub(super) fn read(&mut self, source: &str, record: &Record, t_ms: Millis) {
        let job = self.job(source, &record.job);
        (job.read, job.last_ms, job.touched) = (job.read + 1, t_ms, true);
    }

    /// What became of the record that was read last. `reason`: why it was rejected.
    pub(super) fn decided(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        let Some(job) = self.jobs.get_mut(self.last) else { return };
        match outcome {
            Outcome::Accepted => job.accepted += 1,
            Outcome::Duplicate => job.duplicate += 1,
            Outcome::Skipped => job.skipped += 1,
            Outcome::Rejected => {
                *job.rejected.entry(reason.unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
    }

    /// One that had been a duplicate is accepted now.
    pub(super) fn taken_up(&mut self, source: &str, id: &Arc<str>) {
        let job = self.job(source, id);
        (job.duplicate, job.accepted, job.touched) = (job.duplicate - 1, job.accepted + 1, true);
    }

    /// These are undone; those that were not are from `t_ms` on.
    pub(super) fn undone(&mut self, ids: &BTreeSet<Arc<str>>, t_ms: Millis) {
        let is_new = |job: &&mut Job| job.undone_ms.is_none() && ids.contains(&job.id);
        for job in self.jobs.iter_mut().filter(is_new) {
            (job.undone_ms, job.touched) = (Some(t_ms), true);
        }
    }

    /// All jobs that are remembered, once for each source.
    pub(super) fn read_of(&self) -> impl Iterator<Item = ReadOf<'_>> {
        self.jobs.iter().map(|job| ReadOf {
            id: &job.id,
            last_ms: job.last_ms,
            is_undone: job.undone_ms.is_some(),
        })
    }

    fn job(&mut self, source: &str, id: &Arc<str>) -> &mut Job {
        let is_it = |job: &Job| *job.source == *source && job.id == *id;
        if !self.jobs.get(self.last).is_some_and(is_it) {
            self.last = self.jobs.iter().position(is_it).unwrap_or_else(|| {
                self.make_room();
                self.jobs.push(Job::new(source, id));
                self.jobs.len() - 1
            });
        }
        &mut self.jobs[self.last]
    }

    fn make_room(&mut self) {
        if self.jobs.len() < JOBS_MAX {
            return;
        }
        let silent = self.jobs.iter().enumerate().filter(|(_, job)| !job.touched);
        if let Some((at, _)) = silent.min_by_key(|(_, job)| job.last_ms) {
            self.jobs.remove(at);
        }
    }

    /// Takes over what was counted.
    pub(super) fn take_over(&mut self, rows: &[BackfillRow]) {
        self.jobs = rows.iter().map(Job::of).collect();
        self.last = 0;
    }

    /// Appends the new state of every job that was read since it was asked last.
    pub(super) fn rows(&mut self, t_ms: Millis, rows: &mut Vec<Row>) {
        let touched = self.jobs.iter_mut().filter(|job| job.touched);
        rows.extend(touched.map(|job| {
            job.touched = false;
            Row::Backfill(job.row(t_ms))
        }));
    }
}

impl Job {
    fn new(source: &str, id: &Arc<str>) -> Job {
        Job {
            source: source.into(),
            id: id.clone(),
            read: 0,
            accepted: 0,
            duplicate: 0,
            skipped: 0,
            rejected: BTreeMap::new(),
            last_ms: 0,
            undone_ms: None,
            touched: false,
        }
    }

    fn of(row: &BackfillRow) -> Job {
        Job {
            read: row.records_read,
            accepted: row.accepted,
            duplicate: row.duplicate,
            skipped: row.skipped,
            rejected: row.rejected_by_reason.iter().cloned().collect(),
            last_ms: row.logical_time,
            undone_ms: row.undone_at,
            ..Job::new(&row.source_module, &row.job)
        }
    }

    fn row(&self, t_ms: Millis) -> BackfillRow {
        BackfillRow {
            source_module: self.source.clone(),
            job: self.id.clone(),
            records_read: self.read,
            accepted: self.accepted,
            duplicate: self.duplicate,
            rejected: self.rejected.values().sum(),
            skipped: self.skipped,
            rejected_by_reason: self.rejected.iter().map(|(name, n)| (name.clone(), *n)).collect(),
            undone_at: self.undone_ms,
            logical_time: t_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(job: &str) -> Record {
        Record { job: job.into(), ..Record::default() }
    }

    fn rows(backfills: &mut Backfills, t_ms: Millis) -> Vec<BackfillRow> {
        let mut rows = Vec::new();
        backfills.rows(t_ms, &mut rows);
        let row = |row| match row {
            Row::Backfill(row) => row,
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(row).collect()
    }

    #[test]
    fn each_job_has_its_own_counts() {
        let mut backfills = Backfills::default();
        for (job, outcome, reason) in [
            ("a", Outcome::Accepted, None),
            ("a", Outcome::Rejected, Some("too_old")),
            ("b", Outcome::Duplicate, None),
            ("a", Outcome::Rejected, Some("schema_violation")),
            ("a", Outcome::Skipped, None),
            ("a", Outcome::Rejected, Some("too_old")),
        ] {
            backfills.read("cdp", &record(job), 5);
            backfills.decided(outcome, reason);
        }
        let all = rows(&mut backfills, 5);
        let [a, b] = &all[..] else { panic!("{all:?}") };
        assert_eq!(
            (a.records_read, a.accepted, a.duplicate, a.rejected, a.skipped),
            (5, 1, 0, 3, 1)
        );
        let reasons = [("schema_violation".to_owned(), 1), ("too_old".to_owned(), 2)];
        assert_eq!(a.rejected_by_reason, reasons);
        assert_eq!((b.records_read, b.duplicate, &*b.job), (1, 1, "b"));
        backfills.read("cdp", &record("b"), 7);
        backfills.decided(Outcome::Accepted, None);
        let all = rows(&mut backfills, 7);
        assert_eq!(all.len(), 1, "a was not read");
        assert_eq!((all[0].records_read, all[0].accepted, all[0].duplicate), (2, 1, 1));

        let mut taken_over = Backfills::default();
        taken_over.take_over(&[a.clone(), all[0].clone()]);
        taken_over.read("cdp", &record("b"), 8);
        assert_eq!(rows(&mut taken_over, 8)[0].records_read, 3);
    }

    #[test]
    fn the_one_that_is_silent_for_longest_is_forgotten() {
        let mut backfills = Backfills::default();
        for t_ms in 0..=JOBS_MAX as Millis {
            backfills.read("cdp", &record(&t_ms.to_string()), t_ms);
            rows(&mut backfills, t_ms);
        }
        assert_eq!(backfills.jobs.len(), JOBS_MAX);
        backfills.read("cdp", &record("1"), 9_999);
        assert_eq!(rows(&mut backfills, 9_999)[0].records_read, 2, "1 is remembered");
        backfills.read("cdp", &record("0"), 9_999);
        assert_eq!(rows(&mut backfills, 9_999)[0].records_read, 1, "0 was forgotten");
    }
}
