//! From one event's record to its verdict, its row and what is told of it.

use std::sync::Arc;

use cebe_schemas::fact::TickInput;
use cebe_schemas::row::Row;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::{ValidEvent, Verdict};
use serde::{Deserialize, Serialize};

use super::ledger::Outcome;
use super::undone::Claimed;
use super::{AdaptError, AdaptedTick, Adapter, erased, facts, rows};
use crate::kafka::source::Record;
use crate::key_index::{Claim, KeyIndex};

impl<K: KeyIndex> Adapter<K> {
    pub(super) fn take_in(
        &mut self,
        record: &Record,
        placed: &Placed,
        tick: &mut AdaptedTick,
    ) -> Result<(), AdaptError> {
        let source = self
            .topics
            .source_module(&record.topic)
            .ok_or_else(|| AdaptError::UnknownTopic(record.topic.clone()))?;
        self.ledger.read(record);
        let is_backfill = self.topics.is_backfill(&record.topic);
        match is_backfill {
            true => self.backfills.read(source, record, placed.t_ms),
            false => self.reconciliation.read(source, record.created_ms, placed.t_ms),
        }
        let verdict = match is_backfill && self.control.undoing().has_ended(&record.job) {
            true => Verdict::Skipped,
            false => self.judge.judge(source, &record.payload, &self.control, placed.t_ms),
        };
        let mut reason = None;
        let outcome = match verdict {
            Verdict::Skipped => {
                tick.tally.skipped(source);
                Outcome::Skipped
            }
            Verdict::Rejected(rejection) => {
                reason = Some(rejection.reason.as_str());
                tick.tally.rejected(source, rejection.reason.as_str());
                tick.rows.push(Row::Rejected(rows::rejected(*rejection, source, placed)));
                Outcome::Rejected
            }
            Verdict::Valid(event) => self.dedup(*event, is_backfill, placed, tick)?,
        };
        self.ledger.decided(record, outcome);
        if is_backfill {
            self.backfills.decided(outcome, reason);
        }
        Ok(())
    }

    fn dedup(
        &mut self,
        event: ValidEvent,
        is_backfill: bool,
        placed: &Placed,
        tick: &mut AdaptedTick,
    ) -> Result<Outcome, AdaptError> {
        let Claimed { claim, key, of } = self.claim(event.event_key, placed)?;
        if let Claim::Duplicate { of } = claim {
            tick.tally.duplicate(event, of);
            return Ok(Outcome::Duplicate);
        }
        tick.keys.push((key, placed.record_ordinal));
        if self.leaves_out(&event, is_backfill, placed) {
            self.undone.used(&placed.job, placed.record_ordinal);
        }
        if !self.are_undone(&of) {
            self.undone.hold(event, placed.clone(), of);
            return Ok(Outcome::Duplicate);
        }
        self.accept(event, is_backfill, placed, tick);
        Ok(Outcome::Accepted)
    }
}

impl<K> Adapter<K> {
    /// Whether the event counts as never read: of an undone backfill, unless it erases.
    pub(super) fn leaves_out(
        &self,
        event: &ValidEvent,
        is_backfill: bool,
        placed: &Placed,
    ) -> bool {
        is_backfill && self.is_left_out(&placed.job) && !facts::is_erasure(event)
    }

    pub(super) fn tell(
        &self,
        event: &ValidEvent,
        is_backfill: bool,
        placed: &Placed,
        tick: &mut AdaptedTick,
    ) {
        let (ids, selectors) = (self.judge.keys.id_key(), self.announced.selectors());
        let known = tick.input.known.len();
        let told = facts::tell(event, placed.record_ordinal, ids, selectors, &mut tick.input);
        if is_backfill {
            let TickInput { known: all, backfilled, .. } = &mut tick.input;
            backfilled.extend(told);
            backfilled.extend(all[known..].iter().map(|known| known.subject));
        }
    }

    /// Adds the row of an event, and tells what follows from it.
    pub(super) fn accept(
        &mut self,
        event: ValidEvent,
        is_backfill: bool,
        placed: &Placed,
        tick: &mut AdaptedTick,
    ) {
        tick.tally.ingested(&event);
        self.accepted.insert(event.event);
        if !self.leaves_out(&event, is_backfill, placed) {
            self.tell(&event, is_backfill, placed, tick);
        }
        let t_ms = tick.input.t_ms;
        let is_erased = self.erase(&event, t_ms, tick);
        let derived = facts::derived(&event, self.announced.in_force());
        let mut row = rows::accepted(event, derived, placed, &self.judge.keys);
        // One that had been a duplicate is published later than it was read.
        row.logical_time = t_ms;
        if is_erased {
            erased::empty(&mut row);
        }
        tick.rows.push(Row::Event(row));
    }

    /// Takes an erasure in. Returns whether the event itself is erased.
    fn erase(&mut self, event: &ValidEvent, t_ms: Millis, tick: &mut AdaptedTick) -> bool {
        let is_erasure = facts::is_erasure(event);
        if !is_erasure && self.erased.is_empty() {
            return false;
        }
        let customer = event.qontak_customer_id.as_deref();
        let subject = customer.map(|id| self.judge.keys.id_key().subject(&event.account_id, id));
        if let (true, Some(subject)) = (is_erasure, subject) {
            self.erased.customer(subject, event.occurred_at_ms);
            tick.rows.push(Row::Erasure(rows::erasure(event, t_ms)));
        }
        self.erased.has(subject, event)
    }
}

/// Where a record stands: what its row says beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) record_ordinal: u64,
    pub(super) t_ms: Millis,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) published_ms: Millis,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(super) job: Arc<str>,
}

impl Placed {
    pub(super) fn of(record: &Record, record_ordinal: u64, t_ms: Millis) -> Placed {
        Placed {
            record_ordinal,
            t_ms,
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            job: record.job.clone(),
            // A create time after the arrival is a clock that is wrong.
            published_ms: match record.created_ms {
                created_ms if created_ms < 0 => t_ms,
                created_ms => created_ms.min(t_ms),
            },
        }
    }
}
