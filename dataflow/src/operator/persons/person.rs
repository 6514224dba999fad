//! One person: what it consists of, and what is true of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::change::{Profile, Seen};
use cebe_schemas::fact::{AttributeFact, EventFact};
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;

use super::standing::{Standing, Whole};
use crate::plan::Plan;
use crate::row::{AccountId, Assertion, Fact, Member, Quarantined};
use crate::view::person::{Known, Truth, evaluate, profile};

/// Everything that is known of one person, each sorted, with repeats.
#[derive(Default)]
pub struct Person {
    /// Its wake-up, which [`Person::settle`] keeps.
    pub wakeup: Option<u64>,
    /// The first is the canonical one.
    members: Vec<Arc<Member>>,
    /// Who else its events may be of.
    aliases: Vec<Subject>,
    /// Of all members.
    attributes: Vec<Arc<AttributeFact>>,
    /// Of all members.
    teams: Vec<Arc<str>>,
    /// Of all members.
    assertions: Vec<Arc<Assertion>>,
    quarantined: Vec<Quarantined>,
    events: Vec<EventFact>,
    seen: Option<Seen>,
    /// What is true of it until its wake-up, if that is costly to find out again.
    settled: Option<Box<[Truth]>>,
}

/// From so many events on, what is true of a person is kept: that takes no more memory than they do.
const GIANT_FROM: usize = if cfg!(test) { 3 } else { 1_000 };

