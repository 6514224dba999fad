//! Random histories on one, two and three workers, against the oracle.

use std::collections::BTreeSet;

use cebe_schemas::change::{Cause, Change, TickOutput};
use cebe_schemas::time::Millis;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::history::{START_MS, Step, Tick, Writer, history};
use super::sorted;
use crate::Dataflow;
use crate::oracle::Oracle;

pub fn next_time(last: Millis, step: Step, wakeup: Option<Millis>) -> Millis {
    match step {
        Step::Ms(ms) => last + ms,
        Step::Wakeup(offset) => {
            let near = wakeup.filter(|at| at - last < 7_200_000);
            near.map_or(0, |at| at + offset).max(last + 1)
        }
        Step::Far(offset) => wakeup.map_or(0, |at| at + offset).max(last + 1),
    }
}

/// Runs a history and compares every output: the changes of every logical time, wake-ups included,
/// and when the next one is due.
fn check(ticks: &[Tick]) -> Result<(), TestCaseError> {
    let mut dataflows: Vec<_> =
        [1, 2, 3].into_iter().map(|workers| Dataflow::start(workers).unwrap()).collect();
    let mut oracle = Oracle::default();
    let mut writer = Writer::default();
    let (mut t_ms, mut wakeup) = (START_MS, None);
    for tick in ticks {
        t_ms = next_time(t_ms, tick.step, wakeup);
        let input = writer.input(t_ms, &tick.says);
        let expected: TickOutput = oracle.tick(input.clone());
        for dataflow in &mut dataflows {
            prop_assert_eq!(&sorted(dataflow.tick(input.clone()).unwrap()), &expected);
        }
        wakeup = expected.next_wakeup_ms;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_output_is_the_oracles(ticks in history()) {
        check(&ticks)?;
    }
}

/// The histories must get to every kind of change by every cause, or they prove little.
#[test]
fn histories_reach_every_cause() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let ticks = history().new_tree(&mut runner).unwrap().current();
        let (mut oracle, mut writer) = (Oracle::default(), Writer::default());
        let (mut t_ms, mut wakeup) = (START_MS, None);
        for tick in ticks {
            t_ms = next_time(t_ms, tick.step, wakeup);
            let output = oracle.tick(writer.input(t_ms, &tick.says));
            wakeup = output.next_wakeup_ms;
            seen.extend(output.moments.iter().flat_map(|m| &m.changes).map(kind));
        }
    }
    let reached =
        |view, causes: &[Cause]| causes.iter().all(|cause| seen.contains(&(view, *cause)));
    use Cause::*;
    assert!(reached("identity", &[Erase, Unmerge, Merge, Backfill, LateEvent, Event]), "{seen:?}");
    assert!(reached("customer", &[Erase, Unmerge, Merge, Backfill, LateEvent, Event]), "{seen:?}");
    assert!(reached("seen", &[Erase, Unmerge, Merge, Backfill, LateEvent, Event]), "{seen:?}");
    assert!(
        reached("segment", &[Erase, Unmerge, Merge, Definition, Time, Backfill, LateEvent, Event]),
        "{seen:?}"
    );
    assert!(reached("forgotten", &[Erase]), "{seen:?}");
    assert!(reached("holders", &[Unmerge, Merge, Definition, Event]), "{seen:?}");
    assert!(reached("members", &[Unmerge, Merge]), "{seen:?}");
    assert!(
        reached("metric", &[Erase, Unmerge, Merge, Definition, Backfill, LateEvent, Event]),
        "{seen:?}"
    );
}

fn kind(change: &Change) -> (&'static str, Cause) {
    match change {
        Change::Identity { cause, .. } => ("identity", *cause),
        Change::Customer { cause, .. } => ("customer", *cause),
        Change::Seen { cause, .. } => ("seen", *cause),
        Change::Segment { cause, .. } => ("segment", *cause),
        Change::Metric { cause, .. } => ("metric", *cause),
        Change::Forgotten { .. } => ("forgotten", Cause::Erase),
        Change::Quarantine { reason, cause, .. } => (reason.as_str(), *cause),
    }
}
