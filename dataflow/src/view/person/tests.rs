use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::definition::{About, Clause, Metric};
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::{EventType, Group};
use cebe_schemas::time::Millis;
use proptest::prelude::*;

use super::oracle::{belongs, credit};
use super::{Known, Truth, evaluate};
use crate::plan::{AccountPlan, MetricPlan};
use crate::row::{MetricId, SegmentId};

fn event() -> impl Strategy<Value = EventFact> {
    (0..3u64, 0..3u64, 0..40i64).prop_map(|(event, group, occurred_at_ms)| EventFact {
        event: EventType(event),
        group: Group(group),
        occurred_at_ms,
    })
}

fn clause() -> impl Strategy<Value = Clause> {
    (0..3u64, 1..4u32, prop::option::of(0..25i64)).prop_map(|(event, at_least, within_ms)| {
        Clause::Did { event: EventType(event), at_least, within_ms }
    })
}

fn metric() -> impl Strategy<Value = Metric> {
    (0..3u64, 0..3u64, 0..15i64).prop_map(|(denominator, numerator, within_ms)| Metric {
        account_id: None,
        metric: Arc::from("m"),
        version: 1,
        about: About::default(),
        denominator: EventType(denominator),
        numerator: EventType(numerator),
        within_ms,
    })
}

fn plan(clauses: &[Clause], metrics: &[Metric]) -> AccountPlan {
    let segments = (0..).map(SegmentId).zip(clauses.iter().cloned()).collect();
    let metric = |(number, metric): (u32, &Metric)| MetricPlan {
        metric: MetricId(number),
        denominator: metric.denominator,
        numerator: metric.numerator,
        within_ms: metric.within_ms,
    };
    AccountPlan::new(segments, (0..).zip(metrics).map(metric).collect())
}

fn expected(
    events: &[EventFact],
    clauses: &[Clause],
    metrics: &[Metric],
    now: Millis,
) -> Vec<Truth> {
    let mut truths = BTreeSet::new();
    for (number, clause) in (0..).zip(clauses) {
        truths.extend(belongs(clause, events, now).then_some(Truth::Segment(SegmentId(number))));
    }
    for (number, metric) in (0..).zip(metrics) {
        for group in (0..3).map(Group) {
            let metric_id = MetricId(number);
            let hit = credit(metric, group, events);
            truths.extend(hit.map(|hit| Truth::Rate { metric: metric_id, group, hit }));
        }
    }
    truths.into_iter().collect()
}

proptest! {
    /// At every time, and the next change is announced exactly.
    #[test]
    fn truths_are_those_of_brute_force(
        mut events in prop::collection::vec(event(), 0..14),
        clauses in prop::collection::vec(clause(), 0..4),
        metrics in prop::collection::vec(metric(), 0..3),
    ) {
        let all: Vec<_> = (0..70).map(|now| expected(&events, &clauses, &metrics, now)).collect();
        events.sort();
        let plan = plan(&clauses, &metrics);
        for now in 0..70 {
            let mut truths = Vec::new();
            let next = evaluate(&Known { attributes: &[], assertions: &[], events: &events }, &plan, now as Millis, &mut truths);
            prop_assert_eq!(&truths, &all[now], "at {}", now);
            let change = (now + 1..70).find(|later| all[*later] != all[now]);
            // Segments may change all at once and yet be looked at one by one.
            let each = clauses.iter().enumerate().filter_map(|(n, _)| {
                let is_in = |at: usize| all[at].contains(&Truth::Segment(SegmentId(n as u32)));
                (now + 1..70).find(|later| is_in(*later) != is_in(now))
            });
            prop_assert_eq!(change, each.min());
            prop_assert_eq!(next, change.map(|at| at as Millis), "after {}", now);
        }
    }

    #[test]
    fn no_time_is_too_extreme(
        times in prop::collection::vec(prop_oneof![
            Just(Millis::MIN), Just(Millis::MIN + 1), Just(-1), Just(0),
            Just(Millis::MAX - 1), Just(Millis::MAX),
        ], 0..6),
        within_ms in prop::option::of(prop_oneof![Just(0), Just(1), Just(Millis::MAX)]),
        at_least in 0..4u32,
        now in prop_oneof![Just(0), Just(1), Just(Millis::MAX)],
    ) {
        let event = EventType(0);
        let fact = |t: Millis| EventFact { event, group: Group(1), occurred_at_ms: t };
        let mut events: Vec<_> = times.into_iter().map(fact).collect();
        events.sort();
        let width = within_ms.unwrap_or(Millis::MAX);
        let metric = Metric { within_ms: width, ..(*Metric::shipped()[0]).clone() };
        let metric = Metric { denominator: event, numerator: event, ..metric };
        let plan = plan(&[Clause::Did { event, at_least, within_ms }], &[metric]);
        let next = evaluate(&Known { attributes: &[], assertions: &[], events: &events }, &plan, now, &mut Vec::new());
        prop_assert!(next.is_none_or(|next| next > now));
    }
}
