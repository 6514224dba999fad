//! Rows of one tick as records: sorted, partitioned, numbered. Pure: the same input gives the same
//! bytes, whenever and however often.
//!
//! Records leave in the order of (view, logical time, key, place). Within (view, partition,
//! logical time) they are numbered from 0 (`seq`), so that a reader can tell a repeated or a
//! missing record even where Kafka tears a transaction.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cebe_schemas::change::Moment;
use cebe_schemas::id::IdKey;
use cebe_schemas::row::{Progress, ProgressEntry, Row};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::token::Keys;
use cebe_schemas::view::{OUT_PARTITIONS, View};

use super::change_row::from_change;
use crate::binding::Binding;

/// A row that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum NumberError {
    /// It is not JSON.
    #[error("cannot write a row of the view {}: {error}", view.name())]
    Json {
        /// Its view.
        view: View,
        /// Why.
        #[source]
        error: serde_json::Error,
    },
    /// A tick with 2³² rows of one view.
    #[error("the view {} has more rows in one tick than can be numbered", view.name())]
    TooMany {
        /// Its view.
        view: View,
    },
}

/// A record for `cebe.out.<view>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Which view's topic.
    pub view: View,
    /// Which partition.
    pub partition: u32,
    /// The key of the view as a JSON array of strings.
    pub key: Vec<u8>,
    /// The row as a JSON object.
    pub value: Vec<u8>,
    /// The row's logical time.
    pub t_ms: Millis,
}

/// Everything that one tick publishes, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// The records of all views.
    pub records: Vec<OutRecord>,
    /// What is committed with them.
    pub progress: Progress,
}

/// What one binding gives: the adapter's rows, and the changes of the dataflow, identifiers in them
/// rendered by `keys`.
///
/// # Errors
/// A row cannot be written; nothing in a row makes that happen.
pub fn number(
    binding: &Binding,
    mut rows: Vec<Row>,
    moments: Vec<Moment>,
    keys: &Keys,
) -> Result<Numbered, NumberError> {
    for Moment { t_ms, changes } in moments {
        rows.extend(changes.into_iter().map(|change| from_change(change, t_ms, keys)));
    }
    let mut placed: Vec<(Place, Row)> = rows.into_iter().map(|row| (place(&row), row)).collect();
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));

    let mut records = Vec::with_capacity(placed.len());
    let mut next_seq: BTreeMap<(View, u32, Millis), u32> = BTreeMap::new();
    let mut entries: BTreeMap<(View, u32), (u32, blake3::Hasher)> = BTreeMap::new();
    for (Place { view, t_ms, key, .. }, mut row) in placed {
        let partition = partition(&key);
        let seq = count(next_seq.entry((view, partition, t_ms)), view)?;
        *seq_of(&mut row) = seq;
        let json = |error| NumberError::Json { view, error };
        let value = row_json(&row).map_err(json)?;
        let (count, hasher) = entries.entry((view, partition)).or_default();
        *count = count.checked_add(1).ok_or(NumberError::TooMany { view })?;
        hasher.update(&value);
        let key = serde_json::to_vec(&key).map_err(json)?;
        records.push(OutRecord { view, partition, key, value, t_ms });
    }
    let entries = entries.into_iter().map(|((view, partition), (count, hasher))| {
        let hash = hasher.finalize().to_hex()[..32].to_owned();
        ProgressEntry { view, partition, count, hash }
    });
    let progress = Progress {
        through: binding.t_ms,
        binding: binding.number,
        generation: binding.generation,
        entries: entries.collect(),
    };
    Ok(Numbered { records, progress })
}

/// A replayed tick differs from what was published.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "replay differs at T {} (binding {binding}), {where_}: published {published}, now {now}. \
     Nothing more is published: run the version that wrote it, or rebuild the outputs",
    format_rfc3339(*t_ms)
)]
pub struct Difference {
    /// The T of the tick.
    pub t_ms: Millis,
    /// The number of the binding.
    pub binding: u64,
    /// View and partition, or `the tick`.
    pub where_: String,
    /// What was published.
    pub published: String,
    /// What the replay gives.
    pub now: String,
}

/// Compares a replayed tick with what was published. The generation does not matter: it is the
/// binding's, and part of no row.
///
/// # Errors
/// The first difference.
pub fn compare(published: &Progress, now: &Progress) -> Result<(), Box<Difference>> {
    let difference = |where_: String, before: String, after: String| {
        Err(Box::new(Difference {
            t_ms: now.through,
            binding: now.binding,
            where_,
            published: before,
            now: after,
        }))
    };
    if (published.binding, published.through) != (now.binding, now.through) {
        let tick = |p: &Progress| format!("binding {} at {}", p.binding, format_rfc3339(p.through));
        return difference("the tick".to_owned(), tick(published), tick(now));
    }
    let index = |progress: &Progress| -> BTreeMap<(View, u32), String> {
        let entry = |e: &ProgressEntry| {
            ((e.view, e.partition), format!("{} records with hash {}", e.count, e.hash))
        };
        progress.entries.iter().map(entry).collect()
    };
    let (before, after) = (index(published), index(now));
    for place in before.keys().chain(after.keys()) {
        let (b, a) = (before.get(place), after.get(place));
        if a != b {
            let text = |side: Option<&String>| side.map_or("nothing".to_owned(), String::clone);
            let where_ = format!("view {} partition {}", place.0.name(), place.1);
            return difference(where_, text(b), text(a));
        }
    }
    Ok(())
}

