//! Bindings told again from rows. Pure: rows and records are handed in.

use std::sync::Arc;

use cebe_schemas::change::Membership;
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::stored::StoredEvent;
use clickhouse::Row;
use serde::Deserialize;

use super::RebuildError;
use crate::adapter::{Adapter, Counted, RetoldEvent, SavedAdapter};
use crate::binding::{Binding, Range};
use crate::kafka::Topics;
use crate::kafka::source::Record;
use crate::snapshot::{Facts, KeptTick};

/// An accepted event as it stands in `landing_events`, the last version of its row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Row)]
pub struct LandedEvent {
    /// Its place in the order of arrival.
    pub ordinal: u64,
    /// The T of its binding.
    pub received_at_ms: Millis,
    /// Where it was read.
    pub topic: String,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// The tenant.
    pub account_id: String,
    /// "" if none.
    pub team_id: String,
    /// The publisher.
    pub source_module: String,
    /// The event type.
    pub event_name: String,
    /// The version of its schema.
    pub schema_version: u32,
    /// As stored.
    pub idempotency_key: String,
    /// "" if none.
    pub qontak_customer_id: String,
    /// When it happened.
    pub occurred_at_ms: Millis,
    /// The masked envelope; "" if it is erased.
    pub payload: String,
    /// What the payload does not say.
    pub facts: String,
    /// What an erasure leaves.
    pub lasting_facts: String,
    /// The backfill that it came with; "" if it came live.
    pub backfill_job: String,
}

impl LandedEvent {
    fn stored(&self) -> StoredEvent<'_> {
        StoredEvent {
            account_id: &self.account_id,
            team_id: &self.team_id,
            source_module: &self.source_module,
            event_name: &self.event_name,
            schema_version: self.schema_version,
            idempotency_key: &self.idempotency_key,
            qontak_customer_id: &self.qontak_customer_id,
            occurred_at_ms: self.occurred_at_ms,
            payload: &self.payload,
            facts: &self.facts,
            lasting_facts: &self.lasting_facts,
        }
    }

    /// The range of `binding` in which it stands.
    fn range<'b>(&self, binding: &'b Binding) -> Option<&'b Range> {
        let mut first = binding.first_ordinal;
        let mut ranges = binding.ranges.iter().filter(|range| {
            let holds = (first..first + range.records).contains(&self.ordinal);
            first += range.records;
            holds
        });
        ranges.next().filter(|range| {
            let is_there = (range.from..range.to).contains(&self.offset);
            is_there && *range.topic == self.topic && range.partition == self.partition
        })
    }
}

/// Tells bindings again, from the first on.
pub struct Telling {
    adapter: Adapter<()>,
    keys: Arc<Keys>,
    events: u64,
}

impl Telling {
    /// Begins with `adapter`, which is as before the first binding. By the last binding that is told, so much was
    /// `counted`.
    pub fn new(mut adapter: Adapter<()>, keys: Arc<Keys>, counted: &Counted) -> Telling {
        let undone = counted.backfills.iter().filter(|row| row.undone_at.is_some());
        adapter.leave_out(undone.map(|row| row.job.clone()));
        Telling { adapter, keys, events: 0 }
    }

    /// Which of `ranges` are read from Kafka: those of topics that are kept for ever.
    pub fn kept(topics: &Topics, ranges: &[Range]) -> Vec<Range> {
        let is_kept = |range: &&Range| topics.keeps(&range.topic);
        ranges.iter().filter(is_kept).cloned().collect()
    }

    /// What `binding` told: of its records of topics that are kept for ever, and of the rows of its events,
    /// both in order.
    ///
    /// # Errors
    /// A row is not of this binding, or does not say what is needed.
    pub fn tell(
        &mut self,
        topics: &Topics,
        binding: &Binding,
        kept: Vec<Record>,
        rows: &[LandedEvent],
    ) -> Result<KeptTick, RebuildError> {
        let mut records = Vec::with_capacity(kept.len());
        let (mut first, mut kept) = (binding.first_ordinal, kept.into_iter());
        for range in &binding.ranges {
            if topics.keeps(&range.topic) {
                let ordinals = first..first + range.records;
                records.extend(ordinals.zip(kept.by_ref()));
            }
            first += range.records;
        }
        let events: Result<Vec<RetoldEvent>, RebuildError> =
            rows.iter().map(|row| self.event(binding, row)).collect();
        let tick = self.adapter.retell(binding, &records, events?);
        self.events += rows.len() as u64;
        Ok(KeptTick::new(&tick, binding.t_ms))
    }

    fn event(&self, binding: &Binding, row: &LandedEvent) -> Result<RetoldEvent, RebuildError> {
        let range = row.range(binding).filter(|_| row.received_at_ms == binding.t_ms);
        let range = range.ok_or_else(|| RebuildError::Foreign {
            ordinal: row.ordinal,
            place: format!("{}/{} offset {}", row.topic, row.partition, row.offset),
            binding: binding.number,
            time: format_rfc3339(row.received_at_ms),
        })?;
        let retold = row.stored().read(&self.keys);
        let retold = retold.map_err(|error| RebuildError::Event { ordinal: row.ordinal, error })?;
        let (topic, partition) = (range.topic.clone(), range.partition);
        let job = Arc::from(&*row.backfill_job);
        Ok(RetoldEvent { ordinal: row.ordinal, topic, partition, job, retold })
    }

    /// How many events were told.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The adapter as of the last binding told, but for what is counted.
    pub fn adapter(&self) -> &Adapter<()> {
        &self.adapter
    }

    /// What is left to keep, and the adapter as of the last binding told.
    ///
    /// # Errors
    /// What was `counted` does not agree with what was told.
    pub fn finish(
        mut self,
        counted: &Counted,
        memberships: Vec<Membership>,
    ) -> Result<(KeptTick, SavedAdapter), RebuildError> {
        self.adapter.recount(counted)?;
        let facts = Facts { memberships, ..Facts::default() };
        Ok((KeptTick { facts, ..KeptTick::default() }, self.adapter.save()))
    }
}
