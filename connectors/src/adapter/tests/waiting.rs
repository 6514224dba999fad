//! Definitions that wait for history: an engine that reads it, beside an adapter that foresaw all.

use std::collections::BTreeMap;

use cebe_schemas::definition::Selectors;
use cebe_schemas::fact::EventFact;
use cebe_schemas::history::HistoryRecord;
use cebe_schemas::id::{EventType, Subject};

use super::*;
use crate::history::slices::{PastEvent, Slicer};

/// Everything that an engine and its readers have, and the adapter that foresaw it.
struct World {
    engine: Adapter<MemoryKeyIndex>,
    foreseen: Adapter<MemoryKeyIndex>,
    /// The view `events`.
    events: Vec<PastEvent>,
    ticks: Vec<(Millis, u64, Vec<Record>)>,
    offsets: BTreeMap<String, i64>,
    held: BTreeMap<(EventType, Subject, EventFact), i32>,
    expected: BTreeMap<(EventType, Subject, EventFact), i32>,
    in_force: Arc<Definitions>,
    /// Records that are not bound.
    pending: Vec<Record>,
    /// Every record of history.
    written: Vec<String>,
    /// What the last slice is of, and where it ends.
    last: (Vec<EventType>, u64),
}

impl World {
    /// Sources are on. `controls` are all control records that there will be.
    fn new(controls: &[Value]) -> World {
        let mut foreseen = adapter(MemoryKeyIndex::default()).with_past(Past::Checked);
        for record in controls {
            let mut control = ControlState::new();
            if control.apply(record.to_string().as_bytes()).is_ok() {
                foreseen.foresee(&control.definitions());
            }
        }
        let mut world = World {
            engine: adapter(MemoryKeyIndex::default()),
            foreseen,
            events: Vec::new(),
            ticks: Vec::new(),
            offsets: BTreeMap::new(),
            held: BTreeMap::new(),
            expected: BTreeMap::new(),
            in_force: Arc::default(),
            pending: Vec::new(),
            written: Vec::new(),
            last: (Vec::new(), 0),
        };
        world.control(&json!({"sources": {"cdp": "on", "broadcast": "on"}}));
        world.tick();
        world
    }

    fn add(&mut self, topic: &str, payload: String) {
        let offset = self.offsets.entry(topic.to_owned()).or_default();
        self.pending.push(record(topic, *offset, payload));
        *offset += 1;
    }

    fn control(&mut self, record: &Value) {
        self.add("cebe.control", record.to_string());
    }

    fn history(&mut self, record: String) {
        self.written.push(record.clone());
        self.add("cebe.history", record);
    }

    /// An event that happened so long before `T`.
    fn event(&mut self, name: &str, customer: &str, ago: Millis, mut properties: Value) {
        properties["broadcast_id"] = json!("b");
        let key = self.offsets.get("cebe.events.broadcast").copied().unwrap_or(0).to_string();
        let mut more = json!({"occurred_at": T - ago, "properties": properties});
        if customer.is_empty() {
            more["qontak_customer_id"] = json!(null);
            more["identifiers"] = json!([{"type": "phone", "value": "0812-3456-7890"},
                {"type": "email", "value": "x@y.example"}]);
        }
        self.add("cebe.events.broadcast", event(name, &key, customer, more).to_string());
    }

    /// Writes the history of one backlog through at most `events` events, as a reader of now would;
    /// if `ahead`, as one who counts on the last slice.
    fn read(&mut self, which: usize, events: usize, ahead: bool) {
        let mut backlogs = self.engine.backlogs();
        let count = backlogs.len().max(1);
        let Some(backlog) = backlogs.get_mut(which % count) else { return };
        let selectors: Vec<EventType> = backlog.selectors.iter().map(|s| s.event()).collect();
        if ahead && self.last.0 == selectors && self.last.1 < backlog.until {
            backlog.next = self.last.1.max(backlog.next);
        }
        let backlog = &*backlog;
        let keys = Keys::development();
        let mut slicer = Slicer::new(backlog, &keys);
        let names: Vec<&str> = backlog.selectors.iter().map(|selector| selector.name()).collect();
        let range = backlog.next..backlog.until;
        let asked = |event: &&PastEvent| {
            range.contains(&event.ordinal) && names.contains(&&*event.event_name)
        };
        let mut found = self.events.iter().filter(asked).peekable();
        for event in found.by_ref().take(events) {
            slicer.push(event);
        }
        let to = found.peek().map_or(backlog.until, |next| next.ordinal);
        self.last = (selectors, to);
        for slice in slicer.finish(to) {
            self.history(serde_json::to_string(&HistoryRecord::Slice(slice)).unwrap());
        }
    }

