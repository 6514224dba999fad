//! Which persons came together and which came apart at one logical time, from the net changes of
//! who belongs to whom.
//!
//! A person is known by its canonical id, before and after. If that customer was its own canonical
//! before and after, it *stayed*, and some of its members may have come or gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::Cause;

use super::net::Turn;
use crate::row::AccountId;

/// A person, by its canonical id.
pub type Canonical = (AccountId, Arc<str>);

/// Canonical ids before and now, by customer; none: not known.
pub type Moves = BTreeMap<(AccountId, Arc<str>), Turn<Arc<str>>>;

/// Persons of before, and of now, to which an erasure, an unmerge or a merge happened.
#[derive(Debug, Default)]
pub struct Lineage {
    erased: BTreeSet<Canonical>,
    merged: BTreeSet<Canonical>,
    unmerged: BTreeSet<Canonical>,
}

impl Lineage {
    /// Compares the persons of before and of now. `erased`: of those one customer was erased.
    pub fn new(moves: &Moves, erased: BTreeSet<Canonical>) -> Lineage {
        // For each person of before where its members went, and for each of now where they came
        // from; `None` is nowhere.
        let mut went: BTreeMap<Canonical, BTreeSet<Option<Arc<str>>>> = BTreeMap::new();
        let mut came: BTreeMap<Canonical, BTreeSet<Option<Arc<str>>>> = BTreeMap::new();
        for ((account, _), Turn { old, new, .. }) in moves {
            if let Some(old) = old {
                went.entry((*account, old.clone())).or_default().insert(new.clone());
            }
            if let Some(new) = new {
                came.entry((*account, new.clone())).or_default().insert(old.clone());
            }
        }
        for persons in [&mut went, &mut came] {
            for (canonical, ends) in persons.iter_mut() {
                if !moves.contains_key(canonical) {
                    ends.insert(Some(canonical.1.clone()));
                }
            }
        }
        // An erasure happened to all that its person came apart to.
        let mut lineage = Lineage::default();
        let of_erased = went.iter().filter(|(old, _)| erased.contains(*old));
        for ((account, _), ends) in of_erased {
            lineage.erased.extend(ends.iter().flatten().map(|new| (*account, new.clone())));
        }
        lineage.erased.extend(erased);
        // A person of before came apart, and so did what its members are in now.
        for ((account, old), ends) in went.into_iter().filter(|(_, ends)| ends.len() > 1) {
            lineage.unmerged.extend(ends.into_iter().flatten().map(|new| (account, new)));
            lineage.unmerged.insert((account, old));
        }
        // A person of now was put together, and so was what its members were in before.
        for ((account, new), starts) in came.into_iter().filter(|(_, starts)| starts.len() > 1) {
            lineage.merged.extend(starts.into_iter().flatten().map(|old| (account, old)));
            lineage.merged.insert((account, new));
        }
        lineage
    }

    /// Why something changed about the person that is or was called `canonical`, if an erasure, an
    /// unmerge or a merge did that.
    pub fn cause(&self, account: AccountId, canonical: &Arc<str>) -> Option<Cause> {
        let person = (account, canonical.clone());
        if self.erased.contains(&person) {
            Some(Cause::Erase)
        } else if self.unmerged.contains(&person) {
            Some(Cause::Unmerge)
        } else if self.merged.contains(&person) {
            Some(Cause::Merge)
        } else {
            None
        }
    }
}
