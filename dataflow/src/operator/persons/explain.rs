//! What a worker tells of one person and one segment.

use std::sync::Arc;

use cebe_schemas::explanation::{Assertion, Judged};
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;

use super::state::Persons;
use crate::row::{Member, Quarantined, RateKey, SegmentId};
use crate::view::person::Truth;
use crate::view::person::explain::{asserted, explain};

/// A person and a segment, at the last tick.
#[derive(Debug)]
pub struct Told {
    /// Shortlex.
    pub members: Vec<Arc<Member>>,
    /// Those of them that are kept from being linked.
    pub quarantined: Vec<Quarantined>,
    /// What CDP said last.
    pub asserted: Option<Assertion>,
    /// The definition, judged; none: there is none.
    pub judged: Option<Judged>,
}

impl Persons {
    /// The canonical id of the person `id`; none: there is no such person.
    pub fn canonical(&self, id: Subject) -> Option<Arc<str>> {
        let least = self.people.get(&id)?.members().first()?;
        Some(least.customer_id.clone())
    }

    /// The rates that the person `id` counts in at `time`, that of the last tick, and whether it is in their
    /// numerators; none: there is no such person, or `customer` is not of it.
    pub fn rates(&self, id: Subject, customer: Subject, time: u64) -> Option<Vec<(RateKey, bool)>> {
        let person = self.people.get(&id)?;
        let (account, mut subjects) = (person.account()?, person.subjects());
        subjects.any(|subject| *subject == customer).then(|| {
            let truths = person.standing(&self.plan, time, false).truths;
            let rate = |truth| match truth {
                Truth::Rate { metric, group, hit } => {
                    Some((RateKey { account, metric, group }, hit))
                }
                _ => None,
            };
            truths.into_iter().filter_map(rate).collect()
        })
    }

    /// Why the person `id` belongs to a segment at `time`, that of the last tick, or does not; none:
    /// there is no such person.
    pub fn explain(
        &self,
        id: Subject,
        segment: SegmentId,
        segment_id: &str,
        time: u64,
    ) -> Option<Told> {
        let person = self.people.get(&id)?;
        let account = person.account()?;
        let now = Millis::try_from(time).unwrap_or(Millis::MAX);
        let known = person.known(&self.plan);
        let named = |subject| {
            let member = person.members().iter().find(|member| member.subject == subject)?;
            Some(member.customer_id.clone())
        };
        let segments = self.plan.of(account).segments();
        let defined = segments.binary_search_by_key(&segment, |(id, _)| *id).ok();
        Some(Told {
            members: person.members().to_vec(),
            quarantined: person.quarantined().to_vec(),
            asserted: asserted(segment_id, &known, &named),
            judged: defined.and_then(|at| explain(&segments[at].1, &known, now, &named)),
        })
    }
}
