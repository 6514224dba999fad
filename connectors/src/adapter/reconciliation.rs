//! What sources say that they have emitted in each hour, beside what was read of it (product §3).
//!
//! A record belongs to the hour of its create time, by which its source counts it too. An hour is open
//! from one hour before its beginning to 31 days after it ([`open_hours`] of T). Of a create time ahead
//! of that, the clock is wrong: the hour of T counts. What is behind it counts in no hour: its hour has
//! been forgotten, and keeps the row that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::count::{HOUR_MS, SourceCount, hour_of, open_hours};
use cebe_schemas::row::{ReconciliationRow, Row};
use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::{AdaptedTick, Adapter, Placed, rows};
use crate::kafka::source::Record;

/// The open hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reconciliation {
    /// Hour → source.
    hours: BTreeMap<Millis, BTreeMap<Arc<str>, Counted>>,
    /// Source → the hour in which a record of it was read last.
    heard: BTreeMap<Arc<str>, Millis>,
    /// The hour of the last tick.
    at: Millis,
    /// Hours that are others than their rows say.
    #[serde(skip)]
    touched: BTreeSet<Millis>,
}

/// One hour of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    read: u64,
    emitted: Option<u64>,
    #[serde(skip)]
    touched: bool,
}

impl Reconciliation {
    /// Forgets the hours that are open no more, and takes up those that have ended since: of a source
    /// that fell silent, a row says so.
    pub(super) fn advance(&mut self, t_ms: Millis) {
        let (now, (first, _)) = (hour_of(t_ms), open_hours(t_ms));
        if now <= self.at {
            return;
        }
        self.hours = self.hours.split_off(&first);
        self.heard.retain(|_, hour| *hour >= first);
        let sources: Vec<Arc<str>> = self.heard.keys().cloned().collect();
        let mut ended = self.at.max(first);
        while ended < now {
            for source in &sources {
                if self.hours.get(&ended).is_none_or(|hour| !hour.contains_key(source)) {
                    self.touch(source, ended, |_| ());
                }
            }
            ended += HOUR_MS;
        }
        self.at = now;
    }

    /// A record of `source` was read.
    pub(super) fn read(&mut self, source: &str, created_ms: Millis, t_ms: Millis) {
        self.hear(source, t_ms);
        let now = hour_of(t_ms);
        let (first, last) = open_hours(t_ms);
        match hour_of(created_ms) {
            // Kafka knows no create time, or it makes no sense.
            hour if created_ms < 0 || hour > last => {
                self.touch(source, now, |counted| counted.read += 1)
            }
            hour if hour < first => {}
            hour => self.touch(source, hour, |counted| counted.read += 1),
        }
    }

    /// Some record of `source` was read.
    pub(super) fn hear(&mut self, source: &str, t_ms: Millis) {
        let now = hour_of(t_ms);
        match self.heard.get_mut(source) {
            Some(hour) => *hour = now,
            None => drop(self.heard.insert(source.into(), now)),
        }
    }

    /// Takes over what was counted in the open hours.
    pub(super) fn take_over(&mut self, rows: &[ReconciliationRow]) {
        self.touched.clear();
        self.hours.clear();
        let (first, _) = open_hours(self.at);
        for row in rows.iter().filter(|row| row.hour >= first) {
            let counted = Counted { read: row.read, emitted: row.emitted, touched: false };
            self.hours.entry(row.hour).or_default().insert(row.source_module.clone(), counted);
        }
    }

    fn emitted(&mut self, count: &SourceCount) {
        self.touch(&count.source_module, count.hour_ms, |counted| {
            counted.emitted = Some(count.emitted);
        });
    }

    fn touch(&mut self, source: &str, hour_ms: Millis, change: impl FnOnce(&mut Counted)) {
        self.touched.insert(hour_ms);
        let hour = self.hours.entry(hour_ms).or_default();
        match hour.get_mut(source) {
            Some(counted) => {
                change(counted);
                counted.touched = true;
            }
            None => {
                let mut counted = Counted { touched: true, ..Counted::default() };
                change(&mut counted);
                hour.insert(source.into(), counted);
            }
        }
    }

    /// Appends the new state of every hour that was touched since it was asked last.
    pub(super) fn rows(&mut self, t_ms: Millis, rows: &mut Vec<Row>) {
        for hour in std::mem::take(&mut self.touched) {
            let sources = self.hours.get_mut(&hour).into_iter().flatten();
            for (source, counted) in sources.filter(|(_, counted)| counted.touched) {
                counted.touched = false;
                rows.push(Row::Reconciliation(ReconciliationRow {
                    source_module: source.clone(),
                    hour,
                    emitted: counted.emitted,
                    read: counted.read,
                    logical_time: t_ms,
                }));
            }
        }
    }
}

impl<K> Adapter<K> {
    /// Takes in a record of `cebe.counts`. A wrong one is rejected and changes nothing.
    pub(super) fn take_count(&mut self, record: &Record, placed: &Placed, tick: &mut AdaptedTick) {
        match SourceCount::read(&record.payload, placed.t_ms) {
            Ok(count) => self.reconciliation.emitted(&count),
            Err(error) => {
                tracing::warn!(offset = record.offset, %error, "count of a source without effect");
                let row = rows::refused_count(&error, record, placed, &self.judge.keys);
                tick.rows.push(Row::Rejected(row));
            }
        }
    }
}
