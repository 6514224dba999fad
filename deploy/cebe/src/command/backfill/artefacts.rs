//! What a job keeps on disk: the answer to its query. Removed a week after the job has ended.

use std::fs;
use std::path::PathBuf;

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
    if !root.is_dir() {
        return Ok(());
    }
    let before_ms = now_ms() - UNDONE_WITHIN_MS;
    let shown = || root.display().to_string();
    for entry in fs::read_dir(&root).with_context(shown)? {
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
