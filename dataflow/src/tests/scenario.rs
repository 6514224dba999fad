//! Single stories, each of one rule.

use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Profile, Rate, TickOutput};
use cebe_schemas::definition::{About, Clause, Definitions, Segment};
use cebe_schemas::fact::{AttributeValue, TickInput};
use cebe_schemas::id::EventType;
use cebe_schemas::time::{Millis, Retention};

use super::history::{ACCOUNTS, EVENTS, START_MS, Say, Who, Writer};
use super::sorted;
use crate::{Dataflow, DataflowError};

/// Customers "9", "10" and "07" of the first account.
const NINE: Who = (0, 0);
const TEN: Who = (0, 1);
const SEVEN: Who = (0, 2);
const SENT: usize = 0;
const REPLIED: usize = 1;

/// A dataflow on two workers, and its time.
struct Story {
    dataflow: Dataflow,
    writer: Writer,
}

impl Story {
    fn new() -> Story {
        let mut story = Story { dataflow: Dataflow::start(2).unwrap(), writer: Writer::default() };
        story.tick(0, &[Say::Definitions(1)]);
        story
    }

    fn tick(&mut self, at: Millis, says: &[Say]) -> TickOutput {
        let input = self.writer.input(START_MS + at, says);
        sorted(self.dataflow.tick(input).unwrap())
    }

    /// The changes of a tick but for profiles and sightings, each with its time after the start.
    fn changes(&mut self, at: Millis, says: &[Say]) -> Vec<(Millis, Change)> {
        let mut all = self.all_changes(at, says);
        all.retain(|(_, change)| !matches!(change, Change::Customer { .. } | Change::Seen { .. }));
        all
    }

    fn all_changes(&mut self, at: Millis, says: &[Say]) -> Vec<(Millis, Change)> {
        let moments = self.tick(at, says).moments.into_iter();
        moments.flat_map(|m| m.changes.into_iter().map(move |c| (m.t_ms - START_MS, c))).collect()
    }
}

fn event(who: Who, event: usize, group: usize) -> Say {
    Say::Event { who, event, group, ago: 0 }
}

fn phone(who: Who, value: Option<u8>) -> Say {
    Say::Attribute { who, name: 0, value, ago: 0, key: 0 }
}

fn merge(a: usize, b: usize, linked: bool) -> Say {
    Say::Merge { account: 0, pair: (a, b), linked, ago: 0, key: 0 }
}

fn identity(member: &str, old: Option<&str>, new: &str, cause: Cause) -> Change {
    Change::Identity {
        account_id: "acc-1".into(),
        qontak_customer_id: member.into(),
        old: old.map(Arc::from),
        new: Some(new.into()),
        cause,
    }
}

fn segment(id: &str, customer: &str, entered: bool, version: u32, cause: Cause) -> Change {
    Change::Segment {
        account_id: "acc-1".into(),
        segment_id: id.into(),
        customer_id: customer.into(),
        entered,
        definition_version: version,
        cause,
    }
}

fn reply_rate(old: (u64, u64), new: (u64, u64), cause: Cause) -> Change {
    let rate = |(numerator, denominator)| Rate { numerator, denominator };
    Change::Metric {
        account_id: "acc-1".into(),
        metric: "reply_rate".into(),
        group_key: "b-1".into(),
        old: rate(old),
        new: rate(new),
        cause,
    }
}

#[test]
fn a_shared_phone_merges_and_a_changed_one_unmerges() {
    let mut story = Story::new();
    let first = story.changes(1, &[phone(TEN, Some(1))]);
    assert_eq!(first, [(1, identity("10", None, "10", Cause::Event))]);
    let shared = story.changes(2, &[phone(NINE, Some(1))]);
    let renamed = identity("10", Some("10"), "9", Cause::Merge);
    assert_eq!(shared, [(2, renamed), (2, identity("9", None, "9", Cause::Event))]);
    let changed = story.changes(3, &[phone(TEN, Some(2))]);
    assert_eq!(changed, [(3, identity("10", Some("9"), "10", Cause::Unmerge))]);
}

#[test]
fn the_canonical_id_is_shortlex_least_and_segments_follow_it() {
    let mut story = Story::new();
    story.tick(1, &[event(TEN, REPLIED, 0)]);
    let merged = story.changes(2, &[merge(2, 1, true), Say::Mention { who: SEVEN }]);
    let expected = [
        identity("07", None, "07", Cause::Event),
        identity("10", Some("10"), "07", Cause::Merge),
        segment("replied", "07", true, 1, Cause::Merge),
        segment("replied", "10", false, 1, Cause::Merge),
    ];
    assert_eq!(merged, expected.map(|change| (2, change)));
}

