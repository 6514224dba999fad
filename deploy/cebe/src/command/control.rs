//! Control records: appended, and followed until it is known what became of them.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::control::{self, ControlRecord};
use cebe_connectors::kafka::history_log::{HistoryEntry, HistoryLog};
use cebe_connectors::kafka::tail::Tail;
use cebe_connectors::out::progress_log;
use cebe_schemas::control::{ControlState, DefinitionName, names};
use cebe_schemas::time::{Millis, format_rfc3339, parse_rfc3339};
use cebe_schemas::view::View;
use serde_json::{Value, json};

use super::pending::{Pending, begun};
use crate::config::Config;

const KAFKA_PATIENCE: Duration = Duration::from_secs(15);
/// A running engine takes a record in within a tick.
const BOUND_PATIENCE: Duration = Duration::from_secs(5);
/// How long the outputs of a tick may take to be out.
const OUT_PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);
/// Clocks of machines differ.
const SLACK_MS: Millis = 60_000;

/// What became of a control record.
enum Outcome {
    /// Since when.
    InForce(Millis),
    Waits(Pending),
    Refused(String),
    Superseded(i64),
}

/// Appends `record` and says what becomes of it; with `wait`, only once that is settled.
pub fn put(config: &Config, mut record: Value, wait: bool) -> anyhow::Result<ExitCode> {
    let kafka = config.kafka_options();
    let begun_ms = super::now_ms();
    let offset = append(&kafka, &mut record)?;
    let followed =
        Followed { kafka, offset, begun_ms, names: names(record.to_string().as_bytes()) };
    followed.report(wait)
}

/// Appends `record` in the name of whoever runs this, and returns its offset.
pub fn append(kafka: &KafkaOptions, record: &mut Value) -> anyhow::Result<i64> {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    record["changed_by"] = json!(user.unwrap_or_else(|| "unknown".into()));
    let record = record.to_string();
    ControlState::new().apply(record.as_bytes())?;
    Ok(control::publish(kafka, record.as_bytes(), KAFKA_PATIENCE)?)
}

/// A control record that was appended.
struct Followed {
    kafka: KafkaOptions,
    offset: i64,
    begun_ms: Millis,
    names: BTreeSet<DefinitionName>,
}

