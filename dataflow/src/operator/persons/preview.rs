//! Previews: what other definitions would make of everybody, found out in slices between two ticks.
//!
//! Somebody looked at earlier is looked at again if facts came or went since, or if the time has come
//! at which the answer changes by itself. Once nobody is left to be looked at, all that was found is
//! true as of the last tick.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;

use super::compared::Compared;
use super::person::Person;
use super::state::Persons;
use crate::operator::difference;
use crate::operator::sharded::Sharded;
use crate::plan::Plan;
use crate::row::{AccountId, RateKey, Weight};
use crate::view::person::{Truth, evaluate};

/// What would change of one person: what would be true, and what would not be true any more.
#[derive(Debug)]
pub struct Differs {
    /// The tenant.
    pub account: AccountId,
    /// The canonical id of the person.
    pub customer: Arc<str>,
    /// Each with whether it would be true.
    pub truths: Box<[(Truth, bool)]>,
}

/// All that would change of the persons of a worker.
#[derive(Debug, Default)]
pub struct Differences {
    /// By person.
    pub persons: HashMap<Subject, Differs>,
    /// By how much numerators and denominators would grow.
    pub rates: HashMap<RateKey, Weight>,
}

impl Differences {
    /// Replaces what would change of one person.
    fn put(&mut self, id: Subject, differs: Option<Differs>) {
        let before = match differs {
            Some(differs) => {
                self.weigh(&differs, 1);
                self.persons.insert(id, differs)
            }
            None => self.persons.remove(&id),
        };
        before.iter().for_each(|before| self.weigh(before, -1));
    }

    fn weigh(&mut self, differs: &Differs, sign: isize) {
        for (truth, is_new) in &differs.truths {
            let Truth::Rate { metric, group, hit } = *truth else { continue };
            let key = RateKey { account: differs.account, metric, group };
            let one = if *is_new { sign } else { -sign };
            let (numerator, denominator) = self.rates.entry(key).or_default();
            *numerator += one * isize::from(hit);
            *denominator += one;
            if (*numerator, *denominator) == (0, 0) {
                self.rates.remove(&key);
            }
        }
    }
}

/// A preview under way.
pub struct Scan {
    compared: Arc<Compared>,
    /// It is given up after this logical time, so that changes behind it need not be remembered.
    horizon: u64,
    /// The piece of the map that comes next.
    piece: usize,
    /// To be looked at next.
    queue: Vec<Subject>,
    /// Of whom facts came or went since they were looked at.
    touched: HashSet<Subject>,
    /// Whose answer changes by itself, and when.
    due: BTreeSet<(u64, Subject)>,
    found: Differences,
}

impl Scan {
    /// Facts come or go.
    pub fn touch(&mut self, id: Subject) {
        self.touched.insert(id);
    }

    fn next(&mut self, people: &Sharded<Subject, Person>, time: u64) -> Option<Subject> {
        while self.queue.is_empty() {
            if let Some(piece) = people.pieces(self.piece).first() {
                self.queue.extend(piece.keys());
                self.piece += 1;
            } else if self.due.first().is_some_and(|(at, _)| *at <= time) {
                self.queue.extend(self.due.pop_first().map(|(_, id)| id));
            } else if self.touched.is_empty() {
                return None;
            } else {
                self.queue.extend(self.touched.drain());
            }
        }
        self.queue.pop()
    }

    fn look_at(&mut self, id: Subject, person: Option<&Person>, plan: &Plan, time: u64) {
        self.touched.remove(&id);
        let (differs, until) =
            person.and_then(|person| judge(person, &self.compared, plan, time)).unwrap_or_default();
        self.found.put(id, differs);
        let until = until.and_then(|until| u64::try_from(until).ok());
        self.due.extend(until.filter(|until| *until <= self.horizon).map(|until| (until, id)));
    }

    /// How many there are to be looked at still, at least.
    fn left(&self, people: &Sharded<Subject, Person>, time: u64) -> usize {
        let unseen: usize = people.pieces(self.piece).iter().map(|piece| piece.len()).sum();
        let is_due = self.due.first().is_some_and(|(at, _)| *at <= time);
        unseen + self.queue.len() + self.touched.len() + usize::from(is_due)
    }
}

/// What would change of a person at `time`, and until when that stays so; nothing can change of one
/// without members, or of an account whose definitions do not differ.
fn judge(
    person: &Person,
    compared: &Compared,
    plan: &Plan,
    time: u64,
) -> Option<(Option<Differs>, Option<Millis>)> {
    let canonical = person.members().first()?;
    let (old_plan, new_plan) = compared.of(canonical.account)?;
    let known = person.known(plan);
    let now = Millis::try_from(time).unwrap_or(Millis::MAX);
    let (mut old, mut new, mut truths) = (Vec::new(), Vec::new(), Vec::new());
    let until = [(old_plan, &mut old), (new_plan, &mut new)]
        .into_iter()
        .filter_map(|(plan, truths)| evaluate(&known, plan, now, truths));
    let until = until.min();
    difference(&old, &new, |truth, diff| {
        // Who is asserted to belong stays, whatever the definition says.
        let stays = |id| known.asserted().any(|asserted| asserted == id);
        if !matches!(truth, Truth::Segment(id) if stays(*id)) {
            truths.push((*truth, diff > 0));
        }
    });
    let differs = (!truths.is_empty()).then(|| Differs {
        account: canonical.account,
        customer: canonical.customer_id.clone(),
        truths: truths.into(),
    });
    Some((differs, until))
}

/// What looking at a person costs, in events.
fn cost(person: Option<&Person>) -> usize {
    8 + person.map_or(0, Person::events_held)
}

impl Persons {
    /// Begins a preview, which is given up once `horizon` is over; one under way is dropped.
    pub fn begin_preview(&mut self, compared: Arc<Compared>, horizon: u64) {
        self.scan = Some(Box::new(Scan {
            compared,
            horizon,
            piece: 0,
            queue: Vec::new(),
            touched: HashSet::new(),
            due: BTreeSet::new(),
            found: Differences::default(),
        }));
    }

    /// Looks at persons as of `time`, that of the last tick, until they have about `budget` events
    /// together. Returns how many are left, at least; none if the preview was dropped.
    pub fn preview(&mut self, time: u64, budget: usize) -> Option<usize> {
        self.scan.take_if(|scan| scan.horizon < time);
        let scan = self.scan.as_mut()?;
        let mut spent = 0;
        while spent < budget {
            let Some(id) = scan.next(&self.people, time) else { break };
            let person = self.people.get(&id);
            spent += cost(person);
            scan.look_at(id, person, &self.plan, time);
        }
        Some(scan.left(&self.people, time))
    }

    /// Ends the preview and gives what it found.
    pub fn end_preview(&mut self) -> Differences {
        self.scan.take().map(|scan| scan.found).unwrap_or_default()
    }
}
