//! What is true of a person, by brute force over everything ever said of it, in any order.

use std::collections::BTreeSet;

use cebe_schemas::definition::{
    Check, Clause, Definitions, Did, GroupBy, Metric, Selector, Test, Then,
};
use cebe_schemas::fact::{AssertionFact, AttributeFact, EventFact, GroupName};
use cebe_schemas::id::Group;
use cebe_schemas::time::{Millis, Retention};
use serde_json::Value;

/// Everything ever said of a person.
pub struct Raw<'a> {
    pub attributes: &'a [AttributeFact],
    pub assertions: &'a [AssertionFact],
    pub events: &'a [EventFact],
    pub groups: &'a [GroupName],
    pub retention: Retention,
}

impl Raw<'_> {
    /// Whether a selector selects an event that has not left.
    fn selects(&self, selector: &Selector, event: &EventFact, now: Millis) -> bool {
        let is_over = now >= self.retention.end(event.occurred_at_ms);
        event.event == selector.event() && !(selector.leaves() && is_over)
    }
}

/// Whether a segment's clause is true (product §5).
pub fn belongs(when: &Clause, raw: &Raw, now: Millis) -> bool {
    match when {
        Clause::All(all) => !all.iter().any(|one| !belongs(one, raw, now)),
        Clause::Any(any) => any.iter().any(|one| belongs(one, raw, now)),
        Clause::Not(inner) => !belongs(inner, raw, now),
        Clause::Attribute { name, test } => {
            let about = raw.attributes.iter().filter(|fact| fact.name == *name);
            let last = about.max_by_key(|fact| &fact.stamp);
            passes(test, last.and_then(|fact| fact.value.as_ref()).map(|value| value.value()))
        }
        Clause::Did(did) => {
            let count = raw.events.iter().filter(|event| counts(did, event, raw, now)).count();
            (did.at_least as usize..=did.at_most as usize).contains(&count)
        }
        Clause::InSegment { segment_id, defined } => {
            let about = raw.assertions.iter().filter(|fact| fact.segment_id == *segment_id);
            let asserted = about.max_by_key(|fact| &fact.stamp).is_some_and(|last| last.entered);
            asserted || defined.as_ref().is_some_and(|defined| belongs(defined, raw, now))
        }
    }
}

fn counts(did: &Did, event: &EventFact, raw: &Raw, now: Millis) -> bool {
    let t = event.occurred_at_ms;
    let is_current = t <= now && did.within_ms.is_none_or(|width| now - width < t);
    let follows = did.then.as_ref().is_none_or(|then| follows(then, event, raw, now));
    raw.selects(&did.event, event, now) && is_current && follows
}

fn follows(then: &Then, event: &EventFact, raw: &Raw, now: Millis) -> bool {
    let t = event.occurred_at_ms;
    if then.same_group && event.group == Group::NONE {
        return false;
    }
    let is_follower = |other: &&EventFact| {
        raw.selects(&then.event, other, now)
            && other.occurred_at_ms > t
            && then.within_ms.is_none_or(|width| other.occurred_at_ms <= t + width)
            && (!then.same_group || other.group == event.group)
            && other.occurred_at_ms <= now
    };
    let found = raw.events.iter().find(is_follower).is_some();
    match then.is_missing {
        true => !found && then.within_ms.is_some_and(|width| now > t + width),
        false => found,
    }
}