#[test]
fn a_window_is_left_at_exactly_its_end_and_announced() {
    let mut story = Story::new();
    story.tick(1, &[event(NINE, SENT, 1)]);
    let twice = story.tick(5, &[event(NINE, SENT, 1)]);
    assert_eq!(twice.next_wakeup_ms, Some(START_MS + 21));
    assert_eq!(story.changes(20, &[]), []);
    let left = segment("sent-twice", "9", false, 1, Cause::Time);
    assert_eq!(story.changes(30, &[]), [(21, left)]);
    // Two years later the first one leaves the rate.
    assert_eq!(story.tick(31, &[]).next_wakeup_ms, Some(Retention::default().end(START_MS + 1)));
}

#[test]
fn what_would_have_happened_anyway_has_cause_time() {
    let mut story = Story::new();
    story.tick(1, &[event(NINE, SENT, 1)]);
    story.tick(5, &[event(NINE, SENT, 1)]);
    let left = segment("sent-twice", "9", false, 1, Cause::Time);
    assert_eq!(
        story.changes(21, &[event(NINE, REPLIED, 2)])[0].1,
        segment("replied", "9", true, 1, Cause::Event)
    );
    story.tick(40, &[event(NINE, SENT, 0), event(NINE, SENT, 0)]);
    assert_eq!(story.changes(60, &[event(NINE, SENT, 0)]), [(60, left)]);
}

#[test]
fn a_reply_counts_in_its_window_with_both_ends_in() {
    let mut story = Story::new();
    let sent = story.changes(1, &[event(NINE, SENT, 1), event(TEN, SENT, 1)]);
    assert!(sent.contains(&(1, reply_rate((0, 0), (0, 2), Cause::Event))));
    let replied = story.changes(11, &[event(NINE, REPLIED, 1)]);
    assert!(replied.contains(&(11, reply_rate((0, 2), (1, 2), Cause::Event))));
    let too_late = story.changes(12, &[event(TEN, REPLIED, 1)]);
    assert!(!too_late.iter().any(|(_, change)| matches!(change, Change::Metric { .. })));
    let merged = story.changes(13, &[merge(0, 1, true)]);
    assert!(merged.contains(&(13, reply_rate((1, 2), (1, 1), Cause::Merge))));
}

#[test]
fn an_edited_segment_publishes_only_differences() {
    let mut story = Story::new();
    story.tick(1, &[event(NINE, REPLIED, 0), event(NINE, REPLIED, 0), event(TEN, REPLIED, 0)]);
    let edited = story.changes(2, &[Say::Definitions(2)]);
    assert_eq!(edited, [(2, segment("replied", "10", false, 1, Cause::Definition))]);
}

/// The wake-up of one definition moves behind that of another, which the event is not about.
#[test]
fn a_window_of_others_ends_in_time_when_the_soonest_is_prolonged() {
    let mut story = Story { dataflow: Dataflow::start(2).unwrap(), writer: Writer::default() };
    let within = |id: &str, event: usize, within_ms| {
        let (account_id, about) = (ACCOUNTS[0].into(), About::default());
        let when = Clause::did(EventType::named(EVENTS[event]), 1, Some(within_ms));
        Arc::new(Segment { account_id, segment_id: id.into(), version: 1, when, about })
    };
    let segments = vec![within("a", SENT, 18), within("b", REPLIED, 20)];
    let both = [event(NINE, SENT, 0), event(NINE, REPLIED, 0)];
    let mut input = story.writer.input(START_MS, &both);
    input.definitions = Some(Arc::new(Definitions { segments, ..Definitions::default() }));
    let first = story.dataflow.tick(input).unwrap();
    assert_eq!(first.next_wakeup_ms, Some(START_MS + 18));
    let prolonged = story.tick(5, &[event(NINE, SENT, 0)]);
    assert_eq!(prolonged.next_wakeup_ms, Some(START_MS + 20));
    let left = story.changes(30, &[]);
    let exits = [(20, "b"), (23, "a")];
    assert_eq!(left, exits.map(|(at, id)| (at, segment(id, "9", false, 1, Cause::Time))));
}

#[test]
fn the_definitions_of_the_first_tick_have_always_been_in_force() {
    let mut story = Story { dataflow: Dataflow::start(2).unwrap(), writer: Writer::default() };
    let first = story.changes(0, &[Say::Definitions(1), event(NINE, REPLIED, 0)]);
    let entered = segment("replied", "9", true, 1, Cause::Event);
    assert_eq!(first, [(0, identity("9", None, "9", Cause::Event)), (0, entered)]);
}

#[test]
fn asserted_and_defined_membership_are_a_union() {
    let mut story = Story::new();
    let assert = |entered| Say::Assert { who: NINE, segment: 0, entered, ago: 0, key: 0 };
    let entered = story.changes(1, &[assert(true)]);
    assert_eq!(entered[1], (1, segment("replied", "9", true, 0, Cause::Event)));
    assert_eq!(story.changes(2, &[event(NINE, REPLIED, 0)]), []);
    assert_eq!(story.changes(3, &[assert(false)]), []);
    // By version 2 one reply is not enough; it had entered by nobody's definition.
    let left = segment("replied", "9", false, 0, Cause::Definition);
    assert_eq!(story.changes(4, &[Say::Definitions(2)]), [(4, left)]);
}

