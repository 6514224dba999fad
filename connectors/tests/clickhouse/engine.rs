//! Plays the engine: publishes ticks of random changes, and knows what must come of them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use cebe_schemas::change::Cause;
use cebe_schemas::count::hour_of;
use cebe_schemas::row::{
    EventRow, IdentityRow, LedgerRow, MetricRow, Progress, ProgressEntry, ReconciliationRow,
    RejectedRow, Row, SegmentRow,
};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::{PROGRESS_TOPIC, View};
use fastrand::Rng;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::json;

use crate::people::People;

const SOURCES: [&str; 3] = ["cdp", "broadcast", "ads"];
pub(crate) const PARTITIONS: u32 = 8;

/// What all views must say.
#[derive(Clone, Default)]
pub struct Truth {
    pub events: Vec<String>,
    pub identities: BTreeMap<(String, String), String>,
    pub members: BTreeMap<(String, String, String), (Millis, u32)>,
    pub segment_changes: Vec<String>,
    pub metrics: BTreeMap<(String, String), (u64, u64)>,
    pub metric_changes: Vec<String>,
    pub rejected: Vec<String>,
    pub ledger: BTreeMap<(String, i32), [u64; 5]>,
    /// (topic, partition, offset) → T.
    pub skipped: BTreeMap<(String, i32, i64), Millis>,
    /// (source, hour) → (emitted, read).
    pub hours: BTreeMap<(String, Millis), (Option<u64>, u64)>,
    pub people: People,
}

/// One tick as it stands on the topics.
#[derive(Clone)]
pub struct Tick {
    pub rows: BTreeMap<(View, u32), Vec<String>>,
    pub progress: Progress,
}

/// Makes ticks.
pub struct Engine {
    pub(crate) rng: Rng,
    pub truth: Truth,
    pub t_ms: Millis,
    pub(crate) binding: u64,
    ordinal: u64,
}

fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as Millis
}

impl Engine {
    /// The same seed makes the same ticks, times aside.
    pub fn new(seed: u64) -> Self {
        let t_ms = now_ms() - 3_600_000;
        Engine { rng: Rng::with_seed(seed), truth: Truth::default(), t_ms, binding: 0, ordinal: 0 }
    }

    /// The next tick, at or after `now_ms`, with about so many events.
    pub fn tick(&mut self, events: usize) -> Tick {
        let before = self.t_ms;
        self.t_ms = (before + 2).max(if self.rng.u8(..) < 128 { before + 40 } else { 0 });
        self.binding += 1;
        let mut tick = Building::default();
        for _ in 0..events {
            self.event(&mut tick);
        }
        for _ in 0..events.div_ceil(4) {
            self.identity(&mut tick);
            // By the passing of time, before T.
            self.segment(&mut tick, before + 1, Cause::Time);
            self.segment(&mut tick, self.t_ms, Cause::Event);
            self.metric(&mut tick);
            self.person(&mut tick);
            self.quarantine(&mut tick);
        }
        self.definition(&mut tick);
        for ((topic, partition), counts) in &self.truth.ledger {
            let [records_read, accepted, duplicate, rejected, skipped] = *counts;
            let row = LedgerRow {
                topic: topic.as_str().into(),
                partition: *partition,
                records_read,
                accepted,
                duplicate,
                rejected,
                skipped,
                skipped_ranges: self.truth.skipped_at(topic, *partition, self.t_ms),
                logical_time: self.t_ms,
            };
            tick.add(*partition as u32, Row::Ledger(row));
        }
        self.hour(&mut tick);
        tick.finish(self.t_ms, self.binding)
    }

    /// Records of an hour, and every other time its count.
    fn hour(&mut self, tick: &mut Building) {
        let source = SOURCES[self.binding as usize % SOURCES.len()];
        let hour = hour_of(self.t_ms);
        let counted = self.truth.hours.entry((source.to_owned(), hour)).or_default();
        counted.1 += self.binding % 5;
        if self.binding.is_multiple_of(2) {
            counted.0 = Some(self.binding);
        }
        let row = ReconciliationRow {
            source_module: source.into(),
            hour,
            emitted: counted.0,
            read: counted.1,
            logical_time: self.t_ms,
        };
        tick.add(0, Row::Reconciliation(row));
    }

