//! Explanations against what is published, and against time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::{Change, TickOutput};
use cebe_schemas::explanation::{Explanation, Link, NextChange};
use cebe_schemas::fact::TickInput;
use cebe_schemas::time::Millis;
use proptest::prelude::*;

use super::history::{START_MS, Tick, Who, Writer, history, named, subject};
use super::property::next_time;
use super::sorted;
use crate::{Asked, Dataflow, Explained};

type Text = Arc<str>;

/// By account and segment or account and customer, what was published last.
#[derive(Default)]
struct Published {
    members: BTreeMap<(Text, Text, Text), u32>,
    persons: BTreeMap<(Text, Text), Text>,
}

impl Published {
    fn fold(&mut self, output: &TickOutput) {
        for change in output.moments.iter().flat_map(|moment| &moment.changes) {
            match change.clone() {
                Change::Segment { account_id, segment_id, customer_id, entered, .. }
                    if !entered =>
                {
                    self.members.remove(&(account_id, segment_id, customer_id));
                }
                Change::Segment {
                    account_id, segment_id, customer_id, definition_version, ..
                } => {
                    self.members.insert((account_id, segment_id, customer_id), definition_version);
                }
                Change::Identity { account_id, qontak_customer_id, new, .. } => {
                    let key = (account_id, qontak_customer_id);
                    match new {
                        Some(new) => drop(self.persons.insert(key, new)),
                        None => drop(self.persons.remove(&key)),
                    }
                }
                _ => {}
            }
        }
    }
}

fn explain(dataflow: &mut Dataflow, who: Who, segment_id: &str) -> Explained {
    let asked = Asked {
        account_id: named(who).0,
        customer: subject(who),
        segment_id,
        render: &|token| token.0.to_string(),
    };
    dataflow.explain(&asked).unwrap()
}

/// Whether the links bring all members together.
fn is_connected(explanation: &Explanation) -> bool {
    let person = &explanation.person;
    let mut reached: BTreeSet<_> = [person.customer_id.clone()].into();
    loop {
        let before = reached.len();
        for link in &person.links {
            let (Link::Identifier { customer_ids, .. } | Link::Merged { customer_ids, .. }) = link;
            if customer_ids.iter().any(|id| reached.contains(id)) {
                reached.extend(customer_ids.iter().cloned());
            }
        }
        if reached.len() == before {
            return reached.len() == person.member_ids.len();
        }
    }
}

fn is_in(published: &Published, explanation: &Explanation) -> Option<u32> {
    let Explanation { account_id, segment_id, person, .. } = explanation;
    let key = (account_id.clone(), segment_id.clone(), person.customer_id.clone());
    published.members.get(&key).copied()
}

fn check(ticks: &[Tick], who: Who, segment_id: &str) -> Result<(), TestCaseError> {
    let mut dataflows = [1, 3].map(|workers| Dataflow::start(workers).unwrap());
    let (mut writer, mut published) = (Writer::default(), Published::default());
    let (mut t_ms, mut wakeup) = (START_MS, None);
    let mut last = None;
    for tick in ticks {
        t_ms = next_time(t_ms, tick.step, wakeup);
        let input = writer.input(t_ms, &tick.says);
        let output = sorted(dataflows[0].tick(input.clone()).unwrap());
        prop_assert_eq!(&sorted(dataflows[1].tick(input).unwrap()), &output);
        published.fold(&output);
        wakeup = output.next_wakeup_ms;
        let (account, customer) = named(who);
        let canonical = published.persons.get(&(account.into(), customer.into()));
        let [one, three] = dataflows.each_mut().map(|dataflow| explain(dataflow, who, segment_id));
        last = match (one, three) {
            (Explained::NoCustomer, Explained::NoCustomer) => {
                prop_assert_eq!(canonical, None);
                None
            }
            (Explained::NoSegment, Explained::NoSegment) => {
                prop_assert!(canonical.is_some());
                None
            }
            (Explained::Found(one), Explained::Found(three)) => {
                prop_assert_eq!(&one.explanation, &three.explanation);
                let found = one.explanation;
                prop_assert_eq!(Some(&found.person.customer_id), canonical);
                prop_assert_eq!(is_in(&published, &found), found.entered_by_version);
                prop_assert_eq!(found.is_member, found.entered_by_version.is_some());
                prop_assert!(is_connected(&found), "{:?}", found.person);
                prop_assert_eq!(found.logical_time, t_ms);
                Some(found)
            }
            (one, three) => return Err(TestCaseError::fail(format!("{one:?} {three:?}"))),
        };
    }
    match last {
        Some(found) => check_next_change(&mut dataflows[0], published, &found),
        None => Ok(()),
    }
}

/// Lets time pass: just before the time that was announced nothing has changed, then it has.
fn check_next_change(
    dataflow: &mut Dataflow,
    mut published: Published,
    found: &Explanation,
) -> Result<(), TestCaseError> {
    let mut let_pass = |t_ms: Millis| {
        if t_ms > found.logical_time {
            let output = dataflow.tick(TickInput { t_ms, ..TickInput::default() }).unwrap();
            published.fold(&output);
        }
        is_in(&published, found).is_some()
    };
    match found.next_change {
        NextChange::At(at) => {
            prop_assert_eq!(let_pass(at - 1), found.is_member);
            prop_assert_ne!(let_pass(at), found.is_member);
        }
        NextChange::Never => {
            let hundred_years = 3_200_000_000_000;
            prop_assert_eq!(let_pass(found.logical_time + hundred_years), found.is_member);
        }
        NextChange::NotBefore(_) => {
            return Err(TestCaseError::fail("a small person is known exactly"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn explanations_agree_with_what_is_published(
        ticks in history(),
        who in (0..2usize, 0..4usize),
        segment_id in prop::sample::select(vec![
            "quiet", "high", "replied", "unanswered", "vip", "sent-twice", "clicked", "no-such",
        ]),
    ) {
        check(&ticks, who, segment_id)?;
    }
}
