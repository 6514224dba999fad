//! What is true of a person at some time, and the difference between two such.

use std::sync::Arc;

use cebe_schemas::change::{Cause, Profile, Seen};

use super::Emit;
use crate::operator::difference;
use crate::row::{Answer, Member, Quarantined, RateKey};
use crate::view::person::Truth;

/// What is true of a person at some time.
#[derive(Default)]
pub struct Standing {
    /// Who speaks for the person; nobody: nothing is true of it.
    pub canonical: Option<Arc<Member>>,
    /// Sorted.
    pub truths: Vec<Truth>,
    /// When its events happened.
    pub seen: Option<Seen>,
    /// If it was asked for.
    pub whole: Option<Whole>,
    /// When the truths next change by themselves.
    pub next_change: Option<u64>,
}

/// What changes seldom.
pub struct Whole {
    /// What is published of it.
    pub profile: Arc<Profile>,
    /// Members that are kept from being linked, sorted.
    pub quarantined: Vec<(Arc<str>, Quarantined)>,
}

impl Standing {
    /// What is true of it beside its truths.
    fn further(&self, canonical: &Member) -> Vec<Answer> {
        let (account, customer) = (canonical.account, canonical.customer_id.clone());
        let mut further = Vec::new();
        if let Some(Whole { profile, quarantined }) = &self.whole {
            let profile = profile.clone();
            further.push(Answer::Customer { account, customer: customer.clone(), profile });
            further.extend(quarantined.iter().map(|(member, held)| {
                let (customer, member, held) = (customer.clone(), member.clone(), *held);
                Answer::Quarantined { account, customer, member, held }
            }));
        }
        further.extend(self.seen.map(|seen| Answer::Seen { account, customer, seen }));
        further.sort_unstable();
        further
    }
}

/// Emits the difference between two standings of one person, both with or both without the whole.
pub fn publish(before: &Standing, after: &Standing, cause: Cause, emit: &mut Emit) {
    match (&before.canonical, &after.canonical) {
        (Some(old), Some(new)) if old == new => {
            difference(&before.truths, &after.truths, |truth, diff| {
                emit.reason(answer(new, *truth), cause, diff);
            });
            if before.seen != after.seen || before.whole.is_some() {
                difference(&before.further(old), &after.further(new), |answer, diff| {
                    emit.reason(answer.clone(), cause, diff);
                });
            }
        }
        (old, new) => {
            for (standing, canonical, diff) in [(before, old, -1), (after, new, 1)] {
                let Some(canonical) = canonical else { continue };
                let truths = standing.truths.iter().map(|truth| answer(canonical, *truth));
                for answer in truths.chain(standing.further(canonical)) {
                    emit.reason(answer, cause, diff);
                }
            }
        }
    }
}

/// Emits who belongs to the person no more, and who does now, each for a cause of its own.
pub fn publish_members(
    before: &[Arc<Member>],
    after: &[Arc<Member>],
    cause: impl Fn(&Member) -> Cause,
    emit: &mut Emit,
) {
    let mut each = |canonical: &Member, member: &Member, diff| {
        emit.reason(identity(canonical, member), cause(member), diff);
    };
    match (before.first(), after.first()) {
        (Some(old), Some(new)) if old == new => {
            difference(before, after, |member, diff| each(new, member, diff));
        }
        (old, new) => {
            for (members, canonical, diff) in [(before, old, -1), (after, new, 1)] {
                let Some(canonical) = canonical else { continue };
                members.iter().for_each(|member| each(canonical, member, diff));
            }
        }
    }
}

fn identity(canonical: &Member, member: &Member) -> Answer {
    Answer::Identity {
        account: member.account,
        member: member.customer_id.clone(),
        canonical: canonical.customer_id.clone(),
    }
}

fn answer(canonical: &Member, truth: Truth) -> Answer {
    let (account, customer) = (canonical.account, canonical.customer_id.clone());
    match truth {
        Truth::Segment(segment) => Answer::Segment { account, segment, customer, defined: true },
        Truth::Asserted(segment) => Answer::Segment { account, segment, customer, defined: false },
        Truth::Rate { metric, group, hit } => {
            Answer::Rate { rate: RateKey { account, metric, group }, customer, hit }
        }
    }
}
