//! Backfills that are undone: control records say so in two steps.
//!
//! Somebody asks for it (`"undo"`), and from then on nothing more is taken in of the job. Once an engine has
//! a state from before the job it answers (`"undone"`), and from then on the job counts as never taken in.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ControlError;
use super::field::Field;

/// More jobs than this are refused.
const JOBS_MAX: usize = 10_000;

/// Which jobs are undone, or are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undoing {
    asked: BTreeSet<Arc<str>>,
    undone: BTreeSet<Arc<str>>,
}

impl Undoing {
    /// Jobs that are to be undone.
    pub fn asked(&self) -> &BTreeSet<Arc<str>> {
        &self.asked
    }

    /// Jobs that are undone.
    pub fn undone(&self) -> &BTreeSet<Arc<str>> {
        &self.undone
    }

    /// Whether nothing is taken in any more of `job`.
    pub fn has_ended(&self, job: &str) -> bool {
        self.asked.contains(job) || self.undone.contains(job)
    }
}

/// Reads `{"JOB": "undo" | "undone"}`. Definitions may have to wait for history, and this may not: so it
/// comes in a record of its own.
pub(super) fn backfills(
    root: &Field,
    field: &Field,
    undoing: &mut Undoing,
) -> Result<(), ControlError> {
    if root.fields()?.any(|(name, _)| name != "backfills" && name != "changed_by") {
        return Err(field.wrong("must come in a record of its own"));
    }
    for (job, field) in field.fields()? {
        match field.value {
            Value::String(word) if word == "undo" && !undoing.undone.contains(job) => {
                undoing.asked.insert(job.into());
            }
            Value::String(word) if word == "undone" && undoing.has_ended(job) => {
                undoing.asked.remove(job);
                undoing.undone.insert(job.into());
            }
            Value::String(word) if word == "undo" => {}
            _ => return Err(field.wrong(r#"must be "undo", or after that "undone""#)),
        }
        if job.is_empty() {
            return Err(field.wrong("events that name no job cannot be undone together"));
        }
    }
    if undoing.asked.len() + undoing.undone.len() > JOBS_MAX {
        return Err(field.wrong(format!("more than {JOBS_MAX} jobs")));
    }
    Ok(())
}