#[test]
fn a_profile_has_the_last_value_of_all_members() {
    let mut story = Story::new();
    let city = |who, value, ago| Say::Attribute { who, name: 2, value, ago, key: 0 };
    story.tick(10, &[city(NINE, Some(1), 0), city(TEN, Some(2), 5), event(TEN, SENT, 0)]);
    let value = |n: u8| vec![("city".into(), Arc::new(AttributeValue::new(n.into())))];
    let profile = |members: &[&str], attributes| {
        let member_ids = members.iter().map(|id| Arc::from(*id)).collect();
        Some(Arc::new(Profile { member_ids, attributes, team_ids: vec![] }))
    };
    let customer = |customer_id: &str, old, new| {
        let account_id = "acc-1".into();
        let customer_id = customer_id.into();
        Change::Customer { account_id, customer_id, old, new, cause: Cause::Merge }
    };
    let merged = story.all_changes(11, &[merge(0, 1, true)]);
    let expected = [
        customer("10", profile(&["10"], value(2)), None),
        customer("9", profile(&["9"], value(1)), profile(&["9", "10"], value(1))),
    ];
    assert_eq!(merged[1..3], expected.map(|change| (11, change)));
    // Null competes like any value; if it wins, the attribute is absent.
    let cleared = story.all_changes(12, &[city(TEN, None, 0)]);
    let Change::Customer { new, .. } = &cleared[0].1 else { panic!("{cleared:?}") };
    assert_eq!(*new, profile(&["9", "10"], vec![]));
}

#[test]
fn too_many_holders_and_too_many_members_are_listed_and_linked_no_more() {
    let mut story = Story::new();
    story.tick(1, &[Say::Linking(1), phone(NINE, Some(1)), phone(TEN, Some(1))]);
    let hub = story.changes(2, &[phone(SEVEN, Some(1))]);
    let split: Vec<_> = hub.iter().filter(|(_, c)| matches!(c, Change::Identity { .. })).collect();
    assert_eq!(
        split,
        [
            &(2, identity("07", None, "07", Cause::Event)),
            &(2, identity("10", Some("9"), "10", Cause::Unmerge)),
        ]
    );
    let listed = |change: &&(Millis, Change)| matches!(change.1, Change::Quarantine { .. });
    assert_eq!(hub.iter().filter(listed).count(), 3);
    // Three holders may be: the same history, derived anew.
    let again = story.changes(3, &[Say::Linking(0)]);
    let ended = |change: &&(Millis, Change)| {
        matches!(change.1, Change::Quarantine { entered: false, cause: Cause::Merge, .. })
    };
    assert_eq!(again.iter().filter(ended).count(), 3, "{again:?}");
    assert!(again.contains(&(3, identity("07", Some("07"), "9", Cause::Merge))), "{again:?}");
    // Two members may be, unless they are linked explicitly.
    story.tick(4, &[merge(0, 1, true)]);
    let cut = story.changes(5, &[Say::Linking(3)]);
    assert_eq!(cut[0], (5, identity("07", Some("9"), "07", Cause::Unmerge)));
    assert!(cut[1..].iter().all(|(_, change)| matches!(change, Change::Quarantine { .. })));
    assert_eq!(cut.len(), 4, "{cut:?}");
}

#[test]
fn time_must_grow() {
    let mut story = Story::new();
    let input = |t_ms| TickInput { t_ms, ..TickInput::default() };
    let again = story.dataflow.tick(input(START_MS));
    assert_eq!(again, Err(DataflowError::TimeNotLater { t_ms: START_MS, last_ms: START_MS }));
    let negative = story.dataflow.tick(input(-1));
    assert_eq!(negative, Err(DataflowError::TimeOutOfRange { t_ms: -1 }));
    assert!(story.dataflow.tick(input(START_MS + 1)).is_ok());
    story.dataflow.shutdown();
}

#[test]
fn a_group_without_a_name_is_an_error_for_good() {
    let mut story = Story::new();
    let mut input = story.writer.input(START_MS + 1, &[event(NINE, SENT, 1)]);
    input.groups.clear();
    let unnamed = story.dataflow.tick(input);
    assert!(matches!(unnamed, Err(DataflowError::UnnamedGroup { .. })), "{unnamed:?}");
    let after = story.dataflow.tick(TickInput { t_ms: START_MS + 2, ..TickInput::default() });
    assert_eq!(after, Err(DataflowError::Failed));
}

#[test]
fn the_number_of_workers_has_limits() {
    for workers in [0, crate::WORKERS_MAX + 1] {
        let refused = Dataflow::start(workers).err();
        assert_eq!(refused, Some(DataflowError::Workers { workers, max: crate::WORKERS_MAX }));
    }
}
