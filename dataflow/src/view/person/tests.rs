use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::definition::{About, Check, Clause, Did, GroupBy, Metric, Selector, Test, Then};
use cebe_schemas::fact::{
    AssertionFact, AttributeFact, AttributeValue, EventFact, GroupName, Stamp,
};
use cebe_schemas::id::{EventType, Group, Subject};
use cebe_schemas::time::{Millis, Retention};
use cebe_schemas::zone::Zone;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::oracle::{Raw, belongs, credits, daily_credits, next_change, next_rate_change};
use super::{Known, Truth, evaluate};
use crate::plan::{AccountPlan, By, GroupTexts, MetricPlan, day_group};
use crate::row::{Assertion, MetricId, SegmentId};

mod explain;

const NAMES: [&str; 2] = ["a", "b"];
const TEXTS: [&str; 4] = ["", "b-9", "b-10", "b-11"];
/// Times are in 0..40 and widths below 25, in units: nothing changes by itself from here on.
const LAST: Millis = 70;
const DAY_MS: Millis = 86_400_000;

/// The unit of times, and for how long events count: windows alone, or windows and retention.
#[derive(Clone, Copy, Debug)]
struct Scale {
    unit_ms: Millis,
    retention: Retention,
}

fn scale() -> impl Strategy<Value = Scale> {
    let scale = |unit_ms, months| Scale { unit_ms, retention: Retention { months } };
    prop::sample::select(vec![scale(1, 24), scale(DAY_MS, 1)])
}

/// The third type never leaves.
fn selector(which: u64) -> Selector {
    match which {
        2 => Selector::named("customer.updated"),
        which => EventType(which).into(),
    }
}

/// A person, as it is said of it.
#[derive(Clone, Debug)]
struct Said {
    attributes: Vec<AttributeFact>,
    assertions: Vec<AssertionFact>,
    events: Vec<EventFact>,
}

impl Said {
    fn raw<'a>(&'a self, groups: &'a [GroupName], retention: Retention) -> Raw<'a> {
        let Said { attributes, assertions, events } = self;
        Raw { attributes, assertions, events, groups, retention }
    }
}

/// The same, as the person stage holds it: sorted.
struct Held {
    attributes: Vec<Arc<AttributeFact>>,
    assertions: Vec<Arc<Assertion>>,
    events: Vec<EventFact>,
    groups: GroupTexts,
}

impl Held {
    fn new(said: &Said) -> Held {
        let mut attributes: Vec<_> = said.attributes.iter().cloned().map(Arc::new).collect();
        attributes.sort();
        let assertion = |fact: &AssertionFact| {
            let AssertionFact { segment_id, stamp, subject, entered, .. } = fact.clone();
            let number = NAMES.iter().position(|name| *name == &*segment_id).unwrap();
            let segment = SegmentId(number as u32);
            Arc::new(Assertion { segment, segment_id, stamp, subject, entered })
        };
        let mut assertions: Vec<_> = said.assertions.iter().map(assertion).collect();
        assertions.sort();
        let mut events = said.events.clone();
        events.sort();
        let groups = GroupTexts::default();
        group_names().into_iter().for_each(|name| groups.insert(name.group, name.group_key));
        Held { attributes, assertions, events, groups }
    }

    fn known(&self, retention: Retention) -> Known<'_> {
        let Held { attributes, assertions, events, groups } = self;
        Known { attributes, assertions, events, groups, retention }
    }
}

fn group_names() -> Vec<GroupName> {
    let name =
        |(group, text): (u64, &&str)| GroupName { group: Group(group), group_key: (*text).into() };
    (0..).zip(&TEXTS).map(name).collect()
}

fn event() -> impl Strategy<Value = EventFact> {
    (0..3u64, 0..4u64, 0..40i64).prop_map(|(event, group, occurred_at_ms)| EventFact {
        event: selector(event).event(),
        group: Group(group),
        occurred_at_ms,
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(1),
        json!(1.0),
        json!(2.5),
        json!(-3),
        json!("1"),
        json!("ab"),
        json!("abc"),
        json!("b"),
        json!(""),
        json!(["ab", 1]),
        json!([]),
    ])
}