/// Where a row belongs in the order of a tick.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    view: View,
    t_ms: Millis,
    key: Vec<String>,
    /// Orders rows of one key.
    ordinal: u64,
}

fn place(row: &Row) -> Place {
    let own = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    let (t_ms, key, ordinal): (Millis, Vec<String>, u64) = match row {
        // The events of one customer stay in order; those without one spread by their own key.
        Row::Event(r) if r.qontak_customer_id.is_empty() => {
            (r.logical_time, own(&[&r.account_id, "", &r.idempotency_key]), r.ordinal)
        }
        Row::Event(r) => (r.logical_time, own(&[&r.account_id, &r.qontak_customer_id]), r.ordinal),
        Row::Identity(r) => (r.logical_time, own(&[&r.account_id, &r.qontak_customer_id]), 0),
        Row::Customer(r) => (r.logical_time, own(&[&r.account_id, &r.customer_id]), 0),
        Row::Seen(r) => (r.logical_time, own(&[&r.account_id, &r.customer_id]), 0),
        Row::Segment(r) => {
            (r.logical_time, own(&[&r.account_id, &r.segment_id, &r.customer_id]), 0)
        }
        Row::Metric(r) => (r.logical_time, own(&[&r.account_id, &r.metric, &r.group_key]), 0),
        Row::Quarantine(r) => {
            let (token, cluster) = (&r.identifier_token, &r.cluster);
            let key: [&str; 5] =
                [&r.account_id, r.reason.as_str(), token, cluster, &r.qontak_customer_id];
            (r.logical_time, own(&key), 0)
        }
        Row::Erasure(r) => {
            let until = format_rfc3339(r.erased_until);
            let key: [&str; 4] =
                [&r.account_id, &r.qontak_customer_id, &r.identifier_token, &until];
            (r.logical_time, own(&key), 0)
        }
        Row::Definition(r) => (r.logical_time, own(&[&r.account_id, r.kind, &r.id]), 0),
        Row::Rejected(r) => {
            let key = own(&[&r.account_id, &r.topic, &r.partition.to_string()]);
            (r.logical_time, key, r.ordinal)
        }
        Row::Ledger(r) => (r.logical_time, own(&[&r.topic, &r.partition.to_string()]), 0),
    };
    Place { view: row.view(), t_ms, key, ordinal }
}

/// The partition of a key: SipHash without a secret, so that every reader can compute it.
fn partition(key: &[String]) -> u32 {
    let parts: Vec<&[u8]> = key.iter().map(String::as_bytes).collect();
    let hash = IdKey::new([0; 16]).hash(b'p', &parts);
    (hash % u128::from(OUT_PARTITIONS)) as u32
}

fn count(entry: Entry<'_, (View, u32, Millis), u32>, view: View) -> Result<u32, NumberError> {
    let next = entry.or_insert(0);
    let seq = *next;
    *next = seq.checked_add(1).ok_or(NumberError::TooMany { view })?;
    Ok(seq)
}

fn seq_of(row: &mut Row) -> &mut u32 {
    match row {
        Row::Event(r) => &mut r.seq,
        Row::Identity(r) => &mut r.seq,
        Row::Customer(r) => &mut r.seq,
        Row::Seen(r) => &mut r.seq,
        Row::Quarantine(r) => &mut r.seq,
        Row::Erasure(r) => &mut r.seq,
        Row::Definition(r) => &mut r.seq,
        Row::Segment(r) => &mut r.seq,
        Row::Metric(r) => &mut r.seq,
        Row::Rejected(r) => &mut r.seq,
        Row::Ledger(r) => &mut r.seq,
    }
}

fn row_json(row: &Row) -> Result<Vec<u8>, serde_json::Error> {
    match row {
        Row::Event(r) => serde_json::to_vec(r),
        Row::Identity(r) => serde_json::to_vec(r),
        Row::Customer(r) => serde_json::to_vec(r),
        Row::Seen(r) => serde_json::to_vec(r),
        Row::Quarantine(r) => serde_json::to_vec(r),
        Row::Erasure(r) => serde_json::to_vec(r),
        Row::Definition(r) => serde_json::to_vec(r),
        Row::Segment(r) => serde_json::to_vec(r),
        Row::Metric(r) => serde_json::to_vec(r),
        Row::Rejected(r) => serde_json::to_vec(r),
        Row::Ledger(r) => serde_json::to_vec(r),
    }
}

#[cfg(test)]
mod tests;
