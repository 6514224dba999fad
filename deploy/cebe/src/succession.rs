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
use cebe_schemas::row::{Row, RowError};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::token::Keys;
use cebe_schemas::view::View;

use crate::command::now_ms;

/// A key of a view.
type Place = (View, Vec<u8>);

/// What this logic says, by key, while a log with bindings of another is replayed.
pub struct Succession {
    said: HashMap<Place, Row>,
    /// Which logic has published the last tick, and its logical time.
    last: (u32, Millis),
    /// Once it was compared with what was published.
    compared: Option<Compared>,
}

/// What was published, as far as something else is said.
#[derive(Default)]
struct Compared {
    /// Of each key of which something else may be said, what was published; none: nothing, or that it ended.
    published: HashMap<Place, Option<Row>>,
    /// Entries and exits that were published: of each person and segment, the last one and perhaps some before it.
    memberships: Vec<Membership>,
    /// What was published after the snapshot that tells the rest.
    later: Published,
    through_ms: Millis,
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
        Succession { said: HashMap::new(), last: (logic_version, t_ms), compared: None }
    }

    /// Notes what is said.
    pub fn note(&mut self, moments: &[Moment], keys: &Keys) {
        for Moment { t_ms, changes } in moments {
            for row in changes.iter().map(|change| from_change(change.clone(), *t_ms, keys)) {
                let place = (row.view(), key(&row));
                let before = match row.is_deleted() {
                    true => self.said.remove(&place),
                    false => self.said.insert(place.clone(), row),
                };
                if let Some(compared) = &mut self.compared {
                    compared.published.entry(place).or_insert(before);
                }
            }
        }
    }

    /// From here on the state is another one, of which `other` says everything.
    pub fn become_of(&mut self, other: Succession) {
        (self.said, self.compared) = (other.said, None);
    }

    /// Goes on with `binding`; returns which logic has published the tick before it, and its logical time.
    pub fn follow(&mut self, binding: &Binding) -> (u32, Millis) {
        std::mem::replace(&mut self.last, (binding.logic_version, binding.t_ms))
    }

    /// Whether it was compared with what was published.
    #[cfg(test)]
    pub fn has_compared(&self) -> bool {
        self.compared.is_some()
    }

    /// Compares with what has been published through `through_ms`, as `outputs` and `cebe.out.*` tell; none: it was
    /// begun with nothing. If that was done before, with what has been published since.
    pub fn compare(
        &mut self,
        kafka: &KafkaOptions,
        (store, outputs): (&Store, Option<&Manifest>),
        through_ms: Millis,
    ) -> anyhow::Result<()> {
        let compared_ms = self.compared.as_ref().map(|compared| compared.through_ms);
        let outputs_ms = outputs.and_then(Manifest::published).map_or(0, |at| at.t_ms);
        let after_ms = compared_ms.unwrap_or(outputs_ms);
        if after_ms > through_ms {
            bail!(
                "what was published through {} is not known: the snapshot that is left is of {}",
                format_rfc3339(through_ms),
                format_rfc3339(after_ms)
            );
        }
        let published = match after_ms < through_ms {
            true => outputs::read(kafka, after_ms, through_ms, now_ms())?,
            false => Published::default(),
        };
        match compared_ms {
            Some(_) => self.compare_later(published, through_ms),
            None => self.compare_all(store, outputs, published, through_ms),
        }
    }

    /// The same, with what `cebe.out.*` has told after `outputs`.
    pub fn compare_all(
        &mut self,
        store: &Store,
        outputs: Option<&Manifest>,
        later: Published,
        through_ms: Millis,
    ) -> anyhow::Result<()> {
        let (mut compared, mut known) = (Compared::default(), HashSet::new());
        for one in later.rows().iter().filter(|one| one.deleted) {
            compared.memberships.extend(membership(&read(one)?));
        }
        reading::published(store, outputs, later.clone(), |part: Published| {
            for one in part.rows() {
                let old = read(one)?;
                if is_recorded(&old) {
                    continue;
                }
                let new = self.said.get_key_value(&(one.view, one.key.clone()));
                compared.memberships.extend(membership(&old));
                let row = new.map(|(_, row)| row);
                if Row::turn(Some(&old), row, through_ms, Cause::Backfill).is_some() {
                    compared.published.insert((one.view, one.key.clone()), Some(old));
                }
                known.extend(new.map(|(place, _)| place));
            }
            anyhow::Ok(())
        })?;
        let unknown = self.said.keys().filter(|place| !known.contains(place));
        compared.published.extend(unknown.map(|place| (place.clone(), None)));
        (compared.later, compared.through_ms) = (later, through_ms);
        self.compared = Some(compared);
        Ok(())
    }

    /// Takes note of what was published since.
    pub fn compare_later(
        &mut self,
        published: Published,
        through_ms: Millis,
    ) -> anyhow::Result<()> {
        let Some(compared) = &mut self.compared else { bail!("nothing was compared yet") };
        for one in published.rows() {
            let row = read(one)?;
            compared.memberships.extend(membership(&row));
            if !is_recorded(&row) {
                let row = (!row.is_deleted()).then_some(row);
                compared.published.insert((one.view, one.key.clone()), row);
            }
        }
        compared.later.append(published);
        compared.through_ms = through_ms;
        Ok(())
    }

    /// What the tick at `t_ms` has to publish, for the reason `cause`, after all that was compared.
    pub fn differences(&mut self, t_ms: Millis, cause: Cause) -> Differences {
        let Compared { published, mut memberships, later, .. } =
            self.compared.take().unwrap_or_default();
        let mut rows = Vec::new();
        for (place, old) in &published {
            rows.extend(Row::turn(old.as_ref(), self.said.get(place), t_ms, cause));
        }
        memberships.extend(rows.iter().filter_map(membership));
        // Of each person and segment, the last one.
        memberships.sort_by(|a, b| a.place().cmp(&b.place()).then(b.t_ms.cmp(&a.t_ms)));
        memberships.dedup_by(|older, newest| older.place() == newest.place());
        tracing::info!(
            rows = rows.len(),
            members = memberships.len(),
            ?cause,
            "the differences are published"
        );
        Differences { rows, memberships, published: later }
    }
}

fn membership(row: &Row) -> Option<Membership> {
    let Row::Segment(row) = row else { return None };
    Some(Membership {
        account_id: row.account_id.clone(),
        segment_id: row.segment_id.clone(),
        customer_id: row.customer_id.clone(),
        t_ms: row.logical_time,
        entered: row.deleted == 0,
        definition_version: row.definition_version,
    })
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
