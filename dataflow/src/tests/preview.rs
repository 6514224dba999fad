//! Previews against what comes of it: the same history with the definitions really put in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::{Change, Rate, TickOutput};
use cebe_schemas::definition::Definitions;
use cebe_schemas::fact::TickInput;
use cebe_schemas::preview::Preview;
use cebe_schemas::time::Millis;
use proptest::prelude::*;

use super::history::{START_MS, Say, Step, Tick, Writer, definitions, history};
use super::property::next_time;
use super::sorted;
use crate::{Dataflow, PreviewStep};

type Text = Arc<str>;

/// What the changes so far amount to.
#[derive(Clone, Default)]
struct State {
    members: BTreeSet<(Text, Text, Text)>,
    rates: BTreeMap<(Text, Text, Text), Rate>,
}

impl State {
    fn fold(&mut self, output: &TickOutput) {
        for change in output.moments.iter().flat_map(|moment| &moment.changes) {
            match change.clone() {
                Change::Segment { account_id, segment_id, customer_id, entered, .. } => {
                    let key = (account_id, segment_id, customer_id);
                    match entered {
                        true => assert!(self.members.insert(key)),
                        false => assert!(self.members.remove(&key)),
                    }
                }
                Change::Metric { account_id, metric, group_key, new, .. } => {
                    self.rates.insert((account_id, metric, group_key), new);
                }
                _ => {}
            }
        }
        self.rates.retain(|_, rate| *rate != Rate::default());
    }
}

type Moves = BTreeMap<(Text, Text, Text), (Rate, Rate)>;

/// Who enters, who leaves, and which rates move.
#[derive(Debug, PartialEq)]
struct Difference {
    enter: BTreeSet<(Text, Text, Text)>,
    leave: BTreeSet<(Text, Text, Text)>,
    moves: Moves,
}

fn between(old: &State, new: &State) -> Difference {
    let keys: BTreeSet<_> = old.rates.keys().chain(new.rates.keys()).cloned().collect();
    let rate =
        |state: &State, key: &(Text, Text, Text)| state.rates.get(key).copied().unwrap_or_default();
    let moves = keys.into_iter().map(|key| {
        let both = (rate(old, &key), rate(new, &key));
        (key, both)
    });
    Difference {
        enter: new.members.difference(&old.members).cloned().collect(),
        leave: old.members.difference(&new.members).cloned().collect(),
        moves: moves.filter(|(_, (old, new))| old != new).collect(),
    }
}

fn told(preview: &Preview) -> Difference {
    let (mut enter, mut leave, mut moves) = (BTreeSet::new(), BTreeSet::new(), Moves::new());
    for segment in &preview.segments {
        let key = |id: &Text| (segment.account_id.clone(), segment.segment_id.clone(), id.clone());
        enter.extend(segment.enter.iter().map(key));
        leave.extend(segment.leave.iter().map(key));
        assert_eq!(segment.entering as usize, segment.enter.len());
        assert_eq!(segment.leaving as usize, segment.leave.len());
    }
    for metric in &preview.metrics {
        for rate in &metric.rates {
            let old = Rate { numerator: rate.old_numerator, denominator: rate.old_denominator };
            let new = Rate { numerator: rate.new_numerator, denominator: rate.new_denominator };
            let key = (metric.account_id.clone(), metric.metric.clone(), rate.group_key.clone());
            moves.insert(key, (old, new));
        }
    }
    Difference { enter, leave, moves }
}

/// What a preview may change: segments, and metrics of accounts.
fn edited(old: &Definitions, which: usize) -> Definitions {
    let new = definitions(which);
    let shared = old.metrics.iter().filter(|metric| metric.account_id.is_none());
    let own = new.metrics.iter().filter(|metric| metric.account_id.is_some());
    Definitions {
        segments: new.segments.clone(),
        metrics: shared.chain(own).cloned().collect(),
        ..old.clone()
    }
}

/// When to ask for what, and how much to look at between two ticks.
#[derive(Clone, Debug)]
struct Asked {
    after: usize,
    which: usize,
    budget: usize,
}

/// The inputs of a history.
fn inputs(ticks: &[Tick]) -> (Vec<TickInput>, Vec<TickOutput>) {
    let (mut writer, mut dataflow) = (Writer::default(), Dataflow::start(1).unwrap());
    let (mut t_ms, mut wakeup) = (START_MS, None);
    let both = ticks.iter().map(|tick| {
        t_ms = next_time(t_ms, tick.step, wakeup);
        let input = writer.input(t_ms, &tick.says);
        let output = sorted(dataflow.tick(input.clone()).unwrap());
        wakeup = output.next_wakeup_ms;
        (input, output)
    });
    both.unzip()
}