impl Person {
    /// Sorted shortlex.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Whoever its events may be of.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> + Clone {
        self.members.iter().map(|member| &member.subject).chain(&self.aliases)
    }

    /// The tenant; none for a person without members.
    pub fn account(&self) -> Option<AccountId> {
        self.members.first().map(|member| member.account)
    }

    /// Nothing is left of it.
    pub fn is_empty(&self) -> bool {
        let Person { members, aliases, attributes, teams, assertions, quarantined, events, .. } =
            self;
        members.is_empty()
            && aliases.is_empty()
            && attributes.is_empty()
            && teams.is_empty()
            && assertions.is_empty()
            && quarantined.is_empty()
            && events.is_empty()
    }

    /// What it is judged by under `plan`.
    pub fn known<'a>(&'a self, plan: &'a Plan) -> Known<'a> {
        Known {
            attributes: &self.attributes,
            assertions: &self.assertions,
            events: &self.events,
            groups: &plan.groups,
            retention: plan.retention,
        }
    }

    /// How many events it has.
    pub fn events_held(&self) -> usize {
        self.events.len()
    }

    /// Its customers that are kept from being linked.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }

    /// What is true of it at `time`, but for its members. Its profile is looked at only as part of
    /// the `whole`.
    pub fn standing(&self, plan: &Plan, time: u64, whole: bool) -> Standing {
        let Some(canonical) = self.members.first() else { return Standing::default() };
        let mut truths = Vec::new();
        let now = Millis::try_from(time).unwrap_or(Millis::MAX);
        let known = self.known(plan);
        let next = evaluate(&known, plan.of(canonical.account), now, &mut truths);
        let defined = truths.len();
        for segment in known.asserted() {
            // Sorted so far.
            if truths[..defined].binary_search(&Truth::Segment(segment)).is_err() {
                truths.push(Truth::Asserted(segment));
            }
        }
        truths.sort_unstable();
        Standing {
            truths,
            seen: self.seen,
            whole: whole.then(|| self.whole()),
            // Whatever a definition says, nobody is woken twice for one time.
            next_change: next.and_then(|at| u64::try_from(at).ok()).filter(|at| *at > time),
            canonical: Some(canonical.clone()),
        }
    }

    /// The same before facts of `time` come, once wake-ups until then are worked off.
    pub fn standing_before(&self, plan: &Plan, time: u64, whole: bool) -> Standing {
        let (Some(truths), Some(canonical)) = (&self.settled, self.members.first()) else {
            return self.standing(plan, time, whole);
        };
        Standing {
            truths: truths.to_vec(),
            seen: self.seen,
            whole: whole.then(|| self.whole()),
            next_change: self.wakeup,
            canonical: Some(canonical.clone()),
        }
    }

    /// When its events happened, and nothing else.
    pub fn sighting(&self) -> Standing {
        Standing {
            canonical: self.members.first().cloned(),
            seen: self.seen,
            ..Standing::default()
        }
    }

    fn whole(&self) -> Whole {
        let named = |held: &Quarantined| {
            let member = self.members.iter().find(|member| member.subject == held.subject)?;
            Some((member.customer_id.clone(), *held))
        };
        let mut quarantined: Vec<_> = self.quarantined.iter().filter_map(named).collect();
        quarantined.sort_unstable();
        let profile = Profile {
            member_ids: self.members.iter().map(|member| member.customer_id.clone()).collect(),
            attributes: profile(&self.attributes),
            team_ids: self.teams.chunk_by(|a, b| a == b).map(|same| same[0].clone()).collect(),
        };
        Whole { profile: Arc::new(profile), quarantined }
    }

    /// Adds and removes facts; they are sorted and each occurs once.
    pub fn apply(&mut self, facts: &[((Subject, Fact), isize)]) {
        let all = || facts.iter().map(|((_, fact), diff)| (fact, *diff));
        let of = |fact: &Fact| match fact {
            Fact::Member(member) => Some(member.clone()),
            _ => None,
        };
        apply(&mut self.members, all(), of);
        let of = |fact: &Fact| match fact {
            Fact::Alias(alias) => Some(*alias),
            _ => None,
        };
        apply(&mut self.aliases, all(), of);
        let of = |fact: &Fact| match fact {
            Fact::Attribute(attribute) => Some(attribute.clone()),
            _ => None,
        };
        apply(&mut self.attributes, all(), of);
        let of = |fact: &Fact| match fact {
            Fact::Team(team, _) => Some(team.clone()),
            _ => None,
        };
        apply(&mut self.teams, all(), of);
        let of = |fact: &Fact| match fact {
            Fact::Assertion(assertion) => Some(assertion.clone()),
            _ => None,
        };
        apply(&mut self.assertions, all(), of);
        let of = |fact: &Fact| match fact {
            Fact::Quarantined(quarantined) => Some(**quarantined),
            _ => None,
        };
        apply(&mut self.quarantined, all(), of);
        let of = |fact: &Fact| match fact {
            Fact::Event(event) => Some(*event),
            _ => None,
        };
        apply(&mut self.events, all(), of);
        self.see(all().filter_map(|(fact, diff)| Some((of(fact)?, diff))));
    }

    /// After `events` have come and gone.
    fn see(&mut self, events: impl Iterator<Item = (EventFact, isize)>) {
        let add = |seen: Option<Seen>, event: &EventFact| {
            let at = event.occurred_at_ms;
            let seen = seen.unwrap_or(Seen { first_ms: at, last_ms: at });
            Some(Seen { first_ms: seen.first_ms.min(at), last_ms: seen.last_ms.max(at) })
        };
        for (event, diff) in events {
            if diff < 0 {
                self.seen = self.events.iter().fold(None, add);
                return;
            }
            self.seen = add(self.seen, &event);
        }
    }

    /// Ends a change: `standing` is true until its wake-up.
    pub fn settle(&mut self, id: Subject, standing: Standing, due: &mut BTreeSet<(u64, Subject)>) {
        let at = standing.next_change;
        let is_giant = self.events.len() >= GIANT_FROM && standing.canonical.is_some();
        self.settled = is_giant.then(|| standing.truths.into());
        if self.wakeup != at {
            if let Some(time) = std::mem::replace(&mut self.wakeup, at) {
                due.remove(&(time, id));
            }
            due.extend(at.map(|time| (time, id)));
        }
    }
}

/// Adds and removes those of the sorted `facts` that are of one kind, in linear time, also when one
/// person takes over another.
fn apply<'f, T: Ord + Clone>(
    values: &mut Vec<T>,
    facts: impl Iterator<Item = (&'f Fact, isize)>,
    of_kind: impl Fn(&Fact) -> Option<T>,
) {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (fact, diff) in facts {
        let Some(value) = of_kind(fact) else { continue };
        let to = if diff > 0 { &mut added } else { &mut removed };
        to.extend(std::iter::repeat_n(value, diff.unsigned_abs()));
    }
    let mut removed = removed.iter().peekable();
    if removed.peek().is_some() {
        values.retain(|value| removed.next_if_eq(&value).is_none());
        debug_assert!(removed.peek().is_none(), "only what is held can be removed");
    }
    if added.len() == 1 {
        let value = added.remove(0);
        let at = values.partition_point(|held| *held <= value);
        // Most persons are small, and exact; to grow a giant by one each time would copy all of it.
        if values.len() < GIANT_FROM {
            values.reserve_exact(1);
        }
        values.insert(at, value);
    } else if !added.is_empty() {
        values.reserve_exact(added.len());
        values.append(&mut added);
        // Stable: it merges runs that are sorted already.
        values.sort();
    }
}
