//! Which persons came together and which came apart, by comparing sets of members.

use std::collections::BTreeSet;

use cebe_schemas::change::Cause;
use cebe_schemas::id::Subject;

use super::answer::Row;
use super::person::{Person, Text};

/// Who was together before a time and who is after it, and who was spoken of at it.
pub struct History<'a> {
    pub before: &'a [Person],
    pub after: &'a [Person],
    /// Of whom a backfill tells.
    pub backfilled: BTreeSet<Subject>,
    /// With an event that came late.
    pub late: BTreeSet<Subject>,
    /// By any event.
    pub spoken_of: BTreeSet<Subject>,
    /// A setting changed what links.
    pub relinked: bool,
    /// Customers that are erased.
    pub erased: BTreeSet<Subject>,
    /// Who names no customer, and of whom something is erased along with one.
    pub gone_along: BTreeSet<Subject>,
}

impl History<'_> {
    /// The cause of what records did to the person of a row.
    pub fn event(&self, row: &Row) -> Cause {
        let [before, after] = self.persons(row);
        let stayed =
            |alias| [before, after].iter().all(|p| p.is_some_and(|p| p.aliases.contains(alias)));
        if self.gone_along.iter().any(stayed) {
            return Cause::Erase;
        }
        let members = before.into_iter().chain(after).flat_map(|p| p.members.keys());
        // What is somebody else's now was not said of this person.
        self.said_of(members.chain(after.into_iter().flat_map(|p| &p.aliases)))
    }

    /// The cause of a customer's first event or mention.
    pub fn first_seen(&self, account: &Text, id: &Text) -> Cause {
        let ours = self.after.iter().filter(|person| person.account == *account);
        let members = ours.flat_map(|person| &person.members);
        self.said_of(members.filter(|(_, member)| *member == id).map(|(subject, _)| subject))
    }

    fn said_of<'s>(&self, subjects: impl Iterator<Item = &'s Subject> + Clone) -> Cause {
        if subjects.clone().any(|subject| self.backfilled.contains(subject)) {
            Cause::Backfill
        } else if subjects.clone().any(|subject| self.late.contains(subject)) {
            Cause::LateEvent
        } else if self.relinked && !subjects.clone().any(|s| self.spoken_of.contains(s)) {
            Cause::Definition
        } else {
            Cause::Event
        }
    }

    /// Whether a customer of the person was erased, the person came apart or came together, or the
    /// one that it came from or went to.
    pub fn family(&self, row: &Row) -> Option<Cause> {
        let [before, after] = self.persons(row);
        let from = || after.into_iter().flat_map(|p| met(p, self.before));
        let to = || before.into_iter().flat_map(|p| met(p, self.after));
        let is_erased = |p: &Person| {
            let all = p.members.keys().chain(&p.aliases);
            all.into_iter().any(|subject| self.erased.contains(subject))
        };
        if before.into_iter().chain(after).chain(from()).any(is_erased) {
            Some(Cause::Erase)
        } else if before.into_iter().chain(from()).any(|p| scattered(p, self.after)) {
            Some(Cause::Unmerge)
        } else if after.into_iter().chain(to()).any(|p| scattered(p, self.before)) {
            Some(Cause::Merge)
        } else {
            None
        }
    }

    /// The person that a row was about before, and the one it is about now.
    fn persons(&self, row: &Row) -> [Option<&Person>; 2] {
        let (account, canonical) = row.person();
        let is = |p: &&Person| p.account == account && p.canonical == canonical;
        [self.before.iter().find(is), self.after.iter().find(is)]
    }
}

/// Whether the members of `person` do not all belong to one of `others`. Customers first seen come
/// from the same place: nowhere.
fn scattered(person: &Person, others: &[Person]) -> bool {
    let home = |subject: &Subject| others.iter().position(|o| o.members.contains_key(subject));
    person.members.keys().map(home).collect::<BTreeSet<_>>().len() > 1
}

/// Those of `others` that share a member with `person`.
fn met<'a>(person: &'a Person, others: &'a [Person]) -> impl Iterator<Item = &'a Person> {
    let shares = |o: &&Person| o.members.keys().any(|s| person.members.contains_key(s));
    others.iter().filter(shares)
}
