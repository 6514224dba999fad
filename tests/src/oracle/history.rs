//! Changes: the differences between neighbouring answers, each with the first cause that applies
//! (product §9.3).

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use super::clause::{Judged, boundaries};
use super::control::Control;
use super::judge::Event;
use super::metric;
use super::people::{People, Person, people, surviving};

/// (account, canonical id).
type Whose = (String, String);
/// (account, segment, canonical id).
pub type SegmentKey = (String, String, String);
/// → by definition.
type Segments = BTreeMap<SegmentKey, bool>;
/// A rate and a canonical id.
type RateRow = (RateKey, String);
/// → in the numerator.
type Rates = BTreeMap<RateRow, bool>;
/// (account, metric, group).
pub type RateKey = (String, String, String);
/// (numerator, denominator).
pub type Rate = (u64, u64);

const CAUSES: [&str; 7] =
    ["erase", "unmerge", "merge", "definition", "time", "late_event", "event"];
const HOUR_MS: i64 = 3_600_000;

/// What is true at one time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answers {
    segments: Segments,
    rates: Rates,
}

fn answers(people: &People, control: &Control, now: i64) -> Answers {
    let mut answers = Answers::default();
    for person in &people.persons {
        let named = |id: &str| (person.account.to_owned(), id.to_owned());
        let canonical = person.canonical().to_owned();
        let judged = Judged { person, control, now };
        let (account, _) = named("");
        for id in person.asserted() {
            answers.segments.insert((account.clone(), id.into(), canonical.clone()), false);
        }
        for (_, id) in control.segments.keys().filter(|(whose, _)| *whose == account) {
            if judged.belongs(id) {
                answers.segments.insert((account.clone(), id.clone(), canonical.clone()), true);
            }
        }
        for (name, definition) in control.metrics_of(person.account) {
            for (group, hit) in metric::groups(definition, person, control, now) {
                let key = (account.clone(), name.to_owned(), group);
                answers.rates.insert((key, canonical.clone()), hit);
            }
        }
    }
    answers
}

/// One entry or exit.
#[derive(Clone, Debug)]
pub struct SegmentChange {
    pub key: SegmentKey,
    pub entered: bool,
    pub cause: &'static str,
    pub at: i64,
    pub version: u64,
}

/// One restatement.
#[derive(Clone, Debug)]
pub struct MetricChange {
    pub key: RateKey,
    pub old: Rate,
    pub new: Rate,
    pub cause: &'static str,
    pub at: i64,
}

/// Why a row changes.
struct Causes<'c> {
    segment: &'c dyn Fn(&SegmentKey) -> &'static str,
    rate: &'c dyn Fn(&RateRow) -> &'static str,
}

/// All changes so far.
#[derive(Debug, Default)]
pub struct History {
    now: Option<i64>,
    begun: bool,
    current: Answers,
    /// When and by which version each member entered.
    pub members: BTreeMap<SegmentKey, (i64, u64)>,
    pub segment_changes: Vec<SegmentChange>,
    pub metric_changes: Vec<MetricChange>,
}

impl History {
    /// The values of all rates.
    pub fn rates(&self) -> BTreeMap<RateKey, Rate> {
        totals(&self.current.rates)
    }

    /// Lets time pass through `until`.
    pub fn pass(&mut self, state: &State, until: i64) {
        let last = self.now.unwrap_or(until);
        let people = people(state);
        let times = state.events.iter().flat_map(|event| boundaries(event, &state.control));
        let times: BTreeSet<i64> = times.filter(|t| last < *t && *t <= until).collect();
        for now in times {
            let new = answers(&people, &state.control, now);
            self.change(
                now,
                &state.control,
                new,
                &Causes { segment: &|_| "time", rate: &|_| "time" },
            );
        }
        self.now = Some(until);
    }

