//! Where a row goes: its key, its partition, and its place in the order of a tick.

use cebe_schemas::id::IdKey;
use cebe_schemas::row::{Row, write_key};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::{OUT_PARTITIONS, View};

/// A row in the order of a tick: (view, logical time, key, place among the rows of one key).
pub(super) struct Place<'r> {
    pub(super) view: View,
    pub(super) t_ms: Millis,
    pub(super) row: &'r Row,
    ordinal: u64,
    /// The first bytes of the key, which mostly tell.
    prefix: u128,
    /// Where the whole key is.
    key: std::ops::Range<usize>,
}

/// The rows in order. Those of one place stay as they come.
pub(super) fn in_order<'r>(rows: impl Iterator<Item = &'r Row>) -> Vec<Place<'r>> {
    let mut keys = Vec::new();
    let place = |row: &'r Row| {
        let from = keys.len();
        let ordinal = with_key(row, |key, ordinal| {
            key.iter().for_each(|part| write_ordered(part, &mut keys));
            ordinal
        });
        let mut prefix = [0; 16];
        let len = prefix.len().min(keys.len() - from);
        prefix[..len].copy_from_slice(&keys[from..from + len]);
        let (prefix, key) = (u128::from_be_bytes(prefix), from..keys.len());
        Place { view: row.view(), t_ms: row.logical_time(), row, ordinal, prefix, key }
    };
    let mut places: Vec<Place> = rows.map(place).collect();
    let key = |place: &Place| &keys[place.key.clone()];
    places.sort_by(|a, b| {
        (a.view, a.t_ms, a.prefix)
            .cmp(&(b.view, b.t_ms, b.prefix))
            .then_with(|| key(a).cmp(key(b)))
            .then(a.ordinal.cmp(&b.ordinal))
    });
    places
}

/// Appends a part of a key such that keys compare as their bytes do: nothing sorts before the end of a
/// part.
fn write_ordered(part: &str, out: &mut Vec<u8>) {
    match part.contains('\0') {
        false => out.extend_from_slice(part.as_bytes()),
        true => out.extend_from_slice(part.replace('\0', "\0\u{1}").as_bytes()),
    }
    out.extend_from_slice(&[0, 0]);
}

/// Calls `with` with the key of a row, and with what orders rows of one key.
pub(super) fn with_key<R>(row: &Row, with: impl FnOnce(&[&str], u64) -> R) -> R {
    match row {
        // The events of one customer stay in order; those without one spread by their own key.
        Row::Event(r) if r.qontak_customer_id.is_empty() => {
            with(&[&r.account_id, "", &r.idempotency_key], r.ordinal)
        }
        Row::Event(r) => with(&[&r.account_id, &r.qontak_customer_id], r.ordinal),
        Row::Identity(r) => with(&[&r.account_id, &r.qontak_customer_id], 0),
        Row::Customer(r) => with(&[&r.account_id, &r.customer_id], 0),
        Row::Seen(r) => with(&[&r.account_id, &r.customer_id], 0),
        Row::Segment(r) => with(&[&r.account_id, &r.segment_id, &r.customer_id], 0),
        Row::Metric(r) => with(&[&r.account_id, &r.metric, &r.group_key], 0),
        Row::Quarantine(r) => {
            let (token, cluster) = (&r.identifier_token, &r.cluster);
            with(&[&r.account_id, r.reason.as_str(), token, cluster, &r.qontak_customer_id], 0)
        }
        Row::Erasure(r) => {
            let until = format_rfc3339(r.erased_until);
            with(&[&r.account_id, &r.qontak_customer_id, &r.identifier_token, &until], 0)
        }
        Row::Definition(r) => with(&[&r.account_id, r.kind, &r.id], 0),
        Row::Rejected(r) => with(&[&r.account_id, &r.topic, &r.partition.to_string()], r.ordinal),
        Row::Ledger(r) => with(&[&r.topic, &r.partition.to_string()], 0),
        Row::Backfill(r) => with(&[&r.source_module, &r.job], 0),
        Row::Reconciliation(r) => with(&[&r.source_module, &format_rfc3339(r.hour)], 0),
    }
}

/// The partition of a key: SipHash without a secret, so that every reader can compute it.
pub(super) fn partition(key: &[&str]) -> u32 {
    let mut parts: [&[u8]; 5] = [&[]; 5];
    for (part, text) in parts.iter_mut().zip(key) {
        *part = text.as_bytes();
    }
    let hash = IdKey::new([0; 16]).hash(b'p', &parts[..key.len()]);
    (hash % u128::from(OUT_PARTITIONS)) as u32
}

/// A key as a record carries it.
pub(super) fn json(key: &[&str]) -> Vec<u8> {
    let mut json = Vec::with_capacity(2 + key.iter().map(|part| part.len() + 3).sum::<usize>());
    write_key(key, &mut json);
    json
}