    /// A tick now, of one event published at `published_ms`.
    pub fn live(&mut self, published_ms: Millis) -> Tick {
        self.t_ms = now_ms().max(self.t_ms + 1);
        self.binding += 1;
        let mut tick = Building::default();
        self.event_at(&mut tick, published_ms);
        tick.finish(self.t_ms, self.binding)
    }

    /// The next tick, of one event for each (properties, payload).
    pub fn tick_of(&mut self, events: impl Iterator<Item = (String, String)>) -> Tick {
        self.t_ms += 10;
        self.binding += 1;
        let mut tick = Building::default();
        for (properties, payload) in events {
            let mut row = self.accepted(self.t_ms);
            (row.properties, row.payload) = (properties, payload);
            tick.add(self.rng.u32(..PARTITIONS), Row::Event(row));
        }
        tick.finish(self.t_ms, self.binding)
    }

    fn event(&mut self, tick: &mut Building) {
        let fate = self.rng.usize(..20);
        if fate >= 3 {
            return self.event_at(tick, self.t_ms - 5);
        }
        let source = SOURCES[self.rng.usize(..3)];
        let (topic, partition) = (format!("cebe.events.{source}"), self.rng.i32(0..2));
        let counts = self.truth.ledger.entry((topic.clone(), partition)).or_default();
        let offset = counts[0] as i64;
        counts[0] += 1;
        counts[2 + fate] += 1;
        if fate == 2 {
            self.truth.skipped.insert((topic, partition, offset), self.t_ms);
            return;
        }
        if fate != 1 {
            return;
        }
        self.ordinal += 1;
        let row = RejectedRow {
            topic: topic.clone(),
            partition,
            offset,
            account_id: String::new(),
            source_module: source.into(),
            event_name: String::new(),
            reason: "malformed_json".into(),
            pointer: String::new(),
            message: "not JSON".into(),
            payload: "{\"bytes\":3}".into(),
            backfill_job: "".into(),
            received_at: self.t_ms,
            logical_time: self.t_ms,
            ordinal: self.ordinal,
        };
        tick.add(partition as u32, Row::Rejected(row));
        self.truth.rejected.push(json!([topic, partition, offset, "malformed_json"]).to_string());
    }

    fn event_at(&mut self, tick: &mut Building, published_ms: Millis) {
        let mut row = self.accepted(published_ms);
        let amount = self.rng.u32(..1000);
        row.properties = json!({"amount": amount, "when": "2026-01-02T03:04:05Z"}).to_string();
        row.payload = json!({"properties": {"amount": amount}}).to_string();
        self.truth.events.push(json!([row.account_id, row.ordinal, amount]).to_string());
        tick.add(self.rng.u32(..PARTITIONS), Row::Event(row));
    }

    /// An event without content, in the ledger.
    fn accepted(&mut self, published_at: Millis) -> EventRow {
        let source = SOURCES[self.rng.usize(..3)];
        let (topic, partition) = (format!("cebe.events.{source}"), self.rng.i32(0..2));
        let counts = self.truth.ledger.entry((topic.clone(), partition)).or_default();
        let offset = counts[0] as i64;
        counts[0] += 1;
        counts[1] += 1;
        self.ordinal += 1;
        EventRow {
            account_id: format!("acc-{}", self.rng.u8(..5)).into(),
            team_id: "".into(),
            source_module: source.into(),
            event_name: format!("{source}.happened").into(),
            schema_version: 1,
            idempotency_key: format!("key-{}", self.ordinal).into(),
            qontak_customer_id: format!("{}", self.rng.u16(..500)).into(),
            occurred_at: self.t_ms - self.rng.i64(0..86_400_000),
            received_at: self.t_ms,
            published_at,
            properties: "{}".into(),
            payload: String::new(),
            identifier_tokens: vec!["k1:aa".into()],
            facts: "{}".into(),
            lasting_facts: "{}".into(),
            backfill_job: "".into(),
            topic: topic.into(),
            partition,
            offset,
            logical_time: self.t_ms,
            ordinal: self.ordinal,
        }
    }

