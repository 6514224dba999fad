//! From the updates of all workers to what is published: one change a key and logical time.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Moment, Rate};
use cebe_schemas::definition::Definitions;
use cebe_schemas::time::Millis;

use crate::error::DataflowError;
use crate::lineage::{Lineage, Move, Moves};
use crate::names::Names;
use crate::row::{AccountId, Answer, RateKey, Reason, Weight};

type Update<D> = (D, u64, isize);

/// The updates of all workers between two ticks, in any order.
#[derive(Debug, Default)]
pub struct Updates {
    /// What became true or untrue.
    pub reasons: Vec<Update<Reason>>,
    /// Values of rates that came and went.
    pub totals: Vec<Update<(RateKey, Weight)>>,
}

impl Updates {
    /// The changes of each logical time that has any. At the time of `new`, its versions come into
    /// force in `names`.
    ///
    /// # Errors
    /// [`DataflowError::Multiplicity`], [`DataflowError::UnnamedGroup`].
    pub fn publish(
        mut self,
        names: &mut Names,
        mut new: Option<(u64, &Definitions)>,
    ) -> Result<Vec<Moment>, DataflowError> {
        self.reasons.sort_unstable_by(|a, b| (a.1, &a.0.0, a.0.1).cmp(&(b.1, &b.0.0, b.0.1)));
        self.totals.sort_unstable_by_key(|((key, weight), time, _)| (*time, *key, *weight));
        let mut totals = &self.totals[..];
        let mut moments = Vec::new();
        // A total moves only when an answer does.
        for reasons in self.reasons.chunk_by(|a, b| a.1 == b.1) {
            let time = reasons[0].1;
            if let Some((_, definitions)) = new.take_if(|(from, _)| *from <= time) {
                names.put_in_force(definitions);
            }
            let (now, later) = totals.split_at(totals.partition_point(|(_, t, _)| *t <= time));
            totals = later;
            let moment = moment(reasons, now, millis(time), names)?;
            moments.extend((!moment.changes.is_empty()).then_some(moment));
        }
        if let Some((_, definitions)) = new {
            names.put_in_force(definitions);
        }
        Ok(moments)
    }
}

fn moment(
    reasons: &[Update<Reason>],
    totals: &[Update<(RateKey, Weight)>],
    t_ms: Millis,
    names: &mut Names,
) -> Result<Moment, DataflowError> {
    let net = net(reasons, t_ms)?;
    let moves = moves(&net);
    let lineage = Lineage::new(&moves);
    let mut changes = identities(&moves, &lineage, names);
    let mut rates: BTreeMap<RateKey, Cause> = BTreeMap::new();
    for Net { answer, is_new, cause } in net {
        match answer {
            Answer::Identity { .. } => (),
            Answer::Segment { account, segment, customer } => {
                let cause = lineage.cause(account, &customer).unwrap_or(cause);
                let (segment_id, definition_version) = names.segment(segment);
                changes.push(Change::Segment {
                    account_id: names.account(account),
                    segment_id,
                    customer_id: customer,
                    entered: is_new,
                    definition_version,
                    cause,
                });
            }
            Answer::Rate { rate, customer, .. } => {
                let cause = lineage.cause(rate.account, &customer).unwrap_or(cause);
                let first = rates.entry(rate).or_insert(cause);
                *first = cause.min(*first);
            }
        }
    }
    for (key, cause) in rates {
        let from = totals.partition_point(|((k, _), _, _)| *k < key);
        let to = totals.partition_point(|((k, _), _, _)| *k <= key);
        changes.extend(metric(key, &totals[from..to], cause, t_ms, names)?);
    }
    changes.sort_unstable();
    Ok(Moment { t_ms, changes })
}

/// An answer that is true now and was not, or the other way around.
struct Net {
    answer: Answer,
    is_new: bool,
    cause: Cause,
}

/// Sums the updates of each answer, over all persons and workers. Inside, a person goes by any of
/// its customers, and much comes and goes there that means nothing outside.
fn net(reasons: &[Update<Reason>], t_ms: Millis) -> Result<Vec<Net>, DataflowError> {
    let mut net = Vec::new();
    for same in reasons.chunk_by(|a, b| a.0.0 == b.0.0) {
        // Sorted by cause as well: the first one is the one to publish.
        let ((answer, cause), _, _) = &same[0];
        match same.iter().map(|(_, _, diff)| diff).sum() {
            0 => (),
            1 => net.push(Net { answer: answer.clone(), is_new: true, cause: *cause }),
            -1 => net.push(Net { answer: answer.clone(), is_new: false, cause: *cause }),
            diff => return Err(multiplicity(format!("{answer:?}"), diff, t_ms)),
        }
    }
    Ok(net)
}

fn moves(net: &[Net]) -> Moves {
    let mut moves = Moves::new();
    for Net { answer, is_new, cause } in net {
        let Answer::Identity { account, member, canonical } = answer else { continue };
        let first = Move { old: None, new: None, cause: *cause };
        let moved = moves.entry((*account, member.clone())).or_insert(first);
        let end = if *is_new { &mut moved.new } else { &mut moved.old };
        *end = Some(canonical.clone());
        moved.cause = moved.cause.min(*cause);
    }
    moves
}

fn identities(moves: &Moves, lineage: &Lineage, names: &Names) -> Vec<Change> {
    let change = |((account, member), moved): (&(AccountId, Arc<str>), &Move)| {
        let causes = moved.old.iter().chain(&moved.new).filter_map(|c| lineage.cause(*account, c));
        // A customer first seen was not merged, whoever it belongs to at once.
        let cause = causes.min().filter(|_| moved.old.is_some());
        Change::Identity {
            account_id: names.account(*account),
            qontak_customer_id: member.clone(),
            old: moved.old.clone(),
            new: moved.new.clone(),
            cause: cause.unwrap_or(moved.cause),
        }
    };
    moves.iter().map(change).collect()
}

/// The change of one rate, from the values that came and went.
fn metric(
    key: RateKey,
    totals: &[Update<(RateKey, Weight)>],
    cause: Cause,
    t_ms: Millis,
    names: &mut Names,
) -> Result<Option<Change>, DataflowError> {
    let (mut old, mut new) = (Rate::default(), Rate::default());
    for ((_, (numerator, denominator)), _, diff) in totals {
        let defect = || multiplicity(format!("{key:?}"), *diff, t_ms);
        let value = match diff {
            1 => &mut new,
            -1 => &mut old,
            _ => return Err(defect()),
        };
        *value = Rate {
            numerator: u64::try_from(*numerator).map_err(|_| defect())?,
            denominator: u64::try_from(*denominator).map_err(|_| defect())?,
        };
    }
    if old == new {
        return Ok(None);
    }
    let group = key.group;
    let unnamed = DataflowError::UnnamedGroup { group: group.0, t_ms };
    Ok(Some(Change::Metric {
        account_id: names.account(key.account),
        metric: names.metric(key.metric),
        group_key: names.group(group).ok_or(unnamed)?,
        old,
        new,
        cause,
    }))
}

fn multiplicity(answer: String, diff: isize, t_ms: Millis) -> DataflowError {
    debug_assert!(false, "{answer} changed by {diff} at {t_ms}");
    DataflowError::Multiplicity { answer, diff, t_ms }
}

/// Times come from [`Millis`] and go back to them.
fn millis(time: u64) -> Millis {
    Millis::try_from(time).unwrap_or(Millis::MAX)
}
