//! Which persons came together and which came apart, by comparing sets of members.

use std::collections::BTreeSet;

use cebe_schemas::change::Cause;
use cebe_schemas::id::Subject;

use super::answer::{Person, Row, Text};

/// Who was together before a time and who is after it, and whose events came late at it.
pub struct History<'a> {
    pub before: &'a [Person],
    pub after: &'a [Person],
    pub late: BTreeSet<Subject>,
}

impl History<'_> {
    /// The cause of what events did to the person of a row.
    pub fn event(&self, row: &Row) -> Cause {
        let mut persons = self.persons(row).into_iter().flatten();
        match persons.any(|p| p.members.keys().any(|subject| self.late.contains(subject))) {
            true => Cause::LateEvent,
            false => Cause::Event,
        }
    }

    /// The cause of a customer's first event or mention.
    pub fn first_seen(&self, account: &Text, id: &Text) -> Cause {
        let ours = self.after.iter().filter(|person| person.account == *account);
        let mut members = ours.flat_map(|person| &person.members);
        match members.any(|(subject, member)| member == id && self.late.contains(subject)) {
            true => Cause::LateEvent,
            false => Cause::Event,
        }
    }

    /// Whether the person came apart or came together, or the one that it came from or went to.
    pub fn family(&self, row: &Row) -> Option<Cause> {
        let [before, after] = self.persons(row);
        let from = || after.into_iter().flat_map(|p| met(p, self.before));
        let to = || before.into_iter().flat_map(|p| met(p, self.after));
        if before.into_iter().chain(from()).any(|p| scattered(p, self.after)) {
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