    fn identity(&mut self, tick: &mut Building) {
        let key = (format!("acc-{}", self.rng.u8(..5)), format!("{}", self.rng.u16(..200)));
        let old = self.truth.identities.get(&key).cloned().unwrap_or_default();
        let new = match self.rng.u8(..10) {
            0 => String::new(),
            _ => format!("{}", self.rng.u16(..200)),
        };
        if old == new || !tick.touch(View::Identities, &format!("{key:?}")) {
            return;
        }
        let row = IdentityRow {
            account_id: key.0.as_str().into(),
            qontak_customer_id: key.1.as_str().into(),
            old_customer_id: old.into(),
            customer_id: new.as_str().into(),
            cause: Cause::Merge,
            logical_time: self.t_ms,
            deleted: u8::from(new.is_empty()),
        };
        tick.add(self.rng.u32(..PARTITIONS), Row::Identity(row));
        if new.is_empty() {
            self.truth.identities.remove(&key);
        } else {
            self.truth.identities.insert(key, new);
        }
    }

    fn segment(&mut self, tick: &mut Building, logical_time: Millis, cause: Cause) {
        let key = (
            format!("acc-{}", self.rng.u8(..5)),
            format!("seg-{}", self.rng.u8(..3)),
            format!("{}", self.rng.u16(..300)),
        );
        if !tick.touch(View::Segments, &format!("{key:?}")) {
            return;
        }
        let entered = !self.truth.members.contains_key(&key);
        let row = SegmentRow {
            account_id: key.0.as_str().into(),
            segment_id: key.1.as_str().into(),
            customer_id: key.2.as_str().into(),
            change: if entered { "entered" } else { "exited" },
            cause,
            definition_version: 7,
            logical_time,
            deleted: u8::from(!entered),
        };
        let time = format_rfc3339(logical_time);
        let change = json!([key.0, key.1, key.2, row.change, cause, time, 7]);
        tick.add(self.rng.u32(..PARTITIONS), Row::Segment(row));
        self.truth.segment_changes.push(change.to_string());
        if entered {
            self.truth.members.insert(key, (logical_time, 7));
        } else {
            self.truth.members.remove(&key);
        }
    }

    fn metric(&mut self, tick: &mut Building) {
        let key = (format!("acc-{}", self.rng.u8(..5)), format!("b-{}", self.rng.u8(..20)));
        if !tick.touch(View::Metrics, &format!("{key:?}")) {
            return;
        }
        let old = self.truth.metrics.get(&key).copied().unwrap_or_default();
        let new = match self.rng.u64(..8) {
            0 => (0, 0),
            more => (old.0 + more % 2, old.1 + more),
        };
        let rate = |(n, d): (u64, u64)| (d > 0).then(|| n as f64 / d as f64);
        let row = MetricRow {
            account_id: key.0.as_str().into(),
            metric: "reply_rate".into(),
            group_key: key.1.as_str().into(),
            old_numerator: old.0,
            old_denominator: old.1,
            old_rate: rate(old),
            new_numerator: new.0,
            new_denominator: new.1,
            new_rate: rate(new),
            cause: Cause::LateEvent,
            logical_time: self.t_ms,
            deleted: u8::from(new.1 == 0),
        };
        tick.add(self.rng.u32(..PARTITIONS), Row::Metric(row));
        let time = format_rfc3339(self.t_ms);
        let change = json!([key.0, key.1, old.0, old.1, new.0, new.1, "late_event", time]);
        self.truth.metric_changes.push(change.to_string());
        if new.1 == 0 {
            self.truth.metrics.remove(&key);
        } else {
            self.truth.metrics.insert(key, new);
        }
    }
}

impl Truth {
    fn skipped_at(&self, topic: &str, partition: i32, t_ms: Millis) -> Vec<(i64, i64)> {
        let here = |((t, p, offset), at): (&(String, i32, i64), &Millis)| {
            (t == topic && *p == partition && *at == t_ms).then_some((*offset, offset + 1))
        };
        self.skipped.iter().filter_map(here).collect()
    }
}

