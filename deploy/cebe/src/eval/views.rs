//! Rows of `cebe.out.*` folded into what the analysts' views hold. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use cebe_schemas::change::{Profile, Quarantine};
use cebe_schemas::row::{
    BackfillRow, CustomerRow, EventRow, LedgerRow, MetricRow, QuarantineRow, RejectedRow, Row,
    SeenRow, SegmentRow,
};
use cebe_schemas::time::Millis;
use serde_json::{Map, Value};

use super::rows::{
    Backfilled, Customer, Identity, Ledger, MetricChange, MetricValue, Quarantined, Reconciled,
    RejectedEvent, SegmentChange, SegmentMember,
};

type Pair = (Arc<str>, Arc<str>);
type Triple = (Arc<str>, Arc<str>, Arc<str>);
type Place = (Arc<str>, i32);
/// (account, reason, token, cluster).
type Cluster = (Arc<str>, Quarantine, String, String);
/// (length, id).
type Shortlex = BTreeSet<(usize, Arc<str>)>;

/// The state of every view after the rows so far.
#[derive(Debug, Default)]
pub struct Views {
    identities: BTreeMap<Pair, Arc<str>>,
    profiles: BTreeMap<Pair, Arc<Profile>>,
    seen: BTreeMap<Pair, (Option<Millis>, Option<Millis>)>,
    members: BTreeMap<Triple, (Millis, u32)>,
    segment_changes: Vec<SegmentChange>,
    values: BTreeMap<Triple, (u64, u64, Option<f64>)>,
    metric_changes: Vec<MetricChange>,
    quarantine: BTreeMap<Cluster, Shortlex>,
    rejected: BTreeMap<(String, i32, i64), RejectedRow>,
    ledger: BTreeMap<Place, LedgerRow>,
    /// Offsets of the accepted events.
    stored: BTreeMap<Place, HashSet<i64>>,
    /// By source and job.
    backfills: BTreeMap<Pair, BackfillRow>,
    /// (source, hour) → (emitted, read).
    reconciled: BTreeMap<(Arc<str>, Millis), (Option<u64>, u64)>,
}

impl Views {
    /// Takes in one row. Those of one key come in order of time.
    pub fn fold(&mut self, row: Row) {
        match row {
            Row::Event(row) => self.event(row),
            Row::Identity(row) => {
                let key = (row.account_id, row.qontak_customer_id);
                put(&mut self.identities, key, row.deleted, row.customer_id);
            }
            Row::Customer(row) => self.customer(row),
            Row::Seen(SeenRow {
                account_id, customer_id, first_seen, last_seen, deleted, ..
            }) => put(&mut self.seen, (account_id, customer_id), deleted, (first_seen, last_seen)),
            Row::Segment(row) => self.segment(row),
            Row::Metric(row) => self.metric(row),
            Row::Quarantine(row) => self.quarantined(row),
            Row::Erasure(_) | Row::Definition(_) => {}
            Row::Rejected(row) => {
                self.rejected.insert((row.topic.clone(), row.partition, row.offset), row);
            }
            Row::Ledger(row) => {
                self.ledger.insert((row.topic.clone(), row.partition), row);
            }
            Row::Backfill(row) => {
                self.backfills.insert((row.source_module.clone(), row.job.clone()), row);
            }
            Row::Reconciliation(row) => {
                self.reconciled.insert((row.source_module, row.hour), (row.emitted, row.read));
            }
        }
    }

    fn event(&mut self, EventRow { topic, partition, offset, .. }: EventRow) {
        self.stored.entry((topic, partition)).or_default().insert(offset);
    }

    fn customer(&mut self, row: CustomerRow) {
        let key = (row.account_id, row.customer_id);
        match row.new {
            Some(profile) => self.profiles.insert(key, profile),
            None => self.profiles.remove(&key),
        };
    }

    fn segment(&mut self, row: SegmentRow) {
        let key = (row.account_id.clone(), row.segment_id.clone(), row.customer_id.clone());
        let member = (row.logical_time, row.definition_version);
        put(&mut self.members, key, row.deleted, member);
        self.segment_changes.push(SegmentChange {
            account_id: row.account_id,
            segment_id: row.segment_id,
            customer_id: row.customer_id,
            change: row.change,
            cause: row.cause,
            logical_time: row.logical_time,
            definition_version: row.definition_version,
        });
    }

    fn metric(&mut self, row: MetricRow) {
        let key = (row.account_id.clone(), row.metric.clone(), row.group_key.clone());
        let value = (row.new_numerator, row.new_denominator, row.new_rate);
        put(&mut self.values, key, row.deleted, value);
        self.metric_changes.push(MetricChange {
            account_id: row.account_id,
            metric: row.metric,
            group_key: row.group_key,
            old_numerator: row.old_numerator,
            old_denominator: row.old_denominator,
            old_rate: row.old_rate,
            new_numerator: row.new_numerator,
            new_denominator: row.new_denominator,
            new_rate: row.new_rate,
            cause: row.cause,
            logical_time: row.logical_time,
        });
    }

    fn quarantined(&mut self, row: QuarantineRow) {
        let key = (row.account_id, row.reason, row.identifier_token, row.cluster);
        let id = (row.qontak_customer_id.len(), row.qontak_customer_id);
        let holders = self.quarantine.entry(key.clone()).or_default();
        match row.deleted {
            0 => drop(holders.insert(id)),
            _ => drop(holders.remove(&id)),
        }
        if holders.is_empty() {
            self.quarantine.remove(&key);
        }
    }

