//! What becomes of one record after the other, as they are read from Kafka.

use serde_json::{Value, json};

use super::control::{Control, text};
use super::judge::{Judge, Outcome};

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is an event of this account, source and key.
    Accepted {
        /// The tenant.
        account: String,
        /// Its publisher.
        source: String,
        /// Its idempotency key.
        key: String,
    },
    /// Its key is used up.
    Duplicate,
    /// With this reason.
    Rejected(&'static str),
    /// Its source is off.
    Skipped,
}

/// Judges records in the order of their arrival. In the beginning every source is off.
pub struct Verdicts {
    control: Control,
    judge: Judge,
    taken: usize,
}

impl Default for Verdicts {
    fn default() -> Verdicts {
        Verdicts::new()
    }
}

impl Verdicts {
    /// Nothing is in force yet.
    pub fn new() -> Verdicts {
        let control = Control::new(Some(&json!({"sources": {}})));
        Verdicts { control, judge: Judge::default(), taken: 0 }
    }

    /// A record of `cebe.control` comes into force.
    pub fn control(&mut self, record: &str) {
        if let Ok(record) = serde_json::from_str(record) {
            self.control.apply(&record);
        }
    }

    /// The verdict on an event that arrives at `t_ms`.
    pub fn take(&mut self, record: &str, t_ms: i64) -> Verdict {
        self.taken += 1;
        match self.judge.take(self.taken, record, t_ms, &self.control) {
            Outcome::Accepted(event) => {
                Verdict::Accepted { account: event.account, source: event.source, key: event.key }
            }
            Outcome::Rejected(reason, _) => Verdict::Rejected(reason),
            Outcome::Skipped => Verdict::Skipped,
            Outcome::Duplicate | Outcome::Control => Verdict::Duplicate,
        }
    }

    /// The definitions and settings that are in force for an account, as a file of definitions.
    pub fn definitions_of(&self, account: &str) -> Value {
        let mine = |one: &&Value| text(&one["account_id"]) == account;
        let segments: Vec<&Value> = self.control.segments.values().filter(mine).collect();
        let metrics: Vec<&Value> = self.control.metrics.values().filter(mine).collect();
        json!({"segments": segments, "metrics": metrics, "settings": self.control.settings})
    }
}