fn test() -> impl Strategy<Value = Test> {
    let operand = || value().prop_filter("a scalar", |v| !v.is_null() && !v.is_array());
    let check = prop_oneof![
        operand().prop_map(Check::Eq),
        operand().prop_map(Check::Ne),
        prop::collection::vec(operand(), 0..3).prop_map(Check::In),
        operand().prop_map(Check::Gt),
        operand().prop_map(Check::Gte),
        operand().prop_map(Check::Lt),
        operand().prop_map(Check::Lte),
        any::<bool>().prop_map(Check::Exists),
        operand().prop_map(Check::Contains),
        prop::sample::select(vec!["", "a", "ab", "b"]).prop_map(|p| Check::Prefix(p.into())),
    ];
    prop::collection::vec(check, 1..3).prop_map(|checks| Test { checks })
}

fn width() -> impl Strategy<Value = Option<Millis>> {
    prop::option::of(1..25i64)
}

fn then() -> impl Strategy<Value = Then> {
    (0..3u64, width(), any::<bool>(), any::<bool>()).prop_map(
        |(event, within_ms, same_group, not)| Then {
            event: selector(event),
            within_ms,
            same_group,
            is_missing: not && within_ms.is_some(),
        },
    )
}

fn did() -> impl Strategy<Value = Clause> {
    let counts = prop_oneof![
        3 => (1..4u32).prop_map(|least| (least, u32::MAX)),
        1 => (0..3u32).prop_map(|most| (0, most)),
        1 => (0..3u32).prop_map(|exactly| (exactly, exactly)),
        1 => (0..2u32, 0..2u32).prop_map(|(least, more)| (least, least + more)),
    ];
    (0..3u64, counts, width(), prop::option::of(then())).prop_map(
        |(event, (at_least, at_most), within_ms, then)| {
            Clause::Did(Did { event: selector(event), at_least, at_most, within_ms, then })
        },
    )
}

fn clause() -> impl Strategy<Value = Clause> {
    let leaf = prop_oneof![
        5 => did(),
        2 => (name(), test()).prop_map(|(name, test)| Clause::Attribute { name, test }),
        1 => name().prop_map(|segment_id| Clause::InSegment { segment_id, defined: None }),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            some().prop_map(Clause::All),
            some().prop_map(Clause::Any),
            inner.clone().prop_map(|inner| Clause::Not(Box::new(inner))),
            (name(), inner.clone()).prop_map(|(segment_id, defined)| {
                Clause::InSegment { segment_id, defined: Some(Arc::new(defined)) }
            }),
        ]
    })
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(NAMES.to_vec()).prop_map(Arc::from)
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (0..3i64, 0..2u8, any::<u64>()).prop_map(|(occurred_at_ms, key, ordinal)| Stamp {
        occurred_at_ms,
        key: key.to_string().into(),
        ordinal,
    })
}

fn attribute() -> impl Strategy<Value = AttributeFact> {
    (name(), stamp(), 0..3u128, value()).prop_map(|(name, stamp, subject, value)| AttributeFact {
        name,
        stamp,
        subject: Subject(subject),
        value: (!value.is_null()).then(|| Arc::new(AttributeValue::new(value))),
        identifier: None,
    })
}

fn assertion() -> impl Strategy<Value = AssertionFact> {
    (name(), stamp(), 0..3u128, any::<bool>()).prop_map(|(segment_id, stamp, subject, entered)| {
        AssertionFact {
            account_id: "acc".into(),
            segment_id,
            stamp,
            subject: Subject(subject),
            entered,
        }
    })
}

fn said() -> impl Strategy<Value = Said> {
    let attributes = prop::collection::vec(attribute(), 0..5);
    let assertions = prop::collection::vec(assertion(), 0..4);
    let events = prop::collection::vec(event(), 0..14);
    (attributes, assertions, events).prop_map(|(attributes, assertions, events)| Said {
        attributes,
        assertions,
        events,
    })
}

fn metric() -> impl Strategy<Value = Metric> {
    (0..3u64, 0..3u64, 0..15i64, any::<bool>()).prop_map(
        |(denominator, numerator, within_ms, whole)| Metric {
            account_id: None,
            metric: "m".into(),
            version: 1,
            denominator: selector(denominator),
            numerator: selector(numerator),
            within_ms,
            by: if whole { GroupBy::Account } else { GroupBy::Property("p".into()) },
            about: About::default(),
        },
    )
}