    /// What the records of `t` change, after time has passed until before it.
    pub fn arrive(&mut self, before: &State, after: &State, t: i64) {
        let (was, is) = (people(before), people(after));
        // What is defined at the first time of all has always been in force.
        let is_first = !std::mem::replace(&mut self.begun, true);
        let mixed = match is_first {
            true => after.control.clone(),
            false => defined_as(&after.control, &before.control),
        };
        let time = answers(&was, &before.control, t);
        let facts = answers(&is, &mixed, t);
        let new = answers(&is, &after.control, t);
        let old = self.current.clone();
        let story = Story::new(&was, &is, before, after, t);
        let cause = |whose: Whose, by_definition: bool, by_time: bool| {
            story.family(&whose).unwrap_or_else(|| match (by_definition, by_time) {
                (true, _) => "definition",
                (_, true) => "time",
                _ => story.record(&whose),
            })
        };
        let of_segment = |key: &SegmentKey| {
            let is_in = |answers: &Answers| answers.segments.get(key).copied();
            let whose = (key.0.clone(), key.2.clone());
            cause(whose, is_in(&facts) != is_in(&new), is_in(&old) != is_in(&time))
        };
        let of_rate = |key: &RateRow| {
            let value = |answers: &Answers| answers.rates.get(key).copied();
            let whose = (key.0.0.clone(), key.1.clone());
            cause(whose, value(&facts) != value(&new), value(&old) != value(&time))
        };
        let causes = Causes { segment: &of_segment, rate: &of_rate };
        self.change(t, &after.control, new.clone(), &causes);
        self.now = Some(t);
    }

    fn change(&mut self, at: i64, control: &Control, new: Answers, causes: &Causes) {
        let old = std::mem::replace(&mut self.current, new);
        let new = &self.current;
        let keys: BTreeSet<_> = old.segments.keys().chain(new.segments.keys()).collect();
        for key in keys {
            let entered = new.segments.contains_key(key);
            if entered == old.segments.contains_key(key) {
                continue;
            }
            let definition = control.segments.get(&(key.0.clone(), key.1.clone()));
            let version = match new.segments.get(key) {
                Some(true) => definition.expect("defined")["version"].as_u64().unwrap_or(1),
                Some(false) => 0,
                None => self.members.remove(key).expect("a member").1,
            };
            if entered {
                self.members.insert(key.clone(), (at, version));
            }
            let (key, cause) = (key.clone(), (causes.segment)(key));
            self.segment_changes.push(SegmentChange { key, entered, cause, at, version });
        }
        let (before, after) = (totals(&old.rates), totals(&new.rates));
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let value = |of: &BTreeMap<RateKey, Rate>| of.get(key).copied().unwrap_or_default();
            let (old_value, new_value) = (value(&before), value(&after));
            if old_value == new_value {
                continue;
            }
            let moved = old.rates.keys().chain(new.rates.keys()).filter(|(rate, _)| rate == key);
            let moved = moved.filter(|row| old.rates.get(row) != new.rates.get(row));
            let all = moved.map(|row| (causes.rate)(row));
            let rank = |cause: &&'static str| CAUSES.iter().position(|c| c == cause);
            let cause = all.min_by_key(rank).expect("a person moved");
            let key = key.clone();
            self.metric_changes.push(MetricChange {
                key,
                old: old_value,
                new: new_value,
                cause,
                at,
            });
        }
    }
}

fn totals(rates: &Rates) -> BTreeMap<RateKey, Rate> {
    let mut totals: BTreeMap<RateKey, Rate> = BTreeMap::new();
    for ((key, _), hit) in rates {
        let (numerator, denominator) = totals.entry(key.clone()).or_default();
        *numerator += u64::from(*hit);
        *denominator += 1;
    }
    totals
}

