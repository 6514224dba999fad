//! Persons found by an identifier, against whom an event with nothing else would belong to; and what each of
//! them counts in, against the rates that are published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::{Change, Rate};
use cebe_schemas::fact::TickInput;
use cebe_schemas::id::Subject;
use proptest::prelude::*;

use super::history::{ACCOUNTS, START_MS, Tick, Writer, history, identifier, key};
use super::property::next_time;
use crate::Dataflow;
use crate::oracle::{persons, surviving};

/// Tenant, metric, group.
type Group = (Arc<str>, Arc<str>, Arc<str>);

/// Nobody else.
const PROBE: Subject = Subject(u128::MAX);

/// The person of an event that names the identifier alone.
fn expected(ticks: &[TickInput], account: usize, value: u8) -> Option<Arc<str>> {
    let anonymous = vec![(PROBE, identifier(account, value))];
    let mut ticks = ticks.to_vec();
    ticks.push(TickInput { anonymous, ..TickInput::default() });
    let found = persons(&surviving(&ticks));
    found.into_iter().find(|person| person.aliases.contains(&PROBE)).map(|person| person.canonical)
}

fn check(history: &[Tick]) -> Result<(), TestCaseError> {
    let mut dataflows = [1, 3].map(|workers| Dataflow::start(workers).unwrap());
    let (mut writer, mut ticks) = (Writer::default(), Vec::new());
    let (mut t_ms, mut wakeup) = (START_MS, None);
    for tick in history {
        t_ms = next_time(t_ms, tick.step, wakeup);
        let input = writer.input(t_ms, &tick.says);
        ticks.push(input.clone());
        for dataflow in &mut dataflows {
            wakeup = dataflow.tick(input.clone()).unwrap().next_wakeup_ms;
        }
        for (account, value) in (0..ACCOUNTS.len()).flat_map(|a| (0..4).map(move |v| (a, v))) {
            let [one, three] =
                dataflows.each_mut().map(|flow| flow.find(identifier(account, value).token));
            let (found, same) = (one.unwrap(), three.unwrap());
            prop_assert_eq!(&found, &same);
            let sole = if let [sole] = &found[..] { Some(sole.clone()) } else { None };
            prop_assert_eq!(sole, expected(&ticks, account, value), "of {:?}", found);
        }
    }
    Ok(())
}

/// All persons together count as is published.
fn check_rates(history: &[Tick]) -> Result<(), TestCaseError> {
    let mut dataflow = Dataflow::start(2).unwrap();
    let (mut writer, mut t_ms, mut wakeup) = (Writer::default(), START_MS, None);
    let mut rates: BTreeMap<Group, Rate> = BTreeMap::new();
    let mut members: BTreeMap<(Arc<str>, Arc<str>), Arc<str>> = BTreeMap::new();
    for tick in history {
        t_ms = next_time(t_ms, tick.step, wakeup);
        let output = dataflow.tick(writer.input(t_ms, &tick.says)).unwrap();
        wakeup = output.next_wakeup_ms;
        for change in output.moments.into_iter().flat_map(|moment| moment.changes) {
            match change {
                Change::Metric { account_id, metric, group_key, new, .. } => {
                    rates.insert((account_id, metric, group_key), new);
                }
                Change::Identity { account_id, qontak_customer_id, new: Some(new), .. } => {
                    members.insert((account_id, qontak_customer_id), new);
                }
                Change::Identity { account_id, qontak_customer_id, .. } => {
                    members.remove(&(account_id, qontak_customer_id));
                }
                _ => {}
            }
        }
        let mut sums: BTreeMap<Group, Rate> = BTreeMap::new();
        let mut counted = BTreeSet::new();
        for ((account, member), canonical) in &members {
            let counts = dataflow.counts_in(key().subject(account, member)).unwrap();
            let counts = counts.expect("it is published");
            if !counted.insert((account, canonical)) {
                continue;
            }
            for count in counts {
                let rate = sums.entry((account.clone(), count.metric, count.group_key));
                let rate = rate.or_default();
                rate.denominator += 1;
                rate.numerator += u64::from(count.in_numerator);
            }
        }
        rates.retain(|_, rate| rate.denominator > 0);
        prop_assert_eq!(&sums, &rates);
    }
    prop_assert_eq!(dataflow.counts_in(PROBE).unwrap(), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_identifier_finds_whom_its_events_belong_to(ticks in history()) {
        check(&ticks)?;
    }

    #[test]
    fn persons_count_in_what_is_published(ticks in history()) {
        check_rates(&ticks)?;
    }
}