/// Whether a value passes (product §9.3).
pub fn passes(test: &Test, value: Option<&Value>) -> bool {
    let value = value.unwrap_or(&Value::Null);
    let equal = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b && (a.is_string() || a.is_boolean()),
    };
    let less = |a: &Value, b: &Value| match (a, b) {
        (Value::String(a), Value::String(b)) => a < b,
        (Value::Bool(a), Value::Bool(b)) => !a && *b,
        _ => a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a < b),
    };
    test.checks.iter().all(|check| match check {
        Check::Eq(operand) => equal(value, operand),
        Check::Ne(operand) => !equal(value, operand),
        Check::In(operands) => operands.iter().any(|operand| equal(value, operand)),
        Check::Gt(operand) => less(operand, value),
        Check::Gte(operand) => less(operand, value) || equal(value, operand),
        Check::Lt(operand) => less(value, operand),
        Check::Lte(operand) => less(value, operand) || equal(value, operand),
        Check::Exists(wanted) => value.is_null() != *wanted,
        Check::Contains(operand) => match value {
            Value::Array(items) => items.iter().any(|item| equal(item, operand)),
            Value::String(text) => operand.as_str().is_some_and(|part| text.contains(part)),
            _ => false,
        },
        Check::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(&**prefix)),
    })
}

/// The times at which a clause, or a part of it, can change by itself.
pub fn moments(when: &Clause, raw: &Raw) -> BTreeSet<Millis> {
    match when {
        Clause::All(of) | Clause::Any(of) => of.iter().flat_map(|one| moments(one, raw)).collect(),
        Clause::Not(inner) => moments(inner, raw),
        Clause::InSegment { defined, .. } => {
            defined.iter().flat_map(|defined| moments(defined, raw)).collect()
        }
        Clause::Attribute { .. } => BTreeSet::new(),
        Clause::Did(did) => {
            let then = did.then.as_ref().and_then(|then| then.within_ms);
            let later = [Some(0), did.within_ms, then, then.map(|width| width + 1)];
            let after = |e: &EventFact| {
                let t = e.occurred_at_ms;
                let ends = later.into_iter().flatten().map(move |width| t + width);
                ends.chain([raw.retention.end(t)])
            };
            raw.events.iter().flat_map(after).collect()
        }
    }
}

/// When a person has to be looked at again for this clause: a leaf, when it next changes; what some
/// of its parts decide, when the last of those has changed; all else, when the first part changes.
pub fn next_change(when: &Clause, raw: &Raw, now: Millis) -> Option<Millis> {
    let holds = belongs(when, raw, now);
    let of = |parts: &[Clause], decisive: bool| {
        let next = |part: &Clause| next_change(part, raw, now).unwrap_or(Millis::MAX);
        let deciding = |part: &&Clause| belongs(part, raw, now) == decisive;
        let next = match holds == decisive {
            true => parts.iter().filter(deciding).map(next).max(),
            false => parts.iter().map(next).min(),
        };
        next.filter(|next| *next < Millis::MAX)
    };
    match when {
        Clause::All(parts) if parts.is_empty() => None,
        Clause::Any(parts) if parts.is_empty() => None,
        Clause::All(parts) => of(parts, false),
        Clause::Any(parts) => of(parts, true),
        Clause::Not(inner) => next_change(inner, raw, now),
        Clause::Attribute { .. } => None,
        Clause::Did(_) => {
            let mut later = moments(when, raw).into_iter().filter(|moment| *moment > now);
            later.find(|moment| belongs(when, raw, *moment) != holds)
        }
        Clause::InSegment { segment_id, defined } => {
            let alone = Clause::InSegment { segment_id: segment_id.clone(), defined: None };
            match defined {
                Some(defined) if !belongs(&alone, raw, now) => next_change(defined, raw, now),
                _ => None,
            }
        }
    }
}

/// When a person has to be looked at again for this metric: when the first of the events leaves that
/// it looks at, as long as there is a touch.
pub fn next_rate_change(metric: &Metric, raw: &Raw, now: Millis) -> Option<Millis> {
    let kept = |selector: &Selector| -> Vec<&EventFact> {
        raw.events.iter().filter(|event| raw.selects(selector, event, now)).collect()
    };
    let (touches, answers) = (kept(&metric.denominator), kept(&metric.numerator));
    let end = |selector: &Selector, event: &EventFact| {
        selector.leaves().then(|| raw.retention.end(event.occurred_at_ms))
    };
    let touches_end = touches.iter().filter_map(|event| end(&metric.denominator, event));
    let answers_end = answers.iter().filter_map(|event| end(&metric.numerator, event));
    touches_end.chain(answers_end).min().filter(|_| !touches.is_empty())
}

