//! What a job keeps on disk: the answer to its query. Removed a week after the job has ended.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cebe_connectors::backfill::UNDONE_WITHIN_MS;
use cebe_connectors::backfill::job::{Jobs, Standing};
use cebe_schemas::time::Millis;

use crate::command::now_ms;
use crate::config::Config;

/// The folder of a job.
pub(super) fn folder(config: &Config, job: &str) -> PathBuf {
    config.backfill_dir().join(job)
}

/// Removes what is no longer needed, also of jobs that were never begun.
pub(super) fn remove_old(config: &Config, jobs: &Jobs) -> anyhow::Result<()> {
    let root = config.backfill_dir();
    if root.is_dir() { remove_from(&root, jobs, now_ms()) } else { Ok(()) }
}

fn remove_from(root: &Path, jobs: &Jobs, now_ms: Millis) -> anyhow::Result<()> {
    let before_ms = now_ms - UNDONE_WITHIN_MS;
    let shown = || root.display().to_string();
    for entry in fs::read_dir(root).with_context(shown)? {
        let entry = entry.with_context(shown)?;
        let is_over = match entry.file_name().to_str().and_then(|id| jobs.get(id)) {
            Some(job) => {
                matches!(job.standing, Standing::Published | Standing::Cancelled | Standing::Undone)
                    && job.heard_ms < before_ms
            }
            None => {
                let modified = entry.metadata().and_then(|known| known.modified());
                let age = modified.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
                age.as_millis() as Millis > UNDONE_WITHIN_MS
            }
        };
        if is_over {
            fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cebe_connectors::backfill::job::{JobRecord, Progress, Says, Start};

    use super::*;

    #[test]
    fn what_a_job_kept_goes_a_week_after_its_end() {
        let start = Start {
            source_module: "cdp".into(),
            from: vec![],
            files: vec![],
            mapping: None,
            since_ms: None,
            rate: None,
            events_max: 1,
        };
        let complete = Says::Published(Progress { is_complete: true, ..Progress::default() });
        let mut jobs = Jobs::default();
        let mut say = |job: &str, at_ms: Millis, says: Says| {
            jobs.take_in(JobRecord { job: job.into(), at_ms, says });
        };
        for job in ["done", "running", "cancelled", "paused", "undone"] {
            say(job, 0, Says::Started(start.clone()));
        }
        say("done", 1_000, complete);
        say("cancelled", 1_000, Says::Cancelled);
        say("paused", 1_000, Says::Paused);
        say("undone", 2_000, Says::Undone);
        let folder = tempfile::tempdir().unwrap();
        for job in ["done", "running", "cancelled", "paused", "undone", "never-begun"] {
            fs::create_dir(folder.path().join(job)).unwrap();
            fs::write(folder.path().join(job).join("answer.jsonl"), "{}").unwrap();
        }
        let left = |now_ms| {
            remove_from(folder.path(), &jobs, now_ms).unwrap();
            let names =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left(1_000 + UNDONE_WITHIN_MS).len(), 6, "not before");
        assert_eq!(left(1_001 + UNDONE_WITHIN_MS), ["never-begun", "paused", "running", "undone"]);
        assert_eq!(left(Millis::MAX), ["never-begun", "paused", "running"]);
    }
}
