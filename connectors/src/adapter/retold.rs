//! A binding told again, from events that were accepted: no verdict and no dedup, since both were decided, and
//! no rows, since they are out. The facts are made by the same code as at first, under the control state of
//! that time.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::row::{BackfillRow, LedgerRow, ReconciliationRow};
use cebe_schemas::verdict::stored::Retold;

use super::{AdaptedTick, Adapter, Placed, facts};
use crate::binding::Binding;
use crate::kafka::source::Record;

/// An accepted event and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct RetoldEvent {
    /// Its place in the order of arrival.
    pub ordinal: u64,
    /// Where its record was read.
    pub topic: Arc<str>,
    /// Where its record was read.
    pub partition: i32,
    /// The backfill that it came with; "" if it came live.
    pub job: Arc<str>,
    /// The event.
    pub retold: Retold,
}

/// What was counted by the end of the last binding that was told again.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// The ledger of each partition.
    pub ledger: Vec<LedgerRow>,
    /// What was read of each backfill.
    pub backfills: Vec<BackfillRow>,
    /// The hours that are open.
    pub hours: Vec<ReconciliationRow>,
    /// By partition, at most so many events have expired since they were accepted.
    pub expired: BTreeMap<(String, i32), u64>,
}

/// The numbers of a partition do not agree: rows are missing, or there are too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{topic}/{partition}: {bound} records were bound and the ledger says {read}; {events} events are \
     stored and the ledger says {accepted}"
)]
pub struct Miscounted {
    /// Whose.
    pub topic: Arc<str>,
    /// Whose.
    pub partition: i32,
    /// Records that the bindings count.
    pub bound: u64,
    /// Records that the ledger counts.
    pub read: u64,
    /// Events found.
    pub events: u64,
    /// Events that the ledger counts.
    pub accepted: u64,
}

impl<K> Adapter<K> {
    /// What `binding` told, of its records of control and history, each with its ordinal, and of the events
    /// accepted from the others, in order of ordinal.
    pub fn retell(
        &mut self,
        binding: &Binding,
        records: &[(u64, Record)],
        events: Vec<RetoldEvent>,
    ) -> AdaptedTick {
        let mut tick = AdaptedTick::default();
        tick.input.t_ms = binding.t_ms;
        self.reconciliation.advance(binding.t_ms);
        let is_control = |(_, record): &&(u64, Record)| *record.topic == self.topics.control;
        let (control, history): (Vec<_>, Vec<_>) = records.iter().partition(is_control);
        for (at, (ordinal, record)) in control.into_iter().enumerate() {
            let placed = Placed::of(record, *ordinal, binding.t_ms);
            self.take_control(record, placed, (binding.first_ordinal, at == 0), &mut tick);
        }
        for (_, record) in history {
            self.take_history(record, &mut tick);
        }
        self.announced.tell(&self.control, &self.judge, &mut tick);
        for range in &binding.ranges {
            if let Some(source) = self.topics.source_module(&range.topic) {
                self.ledger.bound(range);
                if !self.topics.is_backfill(&range.topic) {
                    self.reconciliation.hear(source, binding.t_ms);
                }
            }
        }
        for event in self.undone.retell(self.control.undoing().undone()) {
            self.tell_facts(event, &mut tick);
        }
        for event in events {
            self.tell_again(event, &mut tick);
        }
        self.last_ms = binding.t_ms;
        self.next_ordinal = binding.first_ordinal + binding.records();
        tick.rows.clear();
        tick
    }

    fn tell_again(&mut self, told: RetoldEvent, tick: &mut AdaptedTick) {
        let (key, of) = self.undone.stands_for(told.retold.event.event_key);
        tick.keys.push((key, told.ordinal));
        self.ledger.accepted(&told.topic, told.partition);
        if self.leaves_out_retold(&told) {
            self.undone.retold(&told.job, told.ordinal, key);
        }
        match self.are_undone(&of) {
            true => self.tell_facts(told, tick),
            false => self.undone.hold_retold(told, of),
        }
    }

    fn leaves_out_retold(&self, told: &RetoldEvent) -> bool {
        let is_backfill = self.topics.is_backfill(&told.topic);
        is_backfill && self.is_left_out(&told.job) && !facts::is_erasure(&told.retold.event)
    }

    fn tell_facts(&mut self, told: RetoldEvent, tick: &mut AdaptedTick) {
        self.accepted.insert(told.retold.event.event);
        if self.leaves_out_retold(&told) {
            return;
        }
        let RetoldEvent { ordinal, retold: Retold { event, is_erased, derived }, .. } = told;
        let (ids, selectors) = (self.judge.keys.id_key(), self.announced.selectors());
        match is_erased {
            true => facts::tell_erased(&event, derived, ordinal, ids, &mut tick.input),
            false => drop(facts::tell(&event, ordinal, ids, selectors, &mut tick.input)),
        }
    }

    /// Takes over what was counted by the end of the last binding that was told again.
    ///
    /// # Errors
    /// It does not agree with what was told.
    pub fn recount(&mut self, counted: &Counted) -> Result<(), Miscounted> {
        let expired = |topic: &str, partition| {
            counted.expired.get(&(topic.to_owned(), partition)).copied().unwrap_or_default()
        };
        self.ledger.take_over(&counted.ledger, expired)?;
        self.backfills.take_over(&counted.backfills);
        self.reconciliation.take_over(&counted.hours);
        Ok(())
    }
}