    pub fn identities(&self) -> impl Iterator<Item = Identity<'_>> {
        self.identities.iter().map(|((account_id, qontak_customer_id), customer_id)| Identity {
            account_id,
            qontak_customer_id,
            customer_id,
        })
    }

    pub fn customers(&self) -> impl Iterator<Item = Customer<'_>> {
        self.profiles.iter().map(|(key, profile)| {
            let (first_seen, last_seen) = self.seen.get(key).copied().unwrap_or_default();
            Customer {
                account_id: &key.0,
                customer_id: &key.1,
                member_ids: &profile.member_ids,
                attributes: attributes(profile),
                team_ids: &profile.team_ids,
                first_seen,
                last_seen,
            }
        })
    }

    pub fn segment_members(&self) -> impl Iterator<Item = SegmentMember<'_>> {
        self.members.iter().map(
            |((account_id, segment_id, customer_id), (entered_at, definition_version))| {
                SegmentMember {
                    account_id,
                    segment_id,
                    customer_id,
                    entered_at: *entered_at,
                    definition_version: *definition_version,
                }
            },
        )
    }

    /// By (logical time, key).
    pub fn segment_changes(&self) -> impl Iterator<Item = &SegmentChange> {
        let key = |row: &SegmentChange| {
            (
                row.logical_time,
                row.account_id.clone(),
                row.segment_id.clone(),
                row.customer_id.clone(),
            )
        };
        sorted(&self.segment_changes, key)
    }

    pub fn metric_values(&self) -> impl Iterator<Item = MetricValue<'_>> {
        self.values.iter().map(
            |((account_id, metric, group_key), (numerator, denominator, rate))| MetricValue {
                account_id,
                metric,
                group_key,
                numerator: *numerator,
                denominator: *denominator,
                rate: *rate,
            },
        )
    }

    /// By (logical time, key).
    pub fn metric_changes(&self) -> impl Iterator<Item = &MetricChange> {
        let key = |row: &MetricChange| {
            (row.logical_time, row.account_id.clone(), row.metric.clone(), row.group_key.clone())
        };
        sorted(&self.metric_changes, key)
    }

    /// By account, reason, token and customers: clusters are told apart, but not shown.
    pub fn identity_quarantine(&self) -> impl Iterator<Item = Quarantined<'_>> {
        let mut rows: Vec<Quarantined<'_>> = self
            .quarantine
            .iter()
            .map(|((account_id, reason, identifier_token, _), holders)| Quarantined {
                account_id,
                reason: *reason,
                identifier_token,
                customer_ids: holders.iter().map(|(_, id)| &**id).collect(),
            })
            .collect();
        rows.sort_by(|a, b| {
            let key = |row: &Quarantined<'_>| (row.account_id.to_owned(), row.reason.as_str());
            key(a).cmp(&key(b)).then_with(|| {
                (a.identifier_token, &a.customer_ids).cmp(&(b.identifier_token, &b.customer_ids))
            })
        });
        rows.into_iter()
    }

    pub fn rejected_events(&self) -> impl Iterator<Item = RejectedEvent<'_>> {
        self.rejected.values().map(|row| RejectedEvent {
            topic: &row.topic,
            partition: row.partition,
            offset: row.offset,
            account_id: &row.account_id,
            source_module: &row.source_module,
            event_name: &row.event_name,
            reason: &row.reason,
            pointer: &row.pointer,
            message: &row.message,
            payload: &row.payload,
            received_at: row.received_at,
        })
    }

    pub fn ingest_ledger(&self) -> impl Iterator<Item = Ledger<'_>> {
        self.ledger.iter().map(|(place, row)| {
            let stored = self.stored.get(place).map_or(0, HashSet::len) as u64;
            let decided = row.accepted + row.duplicate + row.rejected + row.skipped;
            Ledger {
                topic: &row.topic,
                partition: row.partition,
                records_read: row.records_read,
                accepted: row.accepted,
                duplicate: row.duplicate,
                rejected: row.rejected,
                skipped: row.skipped,
                difference: row.records_read.abs_diff(decided) + row.accepted.abs_diff(stored),
            }
        })
    }

    pub fn backfills(&self) -> impl Iterator<Item = Backfilled<'_>> {
        self.backfills.values().map(|row| Backfilled {
            source_module: &row.source_module,
            job: &row.job,
            records_read: row.records_read,
            accepted: row.accepted,
            duplicate: row.duplicate,
            rejected: row.rejected,
            skipped: row.skipped,
            rejected_by_reason: row.rejected_by_reason.iter().cloned().collect(),
            undone_at: row.undone_at,
        })
    }

    pub fn reconciliation(&self) -> impl Iterator<Item = Reconciled<'_>> {
        self.reconciled.iter().map(|((source_module, hour), (emitted, read))| {
            let difference = emitted.map(|emitted| emitted as i64 - *read as i64);
            Reconciled {
                source_module,
                hour: *hour,
                emitted: *emitted,
                read: *read,
                difference,
                status: match difference {
                    None => "unknown",
                    Some(0) => "equal",
                    Some(_) => "different",
                },
            }
        })
    }
}

fn attributes(profile: &Profile) -> Map<String, Value> {
    let attributes = profile.attributes.iter();
    attributes.map(|(name, value)| (name.to_string(), value.value().clone())).collect()
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, deleted: u8, value: V) {
    match deleted {
        0 => drop(map.insert(key, value)),
        _ => drop(map.remove(&key)),
    }
}

/// Changes come in order of time; within a time they may not be in order of key.
fn sorted<T, K: Ord>(rows: &[T], key: impl Fn(&T) -> K) -> impl Iterator<Item = &T> {
    let mut rows: Vec<&T> = rows.iter().collect();
    rows.sort_by_cached_key(|row| key(row));
    rows.into_iter()
}
