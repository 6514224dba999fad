//! From one logic to another: what the logic before has published is compared with what this one says, and
//! the differences are published, once, with the first binding of this logic. From a state with a backfill to
//! the one without it alike, with the binding that undoes it.
//!
//! Until that binding, what the dataflow tells is noted instead of published. What was published is told by
//! the newest snapshot that knows it, and by `cebe.out.*` after that. Which logic is newer does not matter: a
//! version that is taken back follows the one that it replaces.

use std::collections::{HashMap, HashSet};

use anyhow::bail;
use cebe_connectors::binding::Binding;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::out::change_row::from_change;
use cebe_connectors::out::numbered::key;
use cebe_connectors::out::outputs;
use cebe_connectors::snapshot::{Manifest, Published, PublishedOne, Store, reading};
use cebe_schemas::change::{Cause, Membership, Moment};
use cebe_schemas::row::{Row, RowError, SegmentRow};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::token::Keys;
use cebe_schemas::view::View;

use crate::command::now_ms;

/// What this logic says, by key, while a log with bindings of another is replayed.
pub struct Succession {
    said: HashMap<(View, Vec<u8>), Row>,
    /// Which logic has published the last tick, and its logical time.
    last: (u32, Millis),
}

/// The first tick of a logic.
#[derive(Default)]
pub struct Differences {
    /// From what was published to what is said now.
    pub rows: Vec<Row>,
    /// Of each person and segment, the last entry; or exit, if that was after the snapshot.
    pub memberships: Vec<Membership>,
    /// What was published after that snapshot, but for these rows.
    pub published: Published,
}

impl Succession {
    /// Begins after the tick at `t_ms`, which `logic_version` has published.
    pub fn after(logic_version: u32, t_ms: Millis) -> Succession {
        Succession { said: HashMap::new(), last: (logic_version, t_ms) }
    }

    /// Notes what is said.
    pub fn note(&mut self, moments: &[Moment], keys: &Keys) {
        for Moment { t_ms, changes } in moments {
            for row in changes.iter().map(|change| from_change(change.clone(), *t_ms, keys)) {
                let place = (row.view(), key(&row));
                match row.is_deleted() {
                    true => drop(self.said.remove(&place)),
                    false => drop(self.said.insert(place, row)),
                }
            }
        }
    }

    /// From here on the state is another one, of which `other` says everything.
    pub fn become_of(&mut self, other: Succession) {
        self.said = other.said;
    }

    /// Goes on with `binding`; returns which logic has published the tick before it, and its logical time.
    pub fn follow(&mut self, binding: &Binding) -> (u32, Millis) {
        std::mem::replace(&mut self.last, (binding.logic_version, binding.t_ms))
    }

    /// What the tick at `t_ms` has to publish, for the reason `cause`, after another logic has published through
    /// `last_ms`. Begun was with what `outputs` knows; none: with nothing.
    pub fn differences(
        &self,
        kafka: &KafkaOptions,
        (store, outputs): (&Store, Option<&Manifest>),
        last_ms: Millis,
        (t_ms, cause): (Millis, Cause),
    ) -> anyhow::Result<Differences> {
        let after_ms = outputs.and_then(Manifest::published).map_or(0, |at| at.t_ms);
        if after_ms > last_ms {
            bail!(
                "what was published through {} is not known: the snapshot that is left is of {}",
                format_rfc3339(last_ms),
                format_rfc3339(after_ms)
            );
        }
        let published = outputs::read(kafka, after_ms, last_ms, now_ms())?;
        let differences = self.compare(store, outputs, published, (t_ms, cause))?;
        let (rows, members) = (differences.rows.len(), differences.memberships.len());
        tracing::info!(rows, members, ?cause, "the differences are published");
        Ok(differences)
    }

    /// The same, with what `cebe.out.*` has told.
    pub fn compare(
        &self,
        store: &Store,
        outputs: Option<&Manifest>,
        published: Published,
        at: (Millis, Cause),
    ) -> anyhow::Result<Differences> {
        let (mut differences, mut known) = (Differences::default(), HashSet::new());
        for one in published.rows().iter().filter(|one| one.deleted) {
            differences.member(&read(one)?);
        }
        let take_in = |part: Published| {
            for one in part.rows() {
                let old = read(one)?;
                if is_recorded(&old) {
                    continue;
                }
                let new = self.said.get_key_value(&(one.view, one.key.clone()));
                differences.member(&old);
                differences.turn(Some(&old), new.map(|(_, row)| row), at);
                known.extend(new.map(|(place, _)| place));
            }
            anyhow::Ok(())
        };
        reading::published(store, outputs, published.clone(), take_in)?;
        for (_, new) in self.said.iter().filter(|(place, _)| !known.contains(place)) {
            differences.turn(None, Some(new), at);
        }
        differences.published = published;
        differences.settle();
        Ok(differences)
    }
}

impl Differences {
    fn turn(&mut self, old: Option<&Row>, new: Option<&Row>, (t_ms, cause): (Millis, Cause)) {
        if let Some(row) = Row::turn(old, new, t_ms, cause) {
            self.member(&row);
            self.rows.push(row);
        }
    }

    /// Of each person and segment, the last entry or exit.
    fn settle(&mut self) {
        self.memberships.sort_by(|a, b| a.place().cmp(&b.place()).then(b.t_ms.cmp(&a.t_ms)));
        self.memberships.dedup_by(|older, newest| older.place() == newest.place());
    }

    fn member(&mut self, row: &Row) {
        if let Row::Segment(SegmentRow {
            account_id,
            segment_id,
            customer_id,
            definition_version,
            logical_time,
            deleted,
            ..
        }) = row
        {
            self.memberships.push(Membership {
                account_id: account_id.clone(),
                segment_id: segment_id.clone(),
                customer_id: customer_id.clone(),
                t_ms: *logical_time,
                entered: *deleted == 0,
                definition_version: *definition_version,
            });
        }
    }
}

fn read(one: &PublishedOne) -> Result<Row, RowError> {
    Row::read(one.view, &one.value)
}

/// Customers that were erased are told by events, whatever the logic.
fn is_recorded(row: &Row) -> bool {
    matches!(row, Row::Erasure(row) if !row.qontak_customer_id.is_empty())
}

#[cfg(test)]
pub(crate) mod tests;