/// After the inputs so far, the definitions of the last being `new`, if given.
fn state(inputs: &[TickInput], new: Option<&Definitions>) -> State {
    let (mut dataflow, mut state) = (Dataflow::start(1).unwrap(), State::default());
    for (at, input) in inputs.iter().enumerate() {
        let mut input = input.clone();
        if let Some(new) = new.filter(|_| at + 1 == inputs.len()) {
            input.definitions = Some(Arc::new(new.clone()));
        }
        state.fold(&dataflow.tick(input).unwrap());
    }
    state
}

/// Returns whether the preview was completed, and whether it found any difference.
fn check(workers: usize, ticks: &[Tick], asked: &Asked) -> Result<(bool, bool), TestCaseError> {
    let (inputs, outputs) = inputs(ticks);
    let mut dataflow = Dataflow::start(workers).unwrap();
    let mut in_force = Arc::<Definitions>::default();
    let (mut new, mut done) = (None, (false, false));
    for at in 0..inputs.len() {
        let output = sorted(dataflow.tick(inputs[at].clone()).unwrap());
        prop_assert_eq!(&output, &outputs[at], "to ask changes nothing");
        if let Some(definitions) = &inputs[at].definitions {
            in_force = definitions.clone();
        }
        if at == asked.after.min(inputs.len() - 1) {
            let definitions = edited(&in_force, asked.which);
            dataflow.begin_preview(&definitions, Millis::MAX).unwrap();
            new = Some(definitions);
        }
        while let Some(definitions) = &new {
            match dataflow.continue_preview(asked.budget).unwrap() {
                PreviewStep::Left(_) if at + 1 < inputs.len() => break,
                PreviewStep::Left(_) => {}
                PreviewStep::Dropped => {
                    prop_assert!(inputs[at].definitions.is_some());
                    new = None;
                }
                PreviewStep::Done(found) => {
                    let preview = found.report(usize::MAX);
                    let so_far = &inputs[..=at];
                    let expected = between(&state(so_far, None), &state(so_far, Some(definitions)));
                    prop_assert_eq!(preview.logical_time, inputs[at].t_ms);
                    prop_assert_eq!(&told(&preview), &expected);
                    let empty = between(&State::default(), &State::default());
                    done = (true, expected != empty);
                    new = None;
                }
            }
        }
    }
    Ok(done)
}

fn asked() -> impl Strategy<Value = Asked> {
    (0..20usize, 0..5usize, prop_oneof![2 => 1..12usize, 2 => 12..60usize, 1 => Just(100_000)])
        .prop_map(|(after, which, budget)| Asked { after, which, budget })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_preview_is_what_putting_it_would_change(
        ticks in history(),
        asked in asked(),
        workers in 1..4usize,
    ) {
        check(workers, &ticks, &asked)?;
    }
}

/// Somebody was looked at while a window was open, and the answer is complete when it closes: just
/// before, at that very time, and just after.
#[test]
fn what_time_changes_meanwhile_is_looked_at_again() {
    let clicked = |customer| Say::Event { who: (0, customer), event: 2, group: 0, ago: 0 };
    let mut says: Vec<_> = (0..4).map(clicked).collect();
    says.push(Say::Definitions(0));
    let first = Tick { step: Step::Ms(1), says };
    // Its window is 5 ms wide; one person is looked at in the first slice.
    let asked = Asked { after: 0, which: 3, budget: 9 };
    for ms in [4, 5, 6] {
        let ticks = [first.clone(), Tick { step: Step::Ms(ms), says: Vec::new() }];
        let (complete, differs) = check(1, &ticks, &asked).unwrap();
        assert_eq!((complete, differs), (true, ms < 5), "{ms} ms later");
    }
}

/// Most previews must come to an end after several slices, and find something.
#[test]
fn previews_span_ticks_and_find_something() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut complete, mut differ) = (0, 0);
    for _ in 0..60 {
        let ticks = history().new_tree(&mut runner).unwrap().current();
        let asked = Asked { budget: 9, ..asked().new_tree(&mut runner).unwrap().current() };
        let (done, differs) = check(1, &ticks, &asked).unwrap();
        complete += usize::from(done);
        differ += usize::from(differs);
    }
    assert!(complete > 30 && differ > 20, "{complete} complete, {differ} differ");
}
