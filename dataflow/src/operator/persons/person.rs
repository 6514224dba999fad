//! One person: what it consists of, and what is true of it.

use std::sync::Arc;

use cebe_schemas::change::{Profile, Seen};
use cebe_schemas::fact::{AttributeFact, EventFact};
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;

use super::standing::{Standing, Whole};
use crate::plan::Plan;
use crate::row::{AccountId, Assertion, Fact, Member, Quarantined, SegmentId};
use crate::view::person::{Known, Truth, evaluate, profile};

/// Everything that is known of one person, each sorted, with repeats.
#[derive(Default)]
pub struct Person {
    /// When what is true of it next changes by itself.
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
}

/// To grow a person of more events by one each time would copy all of it.
const EXACT_UNTIL: usize = 1_000;

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

    /// Whether CDP says that it belongs to the segment.
    pub fn is_asserted(&self, segment: SegmentId) -> bool {
        self.assertions.iter().rfind(|a| a.segment == segment).is_some_and(|last| last.entered)
    }

    /// When its events happened.
    pub fn seen(&self) -> Option<Seen> {
        self.seen
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

    /// Adds and removes facts and events; both are sorted and each occurs once.
    pub fn apply(
        &mut self,
        facts: &[((Subject, Fact), isize)],
        events: &[((Subject, EventFact), isize)],
    ) {
        self.apply_events(events);
        let all = || facts.iter().map(|((_, fact), diff)| (fact, *diff));
        apply(&mut self.members, all(), |fact| match fact {
            Fact::Member(member) => Some(member.clone()),
            _ => None,
        });
        apply(&mut self.aliases, all(), |fact| match fact {
            Fact::Alias(alias) => Some(**alias),
            _ => None,
        });
        apply(&mut self.attributes, all(), |fact| match fact {
            Fact::Attribute(attribute) => Some(attribute.clone()),
            _ => None,
        });
        apply(&mut self.teams, all(), |fact| match fact {
            Fact::Team(team) => Some(team.clone()),
            Fact::AliasTeam(team) => Some(team.0.clone()),
            _ => None,
        });
        apply(&mut self.assertions, all(), |fact| match fact {
            Fact::Assertion(assertion) => Some(assertion.clone()),
            _ => None,
        });
        apply(&mut self.quarantined, all(), |fact| match fact {
            Fact::Quarantined(quarantined) => Some(**quarantined),
            _ => None,
        });
    }

    /// Adds and removes events; they are sorted and each occurs once.
    pub fn apply_events(&mut self, events: &[((Subject, EventFact), isize)]) {
        let all = || events.iter().map(|((_, event), diff)| (event, *diff));
        apply(&mut self.events, all(), |event| Some(*event));
        self.see(all().map(|(event, diff)| (*event, diff)));
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
}

/// Adds and removes those of the sorted `facts` that are of one kind, in linear time, also when one
/// person takes over another.
fn apply<'f, F: 'f, T: Ord + Clone>(
    values: &mut Vec<T>,
    facts: impl Iterator<Item = (&'f F, isize)>,
    of_kind: impl Fn(&F) -> Option<T>,
) {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (fact, diff) in facts {
        let Some(value) = of_kind(fact) else { continue };
        let to = if diff > 0 { &mut added } else { &mut removed };
        to.extend(std::iter::repeat_n(value, diff.unsigned_abs()));
    }
    // Values can be of several kinds of facts.
    removed.sort_unstable();
    let mut removed = removed.iter().peekable();
    if removed.peek().is_some() {
        values.retain(|value| removed.next_if_eq(&value).is_none());
        debug_assert!(removed.peek().is_none(), "only what is held can be removed");
    }
    if added.len() == 1 {
        let value = added.remove(0);
        let at = values.partition_point(|held| *held <= value);
        // Most persons are small.
        if values.len() < EXACT_UNTIL {
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