fn plan(clauses: &[Clause], metrics: &[Metric]) -> AccountPlan {
    let segments = (0..).map(SegmentId).zip(clauses.iter().cloned()).collect();
    let metric = |(number, metric): (u32, &Metric)| MetricPlan {
        metric: MetricId(number),
        denominator: metric.denominator.clone(),
        numerator: metric.numerator.clone(),
        within_ms: metric.within_ms,
        by: match metric.by {
            GroupBy::Account => By::Account,
            GroupBy::Property(_) => By::Group,
            GroupBy::Day(_) => By::Day(Zone::default()),
        },
    };
    AccountPlan::new(segments, (0..).zip(metrics).map(metric).collect())
}

/// Multiplies the widths of all windows.
fn widen(clause: &mut Clause, by: Millis) {
    let wide = |width: &mut Option<Millis>| width.iter_mut().for_each(|width| *width *= by);
    match clause {
        Clause::All(of) | Clause::Any(of) => of.iter_mut().for_each(|one| widen(one, by)),
        Clause::Not(inner) => widen(inner, by),
        Clause::Did(did) => {
            wide(&mut did.within_ms);
            did.then.iter_mut().for_each(|then| wide(&mut then.within_ms));
        }
        Clause::InSegment { defined: Some(defined), .. } => widen(Arc::make_mut(defined), by),
        Clause::InSegment { .. } | Clause::Attribute { .. } => {}
    }
}

