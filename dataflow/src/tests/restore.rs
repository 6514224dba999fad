//! A dataflow that is given what another one held goes on exactly as that one does.

use cebe_schemas::change::Membership;
use cebe_schemas::fact::TickInput;
use proptest::prelude::*;

use super::history::{START_MS, Tick, Writer, history};
use super::property::next_time;
use super::sorted;
use crate::Dataflow;

/// All inputs so far, in a few parts, cut anywhere.
#[derive(Default)]
struct Held {
    inputs: Vec<TickInput>,
    memberships: Vec<Membership>,
}

impl Held {
    fn parts(&self, parts: usize) -> Vec<TickInput> {
        let mut split: Vec<TickInput> = (0..parts).map(|_| TickInput::default()).collect();
        let mut next = 0;
        let mut part = || {
            next += 1;
            next % parts
        };
        for input in self.inputs.iter().cloned() {
            input.known.into_iter().for_each(|row| split[part()].known.push(row));
            for row in input.events.into_iter().chain(input.past) {
                split[part()].events.push(row);
            }
            input.anonymous.into_iter().for_each(|row| split[part()].anonymous.push(row));
            input.attributes.into_iter().for_each(|row| split[part()].attributes.push(row));
            input.identifiers.into_iter().for_each(|row| split[part()].identifiers.push(row));
            input.namings.into_iter().for_each(|row| split[part()].namings.push(row));
            input.merges.into_iter().for_each(|row| split[part()].merges.push(row));
            input.assertions.into_iter().for_each(|row| split[part()].assertions.push(row));
            input.teams.into_iter().for_each(|row| split[part()].teams.push(row));
            input.erasures.into_iter().for_each(|row| split[part()].erasures.push(row));
            split[0].groups.extend(input.groups);
            split[0].definitions = input.definitions.or(split[0].definitions.take());
            split[0].linking = input.linking.or(split[0].linking.take());
        }
        split
    }

    fn memberships(&self) -> Vec<Membership> {
        let mut last: Vec<Membership> = Vec::new();
        for membership in &self.memberships {
            last.retain(|held| held.place() != membership.place());
            last.push(membership.clone());
        }
        last
    }
}

fn check(ticks: &[Tick], at: usize, parts: usize, workers: usize) -> Result<(), TestCaseError> {
    let mut original = Dataflow::start(1).unwrap();
    let mut restored: Option<Dataflow> = None;
    let (mut writer, mut held) = (Writer::default(), Held::default());
    let (mut t_ms, mut wakeup) = (START_MS, None);
    for (number, tick) in ticks.iter().enumerate() {
        t_ms = next_time(t_ms, tick.step, wakeup);
        let input = writer.input(t_ms, &tick.says);
        let expected = sorted(original.tick(input.clone()).unwrap());
        held.inputs.push(input.clone());
        held.memberships.extend(Membership::of(&expected.moments));
        wakeup = expected.next_wakeup_ms;
        if let Some(restored) = &mut restored {
            prop_assert_eq!(&sorted(restored.tick(input).unwrap()), &expected);
        }
        if number == at {
            let mut dataflow = Dataflow::start(workers).unwrap();
            let mut restore = dataflow.restore(t_ms);
            for part in held.parts(parts) {
                restore.take_in(part).unwrap();
            }
            let output = restore.finish(&held.memberships()).unwrap();
            prop_assert_eq!(output.next_wakeup_ms, wakeup);
            restored = Some(dataflow);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn it_goes_on_as_the_other_does(
        (ticks, at) in history().prop_flat_map(|ticks| {
            let last = ticks.len();
            (Just(ticks), 0..last)
        }),
        parts in 1usize..4,
        workers in 1usize..4,
    ) {
        check(&ticks, at, parts, workers)?;
    }
}