impl Followed {
    fn report(&self, wait: bool) -> anyhow::Result<ExitCode> {
        let bound = control::wait_bound(&self.kafka, self.offset, BOUND_PATIENCE)?;
        let mut bound = match bound {
            None if !wait => {
                eprintln!(
                    "kept, and in force as soon as an engine runs: none has taken it in so far"
                );
                return Ok(ExitCode::SUCCESS);
            }
            bound => bound,
        };
        while bound.is_none() {
            bound = control::wait_bound(&self.kafka, self.offset, BOUND_PATIENCE)?;
        }
        // Flags and settings are as good as in force: nothing can be wrong with them any more.
        let Some(bound) = bound.filter(|_| !self.names.is_empty()) else {
            return Ok(ExitCode::SUCCESS);
        };
        self.wait_out(bound.number)?;
        let outcome = match self.outcome(bound.t_ms)? {
            Outcome::Waits(pending) if wait => {
                say_waits(&pending);
                self.settled(bound.t_ms)?
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::InForce(t_ms) => println!("{}", since(t_ms)),
            Outcome::Waits(pending) => say_waits(&pending),
            Outcome::Refused(reason) => bail!("refused, nothing is changed: {reason}"),
            Outcome::Superseded(by) => bail!(
                "dropped while it waited for history: the control record at offset {by} puts or \
                 removes the same"
            ),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Waits until the outputs of binding `number` are out.
    fn wait_out(&self, number: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + OUT_PATIENCE;
        while progress_log::last(&self.kafka)?.is_none_or(|progress| progress.binding < number) {
            if Instant::now() > deadline {
                bail!(
                    "taken in, but the engine does not publish what follows from it: see its log"
                );
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What has become of it in the tick of `t_ms`, whose outputs are out.
    fn outcome(&self, t_ms: Millis) -> anyhow::Result<Outcome> {
        let mut rejected = Tail::open(&self.kafka, View::Rejected, t_ms)?;
        while !rejected.is_at_end() {
            if let Some(reason) = rejected.poll(LOOK)?.and_then(|row| self.refusal(&row)) {
                return Ok(Outcome::Refused(reason));
            }
        }
        // Its history may have been read by now.
        let begun = begun(&self.kafka, self.begun_ms - SLACK_MS)?;
        let own = begun.into_iter().find(|pending| pending.waits.offset == self.offset);
        Ok(own.map_or(Outcome::InForce(t_ms), Outcome::Waits))
    }

    /// Waits until it waits no longer.
    fn settled(&self, t_ms: Millis) -> anyhow::Result<Outcome> {
        let mut rejected = Tail::open(&self.kafka, View::Rejected, t_ms + 1)?;
        let mut defined = Tail::open(&self.kafka, View::Definitions, t_ms + 1)?;
        let mut log = HistoryLog::since(&self.kafka, self.begun_ms - SLACK_MS)?;
        let mut pending: Option<Pending> = None;
        let mut said = None;
        loop {
            while let Some(HistoryEntry::Record(record)) = log.poll(Duration::ZERO)? {
                Pending::fold(&mut pending, &record, self.offset);
            }
            let percent = pending.as_ref().map(Pending::percent);
            if percent != said {
                eprintln!("history: {} %", percent.unwrap_or(0));
                said = percent;
            }
            while let Some(row) = rejected.poll(LOOK)? {
                if let Some(reason) = self.refusal(&row) {
                    return Ok(Outcome::Refused(reason));
                }
            }
            while let Some(row) = defined.poll(LOOK)? {
                if let Some(t_ms) = self.defined(&row) {
                    return Ok(Outcome::InForce(t_ms));
                }
            }
            if let Some(by) = self.superseded_by()? {
                return Ok(Outcome::Superseded(by));
            }
        }
    }

    /// Whether a row of rejected records is about it, and what it says.
    fn refusal(&self, row: &[u8]) -> Option<String> {
        let row: Value = serde_json::from_slice(row).ok()?;
        let is_own = row["topic"] == self.kafka.topics.control.as_str()
            && row["offset"].as_i64() == Some(self.offset);
        is_own.then(|| row["message"].as_str().unwrap_or_default().to_owned())
    }

    /// If a row of definitions is about one that it puts: since when it is in force.
    fn defined(&self, row: &[u8]) -> Option<Millis> {
        let row: Value = serde_json::from_slice(row).ok()?;
        let is = |name: &DefinitionName| {
            row["kind"] == name.kind.as_str()
                && row["account_id"] == *name.account_id
                && row["id"] == *name.id
        };
        let t_ms = row["logical_time"].as_str().and_then(parse_rfc3339)?;
        self.names.iter().any(is).then_some(t_ms)
    }

    /// The first later control record that is about the same.
    fn superseded_by(&self) -> anyhow::Result<Option<i64>> {
        let records = control::read(&self.kafka).context("cebe.control cannot be read")?;
        let later = |record: &&ControlRecord| {
            record.offset > self.offset
                && !names(&record.payload).is_disjoint(&self.names)
                && ControlState::new().apply(&record.payload).is_ok()
        };
        Ok(records.iter().find(later).map(|record| record.offset))
    }
}

fn say_waits(Pending { waits, .. }: &Pending) {
    let names: BTreeSet<&str> = waits.missing.iter().map(|missing| &*missing.event_name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    eprintln!(
        "waits for history: it looks at properties of {} that no definition has looked at so far. \
         It is in force once these events are read again; `list` shows how far that is, and --wait \
         waits for it",
        names.join(", ")
    );
}

/// As people read it.
pub fn since(t_ms: Millis) -> String {
    format!("in force since {}", format_rfc3339(t_ms))
}
