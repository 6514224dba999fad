//! What erasures leave (product §9.2).

use std::collections::{BTreeMap, BTreeSet};

use cebe_schemas::change::Change;
use cebe_schemas::fact::{Naming, TickInput};
use cebe_schemas::id::{Subject, Token};
use cebe_schemas::time::Millis;

use super::person::Text;

/// How many events there are of each of those who name no customer.
pub fn anonymous(ticks: &[TickInput]) -> BTreeMap<Subject, usize> {
    let aliases: BTreeSet<Subject> =
        ticks.iter().flat_map(|tick| &tick.anonymous).map(|(alias, _)| *alias).collect();
    let of = |tick: &TickInput| tick.events.iter().map(|(subject, _)| *subject).collect::<Vec<_>>();
    let mut counts = BTreeMap::new();
    for subject in ticks.iter().flat_map(of).filter(|subject| aliases.contains(subject)) {
        *counts.entry(subject).or_default() += 1;
    }
    counts
}

/// What is left of `ticks` once everything is taken out that any erasure erases (product §9.2).
pub fn surviving(ticks: &[TickInput]) -> Vec<TickInput> {
    let all: Vec<_> = ticks.iter().flat_map(|tick| tick.erasures.clone()).collect();
    let stays = |subject: Subject, at: Millis| !all.iter().any(|(s, t)| *s == subject && at <= *t);
    let all_said = ticks;
    let mut ticks = ticks.to_vec();
    for tick in &mut ticks {
        tick.known.retain(|known| {
            let at = known.occurred_at_ms;
            stays(known.subject, at) && known.by.is_none_or(|by| stays(by, at))
        });
        tick.events.retain(|(subject, event)| {
            let at = event.occurred_at_ms;
            stays(*subject, at) && !forgotten(all_said, *subject, at)
        });
        tick.attributes.retain(|fact| stays(fact.subject, fact.stamp.occurred_at_ms));
        tick.identifiers.retain(|(subject, _, at)| stays(*subject, *at));
        tick.assertions.retain(|fact| {
            let at = fact.stamp.occurred_at_ms;
            stays(fact.subject, at) && !forgotten(all_said, fact.subject, at)
        });
        tick.teams.retain(|(subject, _, at)| !forgotten(all_said, *subject, *at));
        tick.merges.retain(|merge| {
            let (a, b) = merge.pair;
            [a, b].iter().all(|subject| stays(*subject, merge.stamp.occurred_at_ms))
        });
    }
    ticks
}

/// Whether events of `seeker` that happened `at` are erased along with a customer that had named one
/// of its identifiers by then, as no remaining one had.
fn forgotten(ticks: &[TickInput], seeker: Subject, at: Millis) -> bool {
    let erasures = || ticks.iter().flat_map(|tick| &tick.erasures);
    let sought = ticks.iter().flat_map(|tick| &tick.anonymous).filter(|(s, _)| *s == seeker);
    let tokens: BTreeSet<_> = sought.map(|(_, identifier)| identifier.token).collect();
    tokens.iter().any(|token| {
        erasures()
            .filter(|(_, until)| at <= *until)
            .any(|(customer, until)| had_named_alone(ticks, *token, *customer, *until))
    })
}

/// Whether a customer had named an identifier by then, and no remaining one had.
fn had_named_alone(ticks: &[TickInput], token: Token, customer: Subject, until: Millis) -> bool {
    let namings = ticks.iter().flat_map(|tick| &tick.namings);
    let mut by_then = namings.filter(|n| n.token == token && n.occurred_at_ms <= until);
    let had_named = by_then.clone().any(|naming| naming.subject == customer);
    let is_erased = |naming: &Naming| {
        let mut erasures = ticks.iter().flat_map(|tick| &tick.erasures);
        erasures.any(|(who, until)| *who == naming.subject && naming.occurred_at_ms <= *until)
    };
    had_named && !by_then.any(|naming| naming.subject != customer && !is_erased(naming))
}

/// Identifiers, and until when whoever names them and no customer is erased.
fn forgotten_identifiers(ticks: &[TickInput]) -> BTreeMap<Token, (Text, Millis)> {
    let mut forgotten = BTreeMap::new();
    for naming in ticks.iter().flat_map(|tick| &tick.namings) {
        let erasures = ticks.iter().flat_map(|tick| &tick.erasures);
        let alone =
            erasures.filter(|(who, until)| had_named_alone(ticks, naming.token, *who, *until));
        if let Some(until) = alone.map(|(_, until)| *until).max() {
            forgotten.insert(naming.token, (naming.account_id.clone(), until));
        }
    }
    forgotten
}

/// What is forgotten now and was not, and the other way around.
pub fn forgettings(before: &[TickInput], after: &[TickInput]) -> Vec<Change> {
    let (before, after) = (forgotten_identifiers(before), forgotten_identifiers(after));
    let change = |(token, (account_id, until_ms)): (&Token, &(Text, Millis)), erased| {
        let (account_id, token, until_ms) = (account_id.clone(), *token, *until_ms);
        Change::Forgotten { account_id, token, until_ms, erased }
    };
    let new = after.iter().filter(|(token, of)| before.get(token) != Some(of));
    let old = before.iter().filter(|(token, of)| after.get(token) != Some(of));
    new.map(|of| change(of, true)).chain(old.map(|of| change(of, false))).collect()
}