    /// Binds what is pending, in the order of topics.
    fn tick(&mut self) -> AdaptedTick {
        let mut records = std::mem::take(&mut self.pending);
        records.sort_by(|a, b| (&a.topic, a.offset).cmp(&(&b.topic, b.offset)));
        let (t_ms, ordinal) = self
            .ticks
            .last()
            .map_or((T, 0), |(t_ms, first, records)| (t_ms + 1, first + records.len() as u64));
        let tick = self.engine.adapt(t_ms, ordinal, &records).unwrap();
        let twin = self.foreseen.adapt(t_ms, ordinal, &records).unwrap();
        self.ticks.push((t_ms, ordinal, records));
        assert_eq!(tick.rows, twin.rows);
        assert_eq!(tick.input.definitions, twin.input.definitions);
        assert!(twin.input.past.is_empty(), "what was foreseen is not read");
        self.events.extend(events(&tick).into_iter().map(|row| PastEvent {
            backfill_job: row.backfill_job.to_string(),
            ordinal: row.ordinal,
            event_name: row.event_name.to_string(),
            qontak_customer_id: row.qontak_customer_id.to_string(),
            occurred_at_ms: row.occurred_at,
            payload: row.payload.clone(),
            identifier_tokens: row.identifier_tokens.clone(),
        }));
        for (facts, input) in [(&mut self.held, &tick.input), (&mut self.expected, &twin.input)] {
            for (subject, fact) in input.events.iter().chain(&input.past) {
                *facts.entry((fact.event, *subject, *fact)).or_default() += 1;
                let named = |name: &&cebe_schemas::fact::GroupName| name.group == fact.group;
                let is_named = input.groups.iter().any(|name| named(&name));
                assert!(fact.group == cebe_schemas::id::Group::NONE || is_named, "{fact:?}");
            }
        }
        if let Some(definitions) = &tick.input.definitions {
            self.in_force = definitions.clone();
        }
        self.compare();
        tick
    }

    /// What the definitions in force look at is held, each fact as often as there are such events.
    fn compare(&self) {
        for (_, selector) in Selectors::new(&self.in_force).iter() {
            let of = |facts: &BTreeMap<(EventType, Subject, EventFact), i32>| {
                let facts = facts.iter().filter(|((event, ..), _)| *event == selector.event());
                facts.map(|(fact, count)| (*fact, *count)).collect::<Vec<_>>()
            };
            assert_eq!(of(&self.held), of(&self.expected), "{selector:?}");
        }
    }

    /// Reads until nothing waits.
    fn settle(&mut self) {
        for _ in 0..200 {
            if self.engine.backlogs().is_empty() {
                break;
            }
            self.read(0, 3, false);
            self.tick();
        }
        assert_eq!(self.engine.waiting(), [], "it waits for ever");
    }

    /// A new engine over the same log is where this one is.
    fn replay(&self) {
        let mut again = adapter(MemoryKeyIndex::default());
        let mut held = BTreeMap::new();
        for (t_ms, ordinal, records) in &self.ticks {
            let input = again.adapt(*t_ms, *ordinal, records).unwrap().input;
            for (subject, fact) in input.events.iter().chain(&input.past) {
                *held.entry((fact.event, *subject, *fact)).or_default() += 1;
            }
        }
        assert_eq!(held, self.held);
        assert_eq!(again.backlogs(), self.engine.backlogs());
        assert_eq!(again.waiting(), self.engine.waiting());
        assert_eq!(again.control(), self.engine.control());
        assert_eq!(again.unannounced(), self.engine.unannounced());
    }

    fn rejected(&self, tick: &AdaptedTick) -> Vec<i64> {
        rejected(tick).into_iter().map(|row| row.offset).collect()
    }

    fn segments(&self) -> Vec<&str> {
        self.in_force.segments.iter().map(|segment| &*segment.segment_id).collect()
    }
}

fn segment(id: &str, when: Value) -> Value {
    json!({"segments": [{"segment_id": id, "account_id": "a", "when": when}]})
}

fn over_wa(name: &str) -> Value {
    json!({"did": name, "where": [{"property": "channel", "eq": "wa"}]})
}

fn by_channel() -> Value {
    json!({"metrics": [{"metric": "m", "account_id": "a", "denominator": "broadcast.sent",
        "numerator": "broadcast.replied", "group_by": "channel", "within": "1d",
        "numerator_where": [{"property": "n", "gte": 1}]}]})
}