/// The days of the touches, counted from the epoch at an offset from UTC, and whether any touch of
/// the day has an answer in time that is credited to its group.
pub fn daily_credits(
    metric: &Metric,
    raw: &Raw,
    offset_ms: Millis,
    now: Millis,
) -> BTreeSet<(Millis, bool)> {
    let day = |touch: &EventFact| (touch.occurred_at_ms + offset_ms).div_euclid(86_400_000);
    let touches = raw.events.iter().filter(|e| raw.selects(&metric.denominator, e, now));
    let touches: Vec<_> = touches.filter(|e| e.group != Group::NONE).collect();
    let answers = || raw.events.iter().filter(|e| raw.selects(&metric.numerator, e, now));
    let is_hit = |touch: &EventFact| {
        let window = touch.occurred_at_ms..=touch.occurred_at_ms + metric.within_ms;
        answers().filter(|answer| window.contains(&answer.occurred_at_ms)).any(|answer| {
            // Judged alone, the answer is credited to one group.
            let mut events: Vec<_> = touches.iter().map(|touch| **touch).collect();
            events.push(*answer);
            let alone = Raw { events: &events, ..*raw };
            credits(metric, &alone, now).contains(&(touch.group, true))
        })
    };
    let hit = |of: Millis| touches.iter().any(|touch| day(touch) == of && is_hit(touch));
    touches.iter().map(|touch| (day(touch), hit(day(touch)))).collect()
}

/// The groups whose denominator a person is in, and whether it is in the numerator as well
/// (product §6).
pub fn credits(metric: &Metric, raw: &Raw, now: Millis) -> BTreeSet<(Group, bool)> {
    let grouped = metric.by != GroupBy::Account;
    let group = |event: &EventFact| if grouped { event.group } else { Group::NONE };
    let is_touch = |e: &&EventFact| {
        raw.selects(&metric.denominator, e, now) && (!grouped || e.group != Group::NONE)
    };
    let touches: Vec<_> = raw.events.iter().filter(is_touch).collect();
    let is_answer = |e: &&EventFact| raw.selects(&metric.numerator, e, now);
    let credited: BTreeSet<_> = raw
        .events
        .iter()
        .filter(is_answer)
        .filter_map(|answer| {
            let at = answer.occurred_at_ms;
            let names = |touch: &&&EventFact| {
                !grouped || answer.group == Group::NONE || touch.group == answer.group
            };
            let is_open = |touch: &&&EventFact| {
                (touch.occurred_at_ms..=touch.occurred_at_ms + metric.within_ms).contains(&at)
            };
            let open = touches.iter().filter(names).filter(is_open);
            let last = open.max_by_key(|touch| {
                let text = text(touch.group, raw);
                (touch.occurred_at_ms, text.len(), text)
            });
            last.map(|touch| group(touch))
        })
        .collect();
    touches.iter().map(|touch| (group(touch), credited.contains(&group(touch)))).collect()
}

fn text(group: Group, raw: &Raw) -> String {
    let name = raw.groups.iter().find(|name| name.group == group);
    name.map(|name| name.group_key.to_string()).unwrap_or_default()
}

/// The metrics of an account: its own, and those for all under names that it does not use.
pub fn metrics_of<'a>(definitions: &'a Definitions, account: &str) -> Vec<&'a Metric> {
    let is_own = |m: &Metric| m.account_id.as_deref() == Some(account);
    let own = |name: &str| definitions.metrics.iter().any(|m| is_own(m) && &*m.metric == name);
    let holds =
        |m: &&std::sync::Arc<Metric>| is_own(m) || (m.account_id.is_none() && !own(&m.metric));
    definitions.metrics.iter().filter(holds).map(|m| &**m).collect()
}