fn expected(raw: &Raw, clauses: &[Clause], metrics: &[Metric], now: Millis) -> Vec<Truth> {
    let mut truths = BTreeSet::new();
    for (number, clause) in (0..).zip(clauses) {
        truths.extend(belongs(clause, raw, now).then_some(Truth::Segment(SegmentId(number))));
    }
    for (number, metric) in (0..).map(MetricId).zip(metrics) {
        let credits = credits(metric, raw, now).into_iter();
        truths.extend(credits.map(|(group, hit)| Truth::Rate { metric: number, group, hit }));
    }
    truths.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// At every time, and the next change is announced as `segment::holds` says.
    #[test]
    fn truths_are_those_of_brute_force(
        scale in scale(),
        mut said in said(),
        mut clauses in prop::collection::vec(clause(), 0..4),
        mut metrics in prop::collection::vec(metric(), 0..3),
    ) {
        said.events.iter_mut().for_each(|event| event.occurred_at_ms *= scale.unit_ms);
        clauses.iter_mut().for_each(|clause| widen(clause, scale.unit_ms));
        metrics.iter_mut().for_each(|metric| metric.within_ms *= scale.unit_ms);
        let (held, names) = (Held::new(&said), group_names());
        let raw = said.raw(&names, scale.retention);
        let at = |unit: Millis| unit * scale.unit_ms;
        let all: Vec<_> =
            (0..LAST).map(|now| expected(&raw, &clauses, &metrics, at(now))).collect();
        let plan = plan(&clauses, &metrics);
        for now in 0..LAST {
            let mut truths = Vec::new();
            let next = evaluate(&held.known(scale.retention), &plan, at(now), &mut truths);
            prop_assert_eq!(&truths, &all[now as usize], "at {}", now);
            let segments = clauses.iter().filter_map(|c| next_change(c, &raw, at(now)));
            let rates = metrics.iter().filter_map(|m| next_rate_change(m, &raw, at(now)));
            prop_assert_eq!(next, segments.chain(rates).min(), "after {}", now);
            let change = (now + 1..LAST).find(|later| all[*later as usize] != all[now as usize]);
            prop_assert!(change.is_none_or(|change| next.is_some_and(|next| next <= at(change))));
        }
    }

    /// One leaf is announced exactly.
    #[test]
    fn a_leaf_is_announced_exactly(said in said(), clause in did()) {
        let (held, names) = (Held::new(&said), group_names());
        let retention = Retention::default();
        let raw = said.raw(&names, retention);
        let plan = plan(std::slice::from_ref(&clause), &[]);
        for now in 0..LAST {
            let is_in = |at: Millis| belongs(&clause, &raw, at);
            let change = (now + 1..LAST + 30).find(|later| is_in(*later) != is_in(now));
            let next = evaluate(&held.known(retention), &plan, now, &mut Vec::new());
            // Two years later events leave.
            prop_assert_eq!(next.filter(|next| *next < LAST + 30), change, "after {}", now);
        }
    }

    /// Of touches and answers hours apart, so that they are of several days.
    #[test]
    fn days_are_those_of_brute_force(
        mut said in said(),
        metric in metric(),
        now in prop_oneof![Just(0), 100..200i64],
    ) {
        const STEP_MS: Millis = 6 * 3_600_000;
        said.events.iter_mut().for_each(|event| event.occurred_at_ms *= STEP_MS);
        // A numerator of its own type: an event that is touch and answer is judged elsewhere.
        prop_assume!(metric.denominator != metric.numerator);
        let (within_ms, by) = (metric.within_ms * STEP_MS, GroupBy::Day("p".into()));
        let metric = Metric { within_ms, by, ..metric };
        let (held, names) = (Held::new(&said), group_names());
        let (retention, mut truths) = (Retention { months: 1 }, Vec::new());
        let (raw, plan) = (said.raw(&names, retention), plan(&[], std::slice::from_ref(&metric)));
        let now = now * STEP_MS;
        evaluate(&held.known(retention), &plan, now, &mut truths);
        let days = daily_credits(&metric, &raw, 7 * 3_600_000, now);
        let truth = |(day, hit)| {
            Truth::Rate { metric: MetricId(0), group: day_group(day as i32), hit }
        };
        prop_assert_eq!(truths, days.into_iter().map(truth).collect::<Vec<_>>());
    }

    #[test]
    fn no_time_is_too_extreme(
        times in prop::collection::vec((0..2u64, prop_oneof![
            Just(Millis::MIN), Just(Millis::MIN + 1), Just(-1), Just(0),
            Just(Millis::MAX - 1), Just(Millis::MAX),
        ]), 0..6),
        within_ms in prop::option::of(prop_oneof![Just(0), Just(1), Just(Millis::MAX)]),
        then in prop::option::of(then()),
        at_least in 0..4u32,
        now in prop_oneof![Just(Millis::MIN), Just(0), Just(1), Just(Millis::MAX)],
    ) {
        let fact = |(event, t): (u64, Millis)| EventFact {
            event: EventType(event),
            group: Group(t as u64 % 4),
            occurred_at_ms: t,
        };
        let events = times.into_iter().map(fact).collect();
        let held = Held::new(&Said { attributes: vec![], assertions: vec![], events });
        let event = EventType(0);
        let metric = |by| Metric {
            by,
            denominator: event.into(),
            numerator: EventType(1).into(),
            within_ms: within_ms.unwrap_or(Millis::MAX),
            ..(*Metric::shipped()[0]).clone()
        };
        let by = [GroupBy::Account, GroupBy::Property("p".into()), GroupBy::Day("p".into())];
        let metrics = by.map(metric);
        let then = then.map(|then| Then { within_ms, is_missing: within_ms.is_some(), ..then });
        let did = Did { event: event.into(), at_least, at_most: u32::MAX, within_ms, then };
        let plan = plan(&[Clause::Did(did)], &metrics);
        let next = evaluate(&held.known(Retention::default()), &plan, now, &mut Vec::new());
        prop_assert!(next.is_none_or(|next| next > now));
    }
}

/// `b-9` is greater bytewise and lesser in shortlex order.
#[test]
fn of_touches_at_one_time_the_greater_text_has_the_credit() {
    let fact = |event, group, occurred_at_ms| EventFact {
        event: EventType(event),
        group: Group(group),
        occurred_at_ms,
    };
    let events = vec![fact(0, 1, 5), fact(0, 2, 5), fact(0, 3, 4), fact(1, 0, 6)];
    let held = Held::new(&Said { attributes: vec![], assertions: vec![], events });
    let metric = Metric {
        denominator: EventType(0).into(),
        numerator: EventType(1).into(),
        by: GroupBy::Property("p".into()),
        ..(*Metric::shipped()[0]).clone()
    };
    let mut truths = Vec::new();
    evaluate(&held.known(Retention::default()), &plan(&[], &[metric]), 0, &mut truths);
    let hit = |(group, hit)| Truth::Rate { metric: MetricId(0), group: Group(group), hit };
    assert_eq!(truths, [(1, false), (2, true), (3, false)].map(hit));
}
