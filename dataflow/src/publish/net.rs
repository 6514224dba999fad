//! From updates of all workers to what became true or untrue at one logical time.

use std::collections::{BTreeMap, BTreeSet};

use cebe_schemas::change::Cause;
use cebe_schemas::time::Millis;

use super::lineage::{Canonical, Moves};
use crate::error::DataflowError;
use crate::row::{Answer, Reason};

/// A row, its logical time and its multiplicity.
pub type Update<D> = (D, u64, isize);

/// An answer that is true now and was not, or the other way around.
pub struct Net {
    pub answer: Answer,
    pub is_new: bool,
    pub cause: Cause,
}

/// Sums the updates of each answer, over all persons and workers. Inside, a person goes by any of
/// its customers, and much comes and goes there that means nothing outside.
pub fn net(reasons: &[Update<Reason>], t_ms: Millis) -> Result<Vec<Net>, DataflowError> {
    let mut net = Vec::new();
    for same in reasons.chunk_by(|a, b| a.0.0 == b.0.0) {
        if matches!(same[0].0.0, Answer::Erased { .. }) {
            continue;
        }
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

/// What was said of a key before, what is said now, and why.
#[derive(Clone, Debug)]
pub struct Turn<V> {
    pub old: Option<V>,
    pub new: Option<V>,
    pub cause: Cause,
}

/// Notes that `value` is said of `key` now, or no longer.
pub fn turn<K: Ord, V>(turns: &mut BTreeMap<K, Turn<V>>, key: K, value: V, of: &Net) {
    let turn = turns.entry(key).or_insert(Turn { old: None, new: None, cause: of.cause });
    *(if of.is_new { &mut turn.new } else { &mut turn.old }) = Some(value);
    turn.cause = turn.cause.min(of.cause);
}

/// Customers that belong to another person than before.
pub fn moves(net: &[Net]) -> Moves {
    let mut moves = Moves::new();
    for of in net {
        if let Answer::Identity { account, member, canonical } = &of.answer {
            turn(&mut moves, (*account, member.clone()), canonical.clone(), of);
        }
    }
    moves
}

/// A defect: something is said more than once, or taken back more often than it was said.
pub fn multiplicity(answer: String, diff: isize, t_ms: Millis) -> DataflowError {
    debug_assert!(false, "{answer} changed by {diff} at {t_ms}");
    DataflowError::Multiplicity { answer, diff, t_ms }
}

/// Persons, before or now, of which a customer was erased.
pub fn erased(reasons: &[Update<Reason>]) -> BTreeSet<Canonical> {
    let person = |((answer, _), _, _): &Update<Reason>| match answer {
        Answer::Erased { account, customer } => Some((*account, customer.clone())),
        _ => None,
    };
    reasons.iter().filter_map(person).collect()
}