fn remove(id: &str) -> Value {
    json!({"remove_segments": [{"segment_id": id, "account_id": "a"}]})
}

/// Three events over `wa`, one not, one of nobody known; then `records`, in one tick with another.
fn begun(records: &[Value]) -> World {
    let mut world = World::new(records);
    for (customer, channel) in [("1", "wa"), ("2", "sms"), ("1", "wa"), ("", "wa")] {
        world.event("broadcast.sent", customer, 9, json!({"channel": channel}));
        world.tick();
    }
    records.iter().for_each(|record| world.control(record));
    world.event("broadcast.sent", "3", 9, json!({"channel": "wa"}));
    world.tick();
    world
}

#[test]
fn a_definition_waits_for_its_history_and_is_then_in_force_at_once() {
    let mut world = begun(&[segment("s", over_wa("broadcast.sent"))]);
    assert_eq!(world.segments(), Vec::<&str>::new());
    let [waits] = &world.engine.waiting()[..] else { panic!("{:?}", world.engine.waiting()) };
    assert_eq!((waits.offset, &*waits.definitions[0].id), (1, "s"));
    assert_eq!((waits.missing[0].next, waits.missing[0].until), (0, 5));
    assert_eq!(world.engine.unannounced(), world.engine.waiting());
    world.history(serde_json::to_string(&HistoryRecord::Waits(waits.clone())).unwrap());
    world.tick();
    assert_eq!(world.engine.unannounced(), []);
    world.read(0, 2, false);
    assert_eq!(world.tick().input.past.len(), 1);
    assert_eq!(world.segments(), Vec::<&str>::new());
    world.read(0, 9, false);
    let tick = world.tick();
    assert_eq!((tick.input.past.len(), world.segments()), (2, vec!["s"]));
    assert!(tick.input.events.is_empty(), "what is past causes nothing");
    // Put again, or in other words, it waits no more.
    world.control(&segment("t", over_wa("broadcast.sent")));
    world.tick();
    assert_eq!(world.segments(), ["s", "t"]);
    world.replay();
}

#[test]
fn a_selector_that_two_definitions_share_is_read_once() {
    let other = json!({"all": [over_wa("broadcast.sent"), over_wa("broadcast.read")]});
    let mut world = begun(&[segment("s", over_wa("broadcast.sent")), segment("t", other.clone())]);
    assert_eq!(world.engine.backlogs().len(), 1);
    world.read(0, 2, false);
    world.tick();
    // While it is read a third one comes that looks at more.
    world.event("broadcast.read", "1", 9, json!({"channel": "wa"}));
    world.tick();
    world.settle();
    assert_eq!(world.segments(), ["s", "t"]);
    world.replay();
}

