//! From the updates of all workers to what is published: one change a key and logical time.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Moment, Profile, Rate, Seen};
use cebe_schemas::definition::Definitions;
use cebe_schemas::time::Millis;

use crate::error::DataflowError;
use crate::graph::Answers;
use crate::names::Names;
use crate::operator::persons::{FinalChange, Rates, What};
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
    reasons: Vec<Update<Reason>>,
    /// At the time of the tick, of persons that no reason is about.
    final_changes: Vec<FinalChange>,
    /// The rates that these have moved.
    rates: Rates,
    /// Values of rates that came and went.
    totals: Vec<Update<(RateKey, Weight)>>,
}

impl Updates {
    /// Takes in those of one worker.
    pub fn take_in(&mut self, answers: &mut Answers) {
        self.reasons.append(&mut answers.reasons);
        self.final_changes.append(&mut answers.final_changes);
        self.totals.append(&mut answers.totals);
        for (rate, cause) in answers.rates.drain() {
            let first = self.rates.entry(rate).or_insert(cause);
            *first = cause.min(*first);
        }
    }

    /// Keeps what is told of a state that is given again: which identifiers are erased along, for the
    /// adapter. What rates came to is noted in `values`.
    pub fn restore(&mut self, values: &mut Values) {
        // Not what has changed by itself since a part was taken in.
        self.reasons.retain(|((answer, _), _, _)| matches!(answer, Answer::Forgotten { .. }));
        self.final_changes.clear();
        self.rates.clear();
        // What went before what came.
        self.totals.sort_unstable_by_key(|(_, time, diff)| (*time, *diff));
        for ((key, weight), _, diff) in self.totals.drain(..) {
            let value = if diff > 0 { rate(weight) } else { None };
            values.set(key, value.unwrap_or_default());
        }
    }

    /// The changes of each logical time that has any, up to `time`, that of the tick. At the time of
    /// `new`, its versions come into force in `names`.
    ///
    /// # Errors
    /// [`DataflowError::Multiplicity`], [`DataflowError::UnnamedGroup`].
    pub fn publish(
        mut self,
        time: u64,
        names: &mut Names,
        members: &mut Memberships,
        values: &mut Values,
        mut new: Option<(u64, &Definitions)>,
    ) -> Result<Vec<Moment>, DataflowError> {
        self.reasons.sort_unstable_by(|a, b| (a.1, &a.0.0, a.0.1).cmp(&(b.1, &b.0.0, b.0.1)));
        self.totals.sort_unstable_by_key(|((key, weight), time, _)| (*time, *key, *weight));
        let (mut reasons, mut totals) = (&self.reasons[..], &self.totals[..]);
        let mut moments = Vec::new();
        loop {
            let at = reasons.first().map_or(time, |(_, at, _)| *at);
            if let Some((_, definitions)) = new.take_if(|(from, _)| *from <= at) {
                names.put_in_force(definitions);
            }
            let mut now = Now { t_ms: millis(at), ..Now::default() };
            (now.reasons, reasons) = split_time(reasons, at);
            // A total moves only when an answer does.
            (now.totals, totals) = split_time(totals, at);
            if at == time {
                (now.final_changes, now.rates) =
                    (take(&mut self.final_changes), take(&mut self.rates));
            }
            let moment = moment(now, names, members, values)?;
            moments.extend((!moment.changes.is_empty()).then_some(moment));
            if at == time {
                return Ok(moments);
            }
        }
    }
}

/// The part of [`Updates`] that is of one logical time.
#[derive(Default)]
struct Now<'u> {
    t_ms: Millis,
    reasons: &'u [Update<Reason>],
    totals: &'u [Update<(RateKey, Weight)>],
    final_changes: Vec<FinalChange>,
    rates: Rates,
}

/// Splits `updates`, which are sorted by time, after those of `time`.
fn split_time<D>(updates: &[Update<D>], time: u64) -> (&[Update<D>], &[Update<D>]) {
    updates.split_at(updates.partition_point(|(_, at, _)| *at <= time))
}

fn moment(
    now: Now,
    names: &mut Names,
    members: &mut Memberships,
    values: &mut Values,
) -> Result<Moment, DataflowError> {
    let Now { t_ms, reasons, totals, final_changes, rates: mut moved } = now;
    let net = net(reasons, t_ms)?;
    let moves = moves(&net);
    let lineage = Lineage::new(&moves, erased(reasons));
    let mut changes = identities(&moves, &lineage, names);
    changes.extend(persons(&net, &lineage, names));
    changes.extend(segments(&net, &lineage, names, members));
    changes.extend(quarantine(&net, &lineage, names));
    changes.extend(net.iter().filter_map(|of| forgotten(of, names)));
    changes.extend(final_changes.into_iter().map(|change| finally(change, names, members)));
    rates(&net, &lineage, &mut moved);
    for (key, cause) in moved {
        let from = totals.partition_point(|((k, _), _, _)| *k < key);
        let to = totals.partition_point(|((k, _), _, _)| *k <= key);
        changes.extend(metric(key, &totals[from..to], cause, t_ms, names, values)?);
    }
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
                members.enter(segment, &customer_id, version)
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

/// A change of a person that stays who it is.
fn finally(change: FinalChange, names: &Names, members: &mut Memberships) -> Change {
    let FinalChange { canonical, what, cause } = change;
    let (account_id, customer_id) = (names.account(canonical.account), &canonical.customer_id);
    match what {
        What::Seen(old, new) => {
            Change::Seen { account_id, customer_id: customer_id.clone(), old, new, cause }
        }
        What::Segment(segment, entered) => Change::Segment {
            account_id,
            segment_id: names.segment(segment),
            customer_id: customer_id.clone(),
            entered,
            definition_version: match entered {
                true => members.enter(segment, customer_id, names.version(segment)),
                false => members.exit(segment, customer_id),
            },
            cause,
        },
    }
}

/// Adds the rates that moved, and why.
fn rates(net: &[Net], lineage: &Lineage, rates: &mut Rates) {
    for Net { answer, cause, .. } in net {
        if let Answer::Rate { rate, customer, .. } = answer {
            let cause = lineage.cause(rate.account, customer).unwrap_or(*cause);
            let first = rates.entry(*rate).or_insert(cause);
            *first = cause.min(*first);
        }
    }
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
    for ((_, weight), _, diff) in totals {
        let defect = || multiplicity(format!("{key:?}"), *diff, t_ms);
        let value = match diff {
            1 => &mut new,
            -1 => &mut old,
            _ => return Err(defect()),
        };
        *value = rate(*weight).ok_or_else(defect)?;
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

/// A weight as the value of a rate; none if it is negative.
fn rate((numerator, denominator): Weight) -> Option<Rate> {
    let (numerator, denominator) = (numerator.try_into().ok()?, denominator.try_into().ok()?);
    Some(Rate { numerator, denominator })
}

/// Times come from [`Millis`] and go back to them.
fn millis(time: u64) -> Millis {
    Millis::try_from(time).unwrap_or(Millis::MAX)
}
