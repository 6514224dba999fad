//! What of the facts still matters: the last statement about each thing, and nothing that is erased.
//! The dataflow makes the same of what is left as of all of them.

use std::collections::HashMap;
use std::mem::swap;

use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;

use super::facts::Facts;

impl Facts {
    /// Sorts the facts and drops those that later ones overrule: statements about the same thing, and
    /// what is erased of a customer, whenever it arrived. `is_all`: there are no older ones, so that an
    /// exit needs no place any more.
    ///
    /// Events stay, equal ones too: each of them happened. So do the names that erased customers had:
    /// they tell which events without a customer id are erased along (product §9.2).
    pub fn settle(&mut self, is_all: bool) {
        self.forget();
        let told = &mut self.told;
        told.events.append(&mut told.past);
        // Stable sorts merge what is sorted already.
        told.events.sort();
        told.known.sort_by(|a, b| {
            let thing = (a.subject, a.by, &a.team, a.occurred_at_ms);
            thing.cmp(&(b.subject, b.by, &b.team, b.occurred_at_ms))
        });
        last(&mut told.known, |a, b| (a.subject, a.by, &a.team) == (b.subject, b.by, &b.team));
        told.attributes
            .sort_by(|a, b| (a.subject, &a.name, &a.stamp).cmp(&(b.subject, &b.name, &b.stamp)));
        last(&mut told.attributes, |a, b| (a.subject, &a.name) == (b.subject, &b.name));
        told.identifiers.sort();
        last(&mut told.identifiers, |a, b| (a.0, a.1) == (b.0, b.1));
        told.assertions.sort_by(|a, b| {
            let thing = (a.subject, &a.account_id, &a.segment_id, &a.stamp);
            thing.cmp(&(b.subject, &b.account_id, &b.segment_id, &b.stamp))
        });
        last(&mut told.assertions, |a, b| {
            (a.subject, &a.account_id, &a.segment_id) == (b.subject, &b.account_id, &b.segment_id)
        });
        told.merges.sort_by(|a, b| (a.pair, &a.stamp).cmp(&(b.pair, &b.stamp)));
        last(&mut told.merges, |a, b| a.pair == b.pair);
        self.settle_sets();
        self.settle_memberships(is_all);
    }

    /// Drops what is erased of customers.
    fn forget(&mut self) {
        let told = &mut self.told;
        if told.erasures.is_empty() {
            return;
        }
        let mut erased: HashMap<Subject, Millis> = HashMap::new();
        for (subject, until_ms) in &told.erasures {
            let until = erased.entry(*subject).or_insert(*until_ms);
            *until = (*until).max(*until_ms);
        }
        let stays =
            |subject: &Subject, at: Millis| erased.get(subject).is_none_or(|until| at > *until);
        told.known
            .retain(|known| known.by.is_some() || stays(&known.subject, known.occurred_at_ms));
        told.events.retain(|(subject, event)| stays(subject, event.occurred_at_ms));
        told.past.retain(|(subject, event)| stays(subject, event.occurred_at_ms));
        told.attributes.retain(|fact| stays(&fact.subject, fact.stamp.occurred_at_ms));
        told.identifiers.retain(|(subject, _, at)| stays(subject, *at));
        told.assertions.retain(|fact| stays(&fact.subject, fact.stamp.occurred_at_ms));
    }

    /// Of what is only a set, each element once.
    fn settle_sets(&mut self) {
        let told = &mut self.told;
        told.anonymous.sort();
        told.anonymous.dedup();
        told.namings.sort_by_key(|naming| (naming.subject, naming.token, naming.occurred_at_ms));
        told.namings.dedup();
        told.teams.sort();
        told.teams.dedup();
        told.erasures.sort();
        told.erasures.dedup();
        told.groups.sort_by_key(|name| name.group);
        told.groups.dedup_by_key(|name| name.group);
    }

    fn settle_memberships(&mut self, is_all: bool) {
        self.memberships.sort();
        last(&mut self.memberships, |a, b| a.place() == b.place());
        self.memberships.retain(|membership| membership.entered || !is_all);
    }
}

/// Of neighbours that are about the same, keeps the last.
fn last<T>(rows: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    rows.dedup_by(|next, kept| {
        let repeats = same(next, kept);
        if repeats {
            swap(next, kept);
        }
        repeats
    });
}