/// A control state with the definitions of another one; days and retention are part of them.
fn defined_as(control: &Control, of: &Control) -> Control {
    let mut mixed = control.clone();
    (mixed.segments, mixed.metrics) = (of.segments.clone(), of.metrics.clone());
    for name in ["time_zones", "retention_months"] {
        mixed.settings.remove(name);
        mixed.settings.extend(of.settings.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    mixed
}

/// What happened to persons at one time.
struct Story<'s> {
    was: &'s People<'s>,
    is: &'s People<'s>,
    erased: BTreeSet<Whose>,
    unmerged: BTreeSet<Whose>,
    merged: BTreeSet<Whose>,
    /// What links was set anew.
    relinked: bool,
    records: Vec<&'s Event>,
    /// Ordinals of all events that no erasure takes back.
    surviving: BTreeSet<usize>,
    t: i64,
}

fn whose(person: &Person) -> Whose {
    (person.account.to_owned(), person.canonical().to_owned())
}

impl<'s> Story<'s> {
    fn new(
        was: &'s People<'s>,
        is: &'s People<'s>,
        before: &State,
        after: &'s State,
        t: i64,
    ) -> Story<'s> {
        let linking = |state: &State| {
            ["max_customers_per_identifier", "max_customers_per_person", "block_list"]
                .map(|name| state.control.settings.get(name).cloned())
        };
        let mut story = Story {
            was,
            is,
            erased: BTreeSet::new(),
            unmerged: BTreeSet::new(),
            merged: BTreeSet::new(),
            relinked: linking(before) != linking(after),
            records: after.events.iter().filter(|event| event.arrival == t).collect(),
            surviving: surviving(&after.events).iter().map(|event| event.ordinal).collect(),
            t,
        };
        for person in &was.persons {
            let ends = places(person, is);
            if story.is_erased(person) {
                story.erased.insert(whose(person));
                story.erased.extend(ends.iter().flatten().cloned());
            }
            if ends.len() > 1 {
                story.unmerged.insert(whose(person));
                story.unmerged.extend(ends.into_iter().flatten());
            }
        }
        for person in &is.persons {
            if story.is_erased(person) {
                story.erased.insert(whose(person));
            }
            let starts = places(person, was);
            if starts.len() > 1 {
                story.merged.insert(whose(person));
                story.merged.extend(starts.into_iter().flatten());
            }
        }
        story
    }

    /// Whether one of a person's customers is erased at this time.
    fn is_erased(&self, person: &Person) -> bool {
        let mut erasures = self.records.iter().filter(|event| event.is_cdp("customer.erased"));
        erasures.any(|e| person.has(&e.account, e.customer.as_deref().expect("an id")))
    }

    /// Whether an event without an id that would still be a person's goes along with somebody else. Who
    /// is also merged, or woken, is published with that as the cause.
    fn goes_along(&self, person: &Person) -> bool {
        let mut anonymous = person.events.iter().filter(|event| event.customer.is_none());
        let is_ours = |event: &Event| {
            self.is.whose(event).is_some_and(|at| whose(&self.is.persons[at]) == whose(person))
        };
        anonymous.any(|event| !self.surviving.contains(&event.ordinal) && is_ours(event))
    }

    fn family(&self, whose: &Whose) -> Option<&'static str> {
        let of = [(&self.erased, "erase"), (&self.unmerged, "unmerge"), (&self.merged, "merge")];
        of.into_iter().find(|(set, _)| set.contains(whose)).map(|(_, cause)| cause)
    }

    /// The cause of what records did that only say something of a person.
    fn record(&self, whose: &Whose) -> &'static str {
        let of = |people: &'s People<'s>| {
            people.persons.iter().find(|p| p.account == whose.0 && p.canonical() == whose.1)
        };
        let persons: Vec<_> = [of(self.was), of(self.is)].into_iter().flatten().collect();
        let concerns = |event: &&&Event| match &event.customer {
            Some(id) => persons.iter().any(|person| person.has(&event.account, id)),
            None => {
                let person = self.is.whose(event).map(|at| &self.is.persons[at]);
                person.is_some_and(|person| self::whose(person) == *whose)
            }
        };
        let mine: Vec<_> = self.records.iter().filter(concerns).collect();
        let is_named = self.records.iter().any(|event| {
            let other = event.other();
            other.is_some_and(|id| persons.iter().any(|person| person.has(&event.account, id)))
        });
        if of(self.was).is_some_and(|person| self.goes_along(person)) {
            "erase"
        } else if mine.iter().any(|event| event.occurred_at < self.t - HOUR_MS) {
            "late_event"
        } else if self.relinked && mine.is_empty() && !is_named {
            "definition"
        } else {
            "event"
        }
    }
}

/// The persons that have the members of one; none: nobody.
fn places(person: &Person, others: &People) -> BTreeSet<Option<Whose>> {
    let place = |id: &&str| others.persons.iter().find(|p| p.has(person.account, id)).map(whose);
    person.members.iter().map(place).collect()
}
