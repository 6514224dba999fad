//! Control records, and the history that some of them wait for.

use cebe_schemas::control::{ControlError, names};
use cebe_schemas::fact::{EventFact, GroupName};
use cebe_schemas::history::{HistoryRecord, Reach, Slice, Waits};
use cebe_schemas::id::{EventType, Group};
use cebe_schemas::row::Row;

use super::waiting::{Backlog, Held};
use super::{AdaptedTick, Adapter, Past, Placed, rows};
use crate::kafka::source::Record;

impl<K> Adapter<K> {
    /// The control records that wait for history, in order of arrival.
    pub fn waiting(&self) -> Vec<Waits> {
        self.waiting.list(false)
    }

    /// How many definitions they put or remove.
    pub fn definitions_waiting(&self) -> usize {
        self.waiting.definitions()
    }

    /// Those of them of which no record on `cebe.history` says so yet.
    pub fn unannounced(&self) -> Vec<Waits> {
        self.waiting.list(true)
    }

    /// The history that is waited for.
    pub fn backlogs(&self) -> Vec<Backlog> {
        self.waiting.backlogs()
    }

    /// The offset of the last record of `cebe.history` that was adapted.
    pub fn history_offset(&self) -> Option<i64> {
        self.history_offset
    }

    /// Brings a control record into force, unless it is wrong, or has to wait. `first_ordinal` is that
    /// of the tick: what its definitions look at is made of every event from there on. `is_first`: of the
    /// control records of the tick.
    pub(super) fn take_control(
        &mut self,
        record: &Record,
        placed: Placed,
        (first_ordinal, is_first): (u64, bool),
        tick: &mut AdaptedTick,
    ) {
        let mut next = self.control.clone();
        let applied = match next.apply(&record.payload) {
            Ok(applied) => applied,
            Err(error) => return self.refuse(&error, record, &placed, tick),
        };
        if let Some(error) = self.cannot_undo(&next, is_first) {
            return self.refuse(&error, record, &placed, tick);
        }
        let names = names(&record.payload);
        self.waiting.supersede(&names, record.offset);
        if applied.definitions_changed && self.past != Past::Foreseen {
            let selectors = self.announced.foresee(&next.definitions(), &self.judge);
            let since = Reach { next: 0, until: first_ordinal, arrived_by_ms: self.last_ms };
            let wants = self.waiting.begin(&selectors, since, |selector| {
                self.accepted.contains(&EventType::named(selector.name()))
            });
            if !wants.is_empty() {
                let (offset, selectors) = (record.offset, wants.len());
                tracing::info!(offset, selectors, "control record waits for history");
                return self.waiting.hold(record.clone(), placed, names, wants);
            }
        }
        if applied.backfills_changed {
            self.backfills.undone(next.undoing().undone(), placed.t_ms);
        }
        self.control = next;
        tracing::info!(offset = record.offset, ?applied, "control record in force");
    }

    /// Takes in a record of `cebe.history`. One that says nothing new, or nothing at all, changes
    /// nothing.
    pub(super) fn take_history(&mut self, record: &Record, tick: &mut AdaptedTick) {
        self.history_offset = Some(record.offset);
        match serde_json::from_slice(&record.payload) {
            Ok(HistoryRecord::Waits(waits)) => self.waiting.announced(&waits),
            Ok(HistoryRecord::Slice(slice)) => {
                if !self.waiting.advance(&slice) {
                    let offset = record.offset;
                    tracing::debug!(offset, slice.from, slice.to, "history that is held already");
                    return;
                }
                if self.past == Past::Read {
                    self.recall(&slice, tick);
                }
                while let Some(held) = self.waiting.next_ready() {
                    self.bring_into_force(held, tick);
                }
            }
            Err(error) => {
                tracing::warn!(offset = record.offset, %error, "no record of history: ignored");
            }
        }
    }

    /// Hands the facts of `slice` on. What refers to nothing in it is left out.
    fn recall(&self, slice: &Slice, tick: &mut AdaptedTick) {
        let ids = self.judge.keys.id_key();
        let named = slice.groups.iter().map(|text| GroupName {
            group: ids.group(&slice.account_id, text),
            group_key: text.clone(),
        });
        let groups: Vec<GroupName> = named.collect();
        let is_left_out: Vec<bool> = slice.jobs.iter().map(|job| self.is_left_out(job)).collect();
        let past = slice.facts.iter().filter_map(|fact| {
            if fact.job.and_then(|at| is_left_out.get(at as usize)) == Some(&true) {
                return None;
            }
            let event = *slice.selectors.get(fact.selector as usize)?;
            let group = match fact.group {
                None => Group::NONE,
                Some(at) => groups.get(at as usize)?.group,
            };
            Some((fact.subject, EventFact { event, group, occurred_at_ms: fact.at }))
        });
        tick.input.past.extend(past);
        tick.input.groups.extend(groups);
    }

    /// All that the control record waited for is there. It may have become wrong meanwhile.
    fn bring_into_force(&mut self, Held { record, placed, .. }: Held, tick: &mut AdaptedTick) {
        let placed = Placed { t_ms: tick.input.t_ms, ..placed };
        match self.control.apply(&record.payload) {
            Ok(applied) => {
                tracing::info!(
                    offset = record.offset,
                    ?applied,
                    "control record in force, over all history"
                );
            }
            Err(error) => self.refuse(&error, &record, &placed, tick),
        }
    }

    fn refuse(
        &self,
        error: &ControlError,
        record: &Record,
        placed: &Placed,
        tick: &mut AdaptedTick,
    ) {
        tracing::warn!(offset = record.offset, %error, "control record without effect");
        let row = rows::refused_control(error, record, placed, &self.judge.keys);
        tick.rows.push(Row::Rejected(row));
    }
}