/// A tick before its rows are numbered.
#[derive(Default)]
pub(crate) struct Building {
    rows: BTreeMap<(View, u32), Vec<Row>>,
    touched: std::collections::BTreeSet<(View, String)>,
}

impl Building {
    /// Whether the key has not changed yet in this tick.
    pub(crate) fn touch(&mut self, view: View, key: &str) -> bool {
        self.touched.insert((view, key.to_owned()))
    }

    pub(crate) fn add(&mut self, partition: u32, row: Row) {
        self.rows.entry((row.view(), partition)).or_default().push(row);
    }

    pub(crate) fn finish(self, through: Millis, binding: u64) -> Tick {
        let mut tick = BTreeMap::new();
        let mut entries = Vec::new();
        for ((view, partition), mut rows) in self.rows {
            rows.sort_by_key(Row::logical_time);
            let mut hasher = blake3::Hasher::new();
            let mut lines = Vec::new();
            let mut last = (Millis::MIN, 0);
            for row in rows {
                let logical_time = row.logical_time();
                last = (logical_time, if logical_time == last.0 { last.1 + 1 } else { 0 });
                let mut line = Vec::new();
                row.write(last.1, &mut line);
                hasher.update(&line);
                lines.push(String::from_utf8(line).unwrap());
            }
            let hash = hasher.finalize().to_hex()[..32].to_owned();
            entries.push(ProgressEntry { view, partition, count: lines.len() as u32, hash });
            tick.insert((view, partition), lines);
        }
        Tick { rows: tick, progress: Progress { through, binding, generation: 1, entries } }
    }
}

impl Tick {
    /// Changes the only row of `view`.
    pub fn edit(&mut self, view: View, edit: impl FnOnce(&str) -> String) {
        let (lane, rows) = self.rows.iter_mut().find(|((v, _), _)| *v == view).unwrap();
        assert_eq!(rows.len(), 1);
        rows[0] = edit(&rows[0]);
        let mut entries = self.progress.entries.iter_mut();
        let entry = entries.find(|e| (e.view, e.partition) == *lane).unwrap();
        entry.hash = blake3::hash(rows[0].as_bytes()).to_hex()[..32].to_owned();
    }
}

/// Puts ticks on topics.
pub struct Publisher {
    producer: ThreadedProducer<DefaultProducerContext>,
    prefix: String,
}

impl Publisher {
    pub fn new(kafka: &str, prefix: &str) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("transactional.id", format!("{prefix}engine"))
            .set("queue.buffering.max.messages", "1000000")
            .create::<ThreadedProducer<_>>()?;
        producer.init_transactions(Duration::from_secs(30))?;
        Ok(Publisher { producer, prefix: prefix.to_owned() })
    }

    /// One transaction a tick, as the engine does it.
    pub fn publish(&self, tick: &Tick) -> anyhow::Result<()> {
        self.transaction(|| {
            self.rows(tick)?;
            self.progress(tick)
        })
    }

    pub fn transaction(&self, send: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.producer.begin_transaction()?;
        send()?;
        Ok(self.producer.commit_transaction(Duration::from_secs(30))?)
    }

    pub fn rows(&self, tick: &Tick) -> anyhow::Result<()> {
        for ((view, partition), rows) in &tick.rows {
            for row in rows {
                self.send(&view.topic(), *partition as i32, tick.progress.through, row)?;
            }
        }
        Ok(())
    }

    pub fn progress(&self, tick: &Tick) -> anyhow::Result<()> {
        let progress = serde_json::to_string(&tick.progress)?;
        self.send(PROGRESS_TOPIC, 0, tick.progress.through, &progress)
    }

    pub fn send(
        &self,
        topic: &str,
        partition: i32,
        t_ms: Millis,
        value: &str,
    ) -> anyhow::Result<()> {
        let topic = format!("{}{topic}", self.prefix);
        let record: BaseRecord<'_, (), str> =
            BaseRecord::to(&topic).partition(partition).timestamp(t_ms).payload(value);
        self.producer.send(record).map_err(|(error, _)| error).context("producer")
    }
}
