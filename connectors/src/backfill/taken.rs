//! What the engine has taken in of each job: the last rows on `cebe.out.backfills`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cebe_schemas::time::{Millis, rfc3339_option};
use cebe_schemas::view::View;
use serde::{Deserialize, Serialize};

use crate::kafka::client::{ClientError, KafkaOptions};
use crate::kafka::tail::Tail;

/// What became of the records of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All that the engine has read.
    pub records_read: u64,
    /// Taken in.
    pub accepted: u64,
    /// Had been taken in before.
    pub duplicate: u64,
    /// Not taken in.
    pub rejected: u64,
    /// Excluded by the flag of the source.
    pub skipped: u64,
    /// Those rejected, by reason.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// When it was undone, if it was.
    #[serde(default, with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<Millis>,
}

/// Follows what is taken in.
pub struct Taken {
    tail: Tail,
    jobs: HashMap<String, Counts>,
}

#[derive(Deserialize)]
struct Row {
    job: String,
    #[serde(flatten)]
    counts: Counts,
}

impl Taken {
    /// Begins with what was taken in at `from_ms`. The topic has to be there.
    ///
    /// # Errors
    /// Kafka refuses.
    pub fn follow(kafka: &KafkaOptions, from_ms: Millis) -> Result<Taken, ClientError> {
        let tail = Tail::open(kafka, View::Backfills, from_ms)?;
        Ok(Taken { tail, jobs: HashMap::new() })
    }

    /// The newest counts of a job that have been read.
    pub fn of(&self, job: &str) -> Counts {
        self.jobs.get(job).cloned().unwrap_or_default()
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn poll(&mut self) -> Result<(), ClientError> {
        while let Some(value) = self.tail.poll(Duration::ZERO)? {
            self.take_in(&value);
        }
        Ok(())
    }

    /// Reads until the end.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn read_all(&mut self) -> Result<(), ClientError> {
        while !self.tail.is_at_end() {
            if let Some(value) = self.tail.poll(Duration::from_millis(100))? {
                self.take_in(&value);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, value: &[u8]) {
        if let Ok(Row { job, counts }) = serde_json::from_slice(value) {
            self.jobs.insert(job, counts);
        }
    }
}
