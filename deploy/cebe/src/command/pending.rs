//! What waits for history, from the logs.

use std::time::Duration;

use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::control;
use cebe_connectors::kafka::history_log::{HistoryEntry, HistoryLog};
use cebe_schemas::control::{ControlState, DefinitionName, names};
use cebe_schemas::history::{HistoryRecord, Missing, Waits};
use cebe_schemas::time::Millis;

/// A control record that waits, and how far its history has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// As it was when it began to wait.
    pub waits: Waits,
    /// What is missing now.
    missing: Vec<Missing>,
}

impl Pending {
    /// As it begins to wait.
    pub fn new(waits: Waits) -> Pending {
        Pending { missing: waits.missing.clone(), waits }
    }

    /// Takes in a record of history about the control record at `offset`.
    pub fn fold(pending: &mut Option<Pending>, record: &HistoryRecord, offset: i64) {
        match (record, pending.as_mut()) {
            (HistoryRecord::Waits(waits), None) if waits.offset == offset => {
                *pending = Some(Pending::new(waits.clone()));
            }
            (record, Some(pending)) => pending.take_in(record),
            _ => {}
        }
    }

    fn take_in(&mut self, record: &HistoryRecord) {
        let HistoryRecord::Slice(slice) = record else { return };
        for missing in &mut self.missing {
            let is_of = missing.account_id == slice.account_id
                && slice.selectors.contains(&missing.selector);
            if is_of && missing.next == slice.from && slice.to <= missing.until {
                missing.next = slice.to;
            }
        }
    }

    /// How much of its history has been read.
    pub fn percent(&self) -> u64 {
        let left: u64 = self.missing.iter().map(|m| m.until.saturating_sub(m.next)).sum();
        let all: u64 = self.waits.missing.iter().map(|m| m.until.saturating_sub(m.next)).sum();
        (100 * (all - left.min(all))).checked_div(all).unwrap_or(100)
    }

    /// Whether all of it has been read.
    pub fn is_done(&self) -> bool {
        self.missing.iter().all(|missing| missing.next >= missing.until)
    }

    /// What it puts or removes.
    pub fn definitions(&self) -> &[DefinitionName] {
        &self.waits.definitions
    }
}

/// What has begun to wait at `from_ms` or later, in order of arrival.
pub fn begun(kafka: &KafkaOptions, from_ms: Millis) -> anyhow::Result<Vec<Pending>> {
    let mut log = HistoryLog::since(kafka, from_ms)?;
    let mut all: Vec<Pending> = Vec::new();
    loop {
        match log.poll(Duration::from_secs(1))? {
            None | Some(HistoryEntry::Unreadable) => {}
            Some(HistoryEntry::End) => return Ok(all),
            Some(HistoryEntry::Record(HistoryRecord::Waits(waits))) => {
                if !all.iter().any(|pending| pending.waits.offset == waits.offset) {
                    all.push(Pending::new(waits));
                }
            }
            Some(HistoryEntry::Record(record)) => {
                all.iter_mut().for_each(|pending| pending.take_in(&record));
            }
        }
    }
}

/// Those of them that wait: all of their history has not been read, and nothing has superseded them.
pub fn waiting(kafka: &KafkaOptions, from_ms: Millis) -> anyhow::Result<Vec<Pending>> {
    let mut all = begun(kafka, from_ms)?;
    all.retain(|pending| !pending.is_done());
    if all.is_empty() {
        return Ok(all);
    }
    let later = control::read(kafka)?;
    all.retain(|pending| {
        !later.iter().any(|record| {
            let names = names(&record.payload);
            record.offset > pending.waits.offset
                && pending.definitions().iter().any(|name| names.contains(name))
                && ControlState::new().apply(&record.payload).is_ok()
        })
    });
    Ok(all)
}