#[test]
fn slices_that_come_twice_or_too_early_change_nothing() {
    let mut world = begun(&[segment("s", over_wa("broadcast.sent"))]);
    world.read(0, 1, false);
    world.read(0, 3, false);
    let written = world.written.clone();
    assert_eq!(world.tick().input.past.len(), 1, "the other begins where the first did");
    world.history(written[0].clone());
    world.history(written[1].clone());
    world.history("no json".into());
    world.history(r#"{"slice": {"account_id": "a", "selectors": [], "from": 0, "to": 9}}"#.into());
    assert!(world.tick().input.past.is_empty());
    world.settle();
    assert_eq!(world.segments(), ["s"]);
    world.history(written[1].clone());
    assert!(world.tick().input.past.is_empty());
    world.replay();
}

#[test]
fn who_is_put_or_removed_again_while_it_waits_is_dropped() {
    let first = segment("s", over_wa("broadcast.sent"));
    let edited = segment("s", json!({"did": "broadcast.sent"}));
    for (later, expected) in [(edited, vec!["s"]), (remove("s"), vec![])] {
        let mut world = begun(&[first.clone(), later.clone()]);
        assert_eq!((world.engine.waiting(), world.segments()), (vec![], expected.clone()));
        world.settle();
        assert_eq!(world.segments(), expected);
    }
    // A record that is wrong supersedes nobody.
    let wrong = json!({"segments": [{"segment_id": "s", "account_id": "a", "when": {}}]});
    let mut world = begun(&[first.clone(), wrong]);
    world.settle();
    assert_eq!(world.segments(), ["s"]);
    // What was read for the one that is gone is not read again.
    let mut world = begun(std::slice::from_ref(&first));
    world.read(0, 2, false);
    world.tick();
    world.control(&remove("s"));
    world.tick();
    assert_eq!(world.engine.backlogs(), []);
    world.control(&first);
    world.tick();
    assert_eq!((world.engine.backlogs()[0].next, world.engine.backlogs()[0].until), (3, 5));
    world.settle();
    assert_eq!(world.segments(), ["s"]);
    world.replay();
}

#[test]
fn what_has_become_wrong_by_then_is_rejected_then() {
    let circle = json!({"all": [over_wa("broadcast.sent"), {"in_segment": "t"}]});
    let mut world = begun(&[segment("s", circle)]);
    world.control(&segment("t", json!({"in_segment": "s"})));
    let tick = world.tick();
    assert_eq!((world.rejected(&tick), world.segments()), (vec![], vec!["t"]));
    world.read(0, 9, false);
    let tick = world.tick();
    assert_eq!((world.rejected(&tick), world.segments()), (vec![1], vec!["t"]));
    assert_eq!(rejected(&tick)[0].logical_time, tick.input.t_ms);
    assert_eq!(world.engine.waiting(), []);
}

#[test]
fn nothing_waits_for_events_that_nobody_has_seen() {
    let mut world = begun(&[segment("s", over_wa("broadcast.read"))]);
    assert_eq!((world.segments(), world.engine.waiting()), (vec!["s"], vec![]));
    // An erased event gives nothing, and one of nobody neither.
    world.control(&segment("t", over_wa("broadcast.sent")));
    world.tick();
    world.events[0].payload.clear();
    world.events[2].qontak_customer_id.clear();
    world.read(0, 9, false);
    let slice = world.written.last().unwrap();
    assert_eq!(slice.matches("\"subject\"").count(), 2, "{slice}");
}

#[derive(Clone, Debug)]
enum Step {
    Event(usize, usize, Millis, usize, u8),
    Control(usize),
    Read(usize, usize, bool),
    Again(usize),
    Tick,
}

fn controls() -> Vec<Value> {
    let same = json!({"did": "broadcast.sent", "then": "broadcast.replied", "same": "channel"});
    let both = json!({"any": [over_wa("broadcast.sent"), over_wa("broadcast.replied")]});
    let in_other = json!({"all": [over_wa("broadcast.replied"), {"in_segment": "s"}]});
    let mixed = json!({"segments": [{"segment_id": "v", "account_id": "a", "when": same}],
        "metrics": by_channel()["metrics"], "settings": {"max_customers_per_identifier": 3}});
    vec![
        segment("s", over_wa("broadcast.sent")),
        segment("s", json!({"did": "broadcast.sent"})),
        segment("s", json!({"in_segment": "u"})),
        segment("t", same),
        segment("t", both),
        segment("u", in_other),
        remove("s"),
        remove("t"),
        by_channel(),
        json!({"remove_metrics": [{"metric": "m", "account_id": "a"}]}),
        mixed,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0usize..2, 0usize..4, 0i64..99, 0usize..3, 0u8..3);
    prop_oneof![
        8 => event.prop_map(|(name, who, ago, channel, n)| Step::Event(name, who, ago, channel, n)),
        3 => (0usize..controls().len()).prop_map(Step::Control),
        5 => (0usize..3, 1usize..5, any::<bool>())
            .prop_map(|(which, events, ahead)| Step::Read(which, events, ahead)),
        2 => (0usize..100).prop_map(Step::Again),
        6 => Just(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever comes in between, twice, from two writers or too late: what definitions in force look
    /// at is held exactly, at every time, and a replay is at the same place.
    #[test]
    fn history_is_whole_and_never_doubled(steps in prop::collection::vec(step(), 1..80)) {
        let controls = controls();
        let mut world = World::new(&controls);
        for step in steps {
            match step {
                Step::Event(name, who, ago, channel, n) => {
                    let name = ["broadcast.sent", "broadcast.replied"][name];
                    let channel = ["wa", "sms", ""][channel];
                    let properties = json!({"channel": channel, "n": n});
                    world.event(name, ["1", "2", "3", ""][who], ago, properties);
                }
                Step::Control(which) => world.control(&controls[which]),
                Step::Read(which, events, ahead) => world.read(which, events, ahead),
                Step::Again(which) => {
                    if let Some(record) = world.written.get(which).cloned() {
                        world.history(record);
                    }
                }
                Step::Tick => drop(world.tick()),
            }
        }
        world.tick();
        world.replay();
        world.settle();
        world.replay();
    }
}
