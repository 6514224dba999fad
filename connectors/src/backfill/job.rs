//! Jobs as `cebe.jobs` tells of them: each is what its records add up to. Pure.

use std::collections::BTreeMap;

use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::input::Position;

/// A record on `cebe.jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Of which job.
    pub job: String,
    /// When it was written.
    pub at_ms: Millis,
    /// What happened.
    #[serde(flatten)]
    pub says: Says,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Says {
    /// It was begun.
    Started(Start),
    /// It has published so much; written together with what it published.
    Published(Progress),
    /// It is to stop until it is resumed.
    Paused,
    /// It is to go on.
    Resumed,
    /// It is to stop for good; what it has published stays.
    Cancelled,
    /// It is to count as never read.
    Undone,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The publisher whose events these are.
    pub source_module: String,
    /// Where they come from, as it was given.
    pub from: Vec<String>,
    /// The files that these turned out to be, in the order in which they are read.
    pub files: Vec<JobFile>,
    /// How columns become fields (TOML).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// Events that happened earlier are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<Millis>,
    /// The most events a second; none: as many as live events leave room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// It publishes no more events than this.
    pub events_max: u64,
}

/// A file of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobFile {
    /// Where it is.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, in hex.
    pub digest: String,
}

/// How far a job has published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it goes on.
    pub position: Position,
    /// Records read from its input.
    pub read: u64,
    /// Those of them that happened too early.
    pub left_out: u64,
    /// Bytes read of its input.
    pub bytes: u64,
    /// Nothing is left to read.
    pub is_complete: bool,
}

impl Progress {
    /// Records published.
    pub fn published(&self) -> u64 {
        self.read - self.left_out
    }
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It publishes, if its process runs.
    Running,
    /// It waits to be resumed.
    Paused,
    /// It has stopped for good.
    Cancelled,
    /// Everything is published.
    Published,
    /// It has stopped for good, and counts as never read once the engine has seen to that.
    Undone,
}

impl Standing {
    /// The name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Running => "running",
            Standing::Paused => "paused",
            Standing::Cancelled => "cancelled",
            Standing::Published => "published",
            Standing::Undone => "undone",
        }
    }
}

/// A job, by its last record.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What it does.
    pub start: Start,
    /// When it was begun.
    pub begun_ms: Millis,
    /// When anything was last heard of it.
    pub heard_ms: Millis,
    /// How far it is.
    pub progress: Progress,
    /// What it is doing.
    pub standing: Standing,
}

/// All jobs, by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jobs(BTreeMap<String, Job>);

impl Jobs {
    /// Takes in the next record. One of a job that was never begun, or is over, changes nothing.
    pub fn take_in(&mut self, record: JobRecord) {
        let JobRecord { job: id, at_ms, says } = record;
        if let Says::Started(start) = says {
            self.0.entry(id.clone()).or_insert(Job {
                id,
                start,
                begun_ms: at_ms,
                heard_ms: at_ms,
                progress: Progress::default(),
                standing: Standing::Running,
            });
            return;
        }
        let Some(job) = self.0.get_mut(&id) else { return };
        job.heard_ms = at_ms;
        let is_stopped = matches!(job.standing, Standing::Cancelled | Standing::Undone);
        let is_over = is_stopped || job.standing == Standing::Published;
        match says {
            // What was published is out, whatever was said meanwhile.
            Says::Published(progress) => {
                job.progress = progress;
                if progress.is_complete && !is_stopped {
                    job.standing = Standing::Published;
                }
            }
            Says::Paused if !is_over => job.standing = Standing::Paused,
            Says::Resumed if !is_over => job.standing = Standing::Running,
            Says::Cancelled if !is_over => job.standing = Standing::Cancelled,
            Says::Undone => job.standing = Standing::Undone,
            _ => {}
        }
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Job> {
        self.0.get(id)
    }

    /// All, the newest first.
    pub fn newest_first(&self) -> Vec<&Job> {
        let mut all: Vec<&Job> = self.0.values().collect();
        all.sort_by_key(|job| std::cmp::Reverse(job.begun_ms));
        all
    }

    /// A job that reads a file with this content, unless it was cancelled or undone.
    pub fn reading(&self, digest: &str) -> Option<&Job> {
        let reads = |job: &&Job| job.start.files.iter().any(|file| file.digest == digest);
        let counts = |job: &&Job| !matches!(job.standing, Standing::Cancelled | Standing::Undone);
        self.0.values().filter(counts).find(reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        let file = JobFile { path: "a.jsonl".into(), bytes: 7, digest: "d1".into() };
        Start {
            source_module: "cdp".into(),
            from: vec!["*.jsonl".into()],
            files: vec![file],
            mapping: None,
            since_ms: None,
            rate: None,
            events_max: 10,
        }
    }

    fn told(said: &[Says]) -> Jobs {
        let mut jobs = Jobs::default();
        for (at, says) in said.iter().enumerate() {
            let record = JobRecord { job: "j".into(), at_ms: at as Millis, says: says.clone() };
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<JobRecord>(&json).unwrap(), record, "{json}");
            jobs.take_in(record);
        }
        jobs
    }

    fn published(read: u64, is_complete: bool) -> Says {
        Says::Published(Progress { read, left_out: 1, is_complete, ..Progress::default() })
    }

    #[test]
    fn a_job_is_what_its_records_add_up_to() {
        use Says::{Cancelled, Paused, Resumed, Started, Undone};
        let begun = Started(start());
        for (said, standing, read) in [
            (vec![], Standing::Running, 0),
            (vec![published(3, false)], Standing::Running, 3),
            (vec![published(3, false), Paused], Standing::Paused, 3),
            (vec![Paused, published(3, false)], Standing::Paused, 3),
            (vec![Paused, Resumed, published(3, false)], Standing::Running, 3),
            (vec![published(3, false), published(5, true), Paused], Standing::Published, 5),
            (vec![Cancelled, Resumed, published(5, true)], Standing::Cancelled, 5),
            (vec![published(5, true), Undone, Resumed], Standing::Undone, 5),
            (vec![Undone, published(5, true), Cancelled], Standing::Undone, 5),
        ] {
            let all = [vec![begun.clone()], said].concat();
            let jobs = told(&all);
            let job = jobs.get("j").unwrap();
            assert_eq!((job.standing, job.progress.read, job.begun_ms), (standing, read, 0));
            assert_eq!(job.heard_ms, all.len() as Millis - 1);
        }
        assert_eq!(told(&[Paused]), Jobs::default(), "never begun");
        let twice = told(&[begun.clone(), published(3, false), begun]);
        assert_eq!(twice.get("j").unwrap().progress.published(), 2, "begun once");
    }

    #[test]
    fn the_same_content_is_known_unless_its_job_was_cancelled() {
        let jobs = told(&[Says::Started(start())]);
        assert_eq!(jobs.reading("d1").map(|job| &*job.id), Some("j"));
        assert!(jobs.reading("d2").is_none());
        for over in [Says::Cancelled, Says::Undone] {
            assert!(told(&[Says::Started(start()), over]).reading("d1").is_none());
        }
    }
}
