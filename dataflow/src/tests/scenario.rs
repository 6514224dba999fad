//! Single stories, each of one rule.

use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Rate, TickOutput};
use cebe_schemas::fact::{Slot, TickInput};
use cebe_schemas::time::Millis;

use super::history::{START_MS, Say, Who, Writer};
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
        self.dataflow.tick(input).unwrap()
    }

    /// The changes of a tick, each with its time after the start.
    fn changes(&mut self, at: Millis, says: &[Say]) -> Vec<(Millis, Change)> {
        let moments = self.tick(at, says).moments.into_iter();
        moments.flat_map(|m| m.changes.into_iter().map(move |c| (m.t_ms - START_MS, c))).collect()
    }
}

fn event(who: Who, event: usize, group: usize) -> Say {
    Say::Event { who, event, group, ago: 0 }
}

fn phone(who: Who, token: Option<u8>) -> Say {
    Say::Identifier { who, slot: Slot::Phone, token, ago: 0, key: 0 }
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
    assert_eq!(story.tick(31, &[]).next_wakeup_ms, None);
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
    assert_eq!(edited, [(2, segment("replied", "10", false, 2, Cause::Definition))]);
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
