//! From one state of a key to another, as a row.

use std::sync::Arc;

use super::Row;
use crate::change::Cause;
use crate::time::Millis;

impl Row {
    /// The row that makes what `old` says, the last published row of a key, into what `new` says, for the
    /// reason `cause`. Either may be none, or tell that there is nothing. None if they say the same; when that came to be does
    /// not matter, nor does by which version of its definition a member entered.
    pub fn turn(old: Option<&Row>, new: Option<&Row>, t_ms: Millis, cause: Cause) -> Option<Row> {
        let old = old.filter(|row| !row.is_deleted());
        let new = new.filter(|row| !row.is_deleted());
        let mut row = new.or(old)?.clone();
        let says_the_same = row.follow(old, new.is_none());
        (!says_the_same).then(|| row.at(t_ms, cause))
    }

    /// Whether the key has no value any more.
    pub fn is_deleted(&self) -> bool {
        match self {
            Row::Identity(row) => row.deleted != 0,
            Row::Customer(row) => row.new.is_none(),
            Row::Seen(row) => row.deleted != 0,
            Row::Segment(row) => row.deleted != 0,
            Row::Metric(row) => row.deleted != 0,
            Row::Quarantine(row) => row.deleted != 0,
            Row::Erasure(row) => row.deleted != 0,
            Row::Event(_)
            | Row::Definition(_)
            | Row::Rejected(_)
            | Row::Ledger(_)
            | Row::Reconciliation(_)
            | Row::Backfill(_) => false,
        }
    }

    /// Takes over from `old`, of the same key, what was before; nothing is left of the key if `ends`.
    /// Whether that is no change.
    fn follow(&mut self, old: Option<&Row>, ends: bool) -> bool {
        let stays = old.is_some() && !ends;
        match (self, old) {
            (Row::Identity(row), old) => {
                row.old_customer_id = match old {
                    Some(Row::Identity(old)) => old.customer_id.clone(),
                    _ => Arc::default(),
                };
                row.deleted = ends.into();
                if ends {
                    row.customer_id = Arc::default();
                }
                stays && row.old_customer_id == row.customer_id
            }
            (Row::Customer(row), old) => {
                row.old = match old {
                    Some(Row::Customer(old)) => old.new.clone(),
                    _ => None,
                };
                row.new.take_if(|_| ends);
                row.old == row.new
            }
            (Row::Seen(row), old) => {
                (row.old_first_seen, row.old_last_seen) = match old {
                    Some(Row::Seen(old)) => (old.first_seen, old.last_seen),
                    _ => (None, None),
                };
                row.deleted = ends.into();
                if ends {
                    (row.first_seen, row.last_seen) = (None, None);
                }
                (row.old_first_seen, row.old_last_seen) == (row.first_seen, row.last_seen)
            }
            (Row::Metric(row), old) => {
                (row.old_numerator, row.old_denominator, row.old_rate) = match old {
                    Some(Row::Metric(o)) => (o.new_numerator, o.new_denominator, o.new_rate),
                    _ => (0, 0, None),
                };
                row.deleted = ends.into();
                if ends {
                    (row.new_numerator, row.new_denominator, row.new_rate) = (0, 0, None);
                }
                (row.old_numerator, row.old_denominator) == (row.new_numerator, row.new_denominator)
            }
            (Row::Segment(row), _) => {
                (row.change, row.deleted) = if ends { ("exited", 1) } else { ("entered", 0) };
                stays
            }
            (Row::Quarantine(row), _) => {
                row.deleted = ends.into();
                stays
            }
            (Row::Erasure(row), _) => {
                row.deleted = ends.into();
                stays
            }
            _ => true,
        }
    }

    /// The same, as a change at `t_ms`.
    fn at(mut self, t_ms: Millis, because: Cause) -> Row {
        let (cause, time) = match &mut self {
            Row::Identity(row) => (&mut row.cause, &mut row.logical_time),
            Row::Customer(row) => (&mut row.cause, &mut row.logical_time),
            Row::Seen(row) => (&mut row.cause, &mut row.logical_time),
            Row::Segment(row) => (&mut row.cause, &mut row.logical_time),
            Row::Metric(row) => (&mut row.cause, &mut row.logical_time),
            Row::Quarantine(row) => (&mut row.cause, &mut row.logical_time),
            Row::Erasure(row) => {
                row.logical_time = t_ms;
                return self;
            }
            Row::Event(_)
            | Row::Definition(_)
            | Row::Rejected(_)
            | Row::Ledger(_)
            | Row::Reconciliation(_)
            | Row::Backfill(_) => return self,
        };
        (*cause, *time) = (because, t_ms);
        self
    }
}
