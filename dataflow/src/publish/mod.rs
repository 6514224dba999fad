//! From the updates of all workers to what is published: one change a key and logical time.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Moment, Profile, Rate, Seen};
use cebe_schemas::definition::Definitions;
use cebe_schemas::time::Millis;

use crate::error::DataflowError;
use crate::names::Names;
use crate::row::{AccountId, Answer, Quarantined, RateKey, Reason, SegmentId, Weight};

mod lineage;
mod membership;
mod net;
mod value;

use lineage::{Canonical, Lineage, Moves};
pub use membership::Memberships;
use net::{Net, Turn, Update, erased, moves, multiplicity, net, turn};
pub use value::Values;

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
        members: &mut Memberships,
        values: &mut Values,
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
            let moment = moment(reasons, now, millis(time), names, members, values)?;
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
    members: &mut Memberships,
    values: &mut Values,
) -> Result<Moment, DataflowError> {
    let net = net(reasons, t_ms)?;
    let moves = moves(&net);
    let lineage = Lineage::new(&moves, erased(reasons));
    let mut changes = identities(&moves, &lineage, names);
    changes.extend(persons(&net, &lineage, names));
    changes.extend(segments(&net, &lineage, names, members));
    changes.extend(quarantine(&net, &lineage, names));
    changes.extend(net.iter().filter_map(|of| forgotten(of, names)));
    for (key, cause) in rates(&net, &lineage) {
        let from = totals.partition_point(|((k, _), _, _)| *k < key);
        let to = totals.partition_point(|((k, _), _, _)| *k <= key);
        changes.extend(metric(key, &totals[from..to], cause, t_ms, names, values)?);
    }
    changes.sort_unstable();
    Ok(Moment { t_ms, changes })
}

fn identities(moves: &Moves, lineage: &Lineage, names: &Names) -> Vec<Change> {
    let change = |((account, member), moved): (&Canonical, &Turn<Arc<str>>)| {
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

/// What is known of persons, and when they were seen.
fn persons(net: &[Net], lineage: &Lineage, names: &Names) -> Vec<Change> {
    let mut profiles: BTreeMap<Canonical, Turn<Arc<Profile>>> = BTreeMap::new();
    let mut seens: BTreeMap<Canonical, Turn<Seen>> = BTreeMap::new();
    for of in net {
        match &of.answer {
            Answer::Customer { account, customer, profile } => {
                turn(&mut profiles, (*account, customer.clone()), profile.clone(), of);
            }
            Answer::Seen { account, customer, seen } => {
                turn(&mut seens, (*account, customer.clone()), *seen, of);
            }
            _ => (),
        }
    }
    let profiles =
        profiles.into_iter().map(|((account, customer_id), Turn { old, new, cause })| {
            let cause = lineage.cause(account, &customer_id).unwrap_or(cause);
            Change::Customer { account_id: names.account(account), customer_id, old, new, cause }
        });
    let seens = seens.into_iter().map(|((account, customer_id), Turn { old, new, cause })| {
        let cause = lineage.cause(account, &customer_id).unwrap_or(cause);
        Change::Seen { account_id: names.account(account), customer_id, old, new, cause }
    });
    profiles.chain(seens).collect()
}

/// Entries and exits. Who is asserted instead of defined to belong, or the other way around, stays.
fn segments(
    net: &[Net],
    lineage: &Lineage,
    names: &Names,
    members: &mut Memberships,
) -> Vec<Change> {
    let mut turns: BTreeMap<(Canonical, SegmentId), Turn<bool>> = BTreeMap::new();
    for of in net {
        if let Answer::Segment { account, segment, customer, defined } = &of.answer {
            turn(&mut turns, ((*account, customer.clone()), *segment), *defined, of);
        }
    }
    let change = |(((account, customer_id), segment), moved): ((Canonical, _), Turn<bool>)| {
        let definition_version = match (moved.old, moved.new) {
            (None, Some(defined)) => {
                let version = if defined { names.version(segment) } else { 0 };
                members.enter(segment, &customer_id, version);
                version
            }
            (Some(_), None) => members.exit(segment, &customer_id),
            _ => return None,
        };
        Some(Change::Segment {
            cause: lineage.cause(account, &customer_id).unwrap_or(moved.cause),
            account_id: names.account(account),
            segment_id: names.segment(segment),
            customer_id,
            entered: moved.new.is_some(),
            definition_version,
        })
    };
    turns.into_iter().filter_map(change).collect()
}

/// Identifiers that are erased along with customers, or no longer.
fn forgotten(of: &Net, names: &Names) -> Option<Change> {
    match of.answer {
        Answer::Forgotten { account, token, until_ms } => Some(Change::Forgotten {
            account_id: names.account(account),
            token,
            until_ms,
            erased: of.is_new,
        }),
        _ => None,
    }
}

/// Customers that are kept from being linked, or no longer.
fn quarantine(net: &[Net], lineage: &Lineage, names: &Names) -> Vec<Change> {
    let mut turns: BTreeMap<(AccountId, Arc<str>, Quarantined), Turn<Arc<str>>> = BTreeMap::new();
    for of in net {
        if let Answer::Quarantined { account, customer, member, held } = &of.answer {
            turn(&mut turns, (*account, member.clone(), *held), customer.clone(), of);
        }
    }
    // Whoever of the same persons it is said by, it is the same.
    let moved = turns.into_iter().filter(|(_, turn)| turn.old.is_some() != turn.new.is_some());
    let change = |((account, member, held), turn): ((_, _, Quarantined), Turn<Arc<str>>)| {
        let mut persons = turn.old.iter().chain(&turn.new);
        Change::Quarantine {
            account_id: names.account(account),
            reason: held.reason,
            token: held.token,
            cluster: held.cluster,
            qontak_customer_id: member,
            entered: turn.new.is_some(),
            cause: persons.find_map(|p| lineage.cause(account, p)).unwrap_or(turn.cause),
        }
    };
    moved.map(change).collect()
}

/// The rates that moved, and why.
fn rates(net: &[Net], lineage: &Lineage) -> BTreeMap<RateKey, Cause> {
    let mut rates = BTreeMap::new();
    for Net { answer, cause, .. } in net {
        if let Answer::Rate { rate, customer, .. } = answer {
            let cause = lineage.cause(rate.account, customer).unwrap_or(*cause);
            let first = rates.entry(*rate).or_insert(cause);
            *first = cause.min(*first);
        }
    }
    rates
}

/// The change of one rate, from the values that came and went.
fn metric(
    key: RateKey,
    totals: &[Update<(RateKey, Weight)>],
    cause: Cause,
    t_ms: Millis,
    names: &mut Names,
    values: &mut Values,
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
    values.set(key, new);
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

/// Times come from [`Millis`] and go back to them.
fn millis(time: u64) -> Millis {
    Millis::try_from(time).unwrap_or(Millis::MAX)
}
