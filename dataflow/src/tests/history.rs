//! Histories to run: a small world of few names and narrow windows, where everything meets.

use std::sync::Arc;

use cebe_schemas::control::ControlState;
use cebe_schemas::definition::{About, Clause, Definitions, GroupBy, Metric, Segment};
use cebe_schemas::fact::{
    AssertionFact, AttributeFact, AttributeValue, EventFact, GroupName, Identifier,
    IdentifierValue, Known, Linking, MergeFact, Naming, Stamp, TickInput,
};
use cebe_schemas::id::{EventType, Group, IdKey, Subject, Token};
use cebe_schemas::time::{Millis, Retention};
use proptest::prelude::*;
use serde_json::{Value, json};

/// When histories begin, 1970-02-16: late enough for events of more than a month ago.
pub const START_MS: Millis = 4_000_000_000;

pub const ACCOUNTS: [&str; 2] = ["acc-1", "acc-2"];
const CUSTOMERS: [&str; 7] = ["9", "10", "07", "100", "8", "b", "123456789012345678901234567890"];
pub const EVENTS: [&str; 3] = ["broadcast.sent", "broadcast.replied", "ad.clicked"];
/// The first two identify.
const ATTRIBUTES: [&str; 3] = ["phone", "email", "city"];
/// The first is defined sometimes, the second never.
const ASSERTED: [&str; 2] = ["replied", "vip"];
const TEAMS: [&str; 2] = ["team-1", "team-2"];
const HOUR_MS: Millis = 3_600_000;
const MONTH_MS: Millis = 31 * 24 * HOUR_MS;

/// A customer, by position in the lists above.
pub type Who = (usize, usize);

/// One statement of a tick, with times relative to it.
#[derive(Clone, Debug)]
pub enum Say {
    Event {
        who: Who,
        event: usize,
        group: usize,
        ago: Millis,
    },
    Attribute {
        who: Who,
        name: usize,
        value: Option<u8>,
        ago: Millis,
        key: u8,
    },
    Further {
        who: Who,
        value: u8,
    },
    /// An event without a customer id; the set of identifiers has one bit for each value.
    Anonymous {
        account: usize,
        values: u8,
        event: usize,
        group: usize,
        ago: Millis,
        team: Option<usize>,
    },
    /// An assertion of the second segment without a customer id.
    AssertAnonymous {
        account: usize,
        values: u8,
        entered: bool,
        ago: Millis,
    },
    Team {
        who: Who,
        team: usize,
    },
    Assert {
        who: Who,
        segment: usize,
        entered: bool,
        ago: Millis,
        key: u8,
    },
    Merge {
        account: usize,
        pair: (usize, usize),
        linked: bool,
        ago: Millis,
        key: u8,
    },
    Mention {
        who: Who,
    },
    Erase {
        who: Who,
        ago: Millis,
    },
    Definitions(usize),
    Linking(usize),
    /// The same, by a backfill.
    Backfilled(Box<Say>),
}

/// When a tick is, after the one before.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Ms(Millis),
    /// At the wake-up announced, or just before, or just after it; 1 ms later if it is far.
    Wakeup(Millis),
    /// The same, however far it is.
    Far(Millis),
}

/// One tick.
#[derive(Clone, Debug)]
pub struct Tick {
    pub step: Step,
    pub says: Vec<Say>,
}

pub fn key() -> IdKey {
    IdKey::new([7; 16])
}

pub fn subject((account, customer): Who) -> Subject {
    key().subject(ACCOUNTS[account], CUSTOMERS[customer])
}

/// Account and customer as published.
pub fn named((account, customer): Who) -> (&'static str, &'static str) {
    (ACCOUNTS[account], CUSTOMERS[customer])
}

fn known(who: Who, occurred_at_ms: Millis, by: Option<Who>) -> Known {
    Known {
        subject: subject(who),
        account_id: ACCOUNTS[who.0].into(),
        customer_id: CUSTOMERS[who.1].into(),
        occurred_at_ms,
        by: by.map(subject),
        team: None,
    }
}

pub fn identifier(account: usize, value: u8) -> Identifier {
    Identifier {
        token: Token(u128::from(value) + 1000 * account as u128),
        value: IdentifierValue(value.into()),
    }
}

fn fact(
    account: usize,
    event: usize,
    which: usize,
    occurred_at_ms: Millis,
    names: &mut Vec<GroupName>,
) -> EventFact {
    let name = group(account, which);
    let group = name.as_ref().map_or(Group::NONE, |name| name.group);
    names.extend(name);
    EventFact { event: EventType::named(EVENTS[event]), group, occurred_at_ms }
}

/// The sets of protections that histories switch between.
fn linking(which: usize) -> Arc<Linking> {
    let (holders_max, members_max, blocked) = match which {
        0 => (3, 100, None),
        1 => (2, 3, None),
        2 => (1, 100, Some(1)),
        _ => (5, 2, Some(2)),
    };
    let blocked = blocked.into_iter().map(IdentifierValue).collect();
    Arc::new(Linking { holders_max, members_max, blocked })
}

fn group(account: usize, group: usize) -> Option<GroupName> {
    let group_key = (group > 0).then(|| format!("b-{group}"))?;
    Some(GroupName {
        group: key().group(ACCOUNTS[account], &group_key),
        group_key: group_key.into(),
    })
}

/// Segments in the language that authors write, of every kind.
fn written() -> Vec<Arc<Segment>> {
    let when = [
        ("quiet", json!({"not": {"did": "broadcast.sent", "within": "30ms"}})),
        (
            "high",
            json!({"any": [{"attribute": "city", "gte": 2}, {"attribute": "email", "eq": 0}]}),
        ),
        (
            "replied",
            json!({"all": [
                {"did": "broadcast.sent", "then": "broadcast.replied", "within": "15ms"},
                {"any": [{"in_segment": "vip"}, {"not": {"in_segment": "high"}}]},
            ]}),
        ),
        (
            "unanswered",
            json!({"did": "broadcast.sent", "then_not": "broadcast.replied", "within": "12ms",
                "same": "broadcast_id", "recent": "40ms", "at_most": 1}),
        ),
    ];
    let segment = |account_id: &str, (id, when): &(&str, Value)| json!({"segment_id": id, "account_id": account_id, "version": 7, "when": when});
    let all = ACCOUNTS.iter().flat_map(|account| when.iter().map(|one| segment(account, one)));
    let record = json!({"segments": all.collect::<Vec<_>>()}).to_string();
    let mut control = ControlState::new();
    control.apply(record.as_bytes()).unwrap();
    let group_of = |_: &str| Some("broadcast_id".to_owned());
    control.definitions().resolved(group_of, |_, _, text| text.to_owned()).segments
}

/// The sets of definitions that histories switch between.
pub fn definitions(which: usize) -> Arc<Definitions> {
    let segment = |account: usize, id: &str, version, event: usize, at_least, within_ms| {
        let event = EventType::named(EVENTS[event]);
        let when = Clause::did(event, at_least, within_ms);
        let account_id = ACCOUNTS[account].into();
        Arc::new(Segment {
            account_id,
            segment_id: id.into(),
            version,
            when,
            about: About::default(),
        })
    };
    let metric =
        |account: Option<usize>, name: &str, denominator: usize, numerator: usize, within_ms| {
            Arc::new(Metric {
                account_id: account.map(|account| ACCOUNTS[account].into()),
                metric: name.into(),
                version: 1,
                about: About::default(),
                by: GroupBy::Property("group".into()),
                denominator: EventType::named(EVENTS[denominator]).into(),
                numerator: EventType::named(EVENTS[numerator]).into(),
                within_ms,
            })
        };
    let sent_twice = segment(0, "sent-twice", 1, 0, 2, Some(20));
    let replied = segment(0, "replied", 1, 1, 1, None);
    let recently = segment(1, "recently", 3, 0, 1, Some(HOUR_MS + 5));
    let reply_rate = metric(None, "reply_rate", 0, 1, 10);
    let (segments, metrics) = match which {
        0 => (vec![], vec![reply_rate]),
        1 => (vec![replied, sent_twice, recently], vec![reply_rate]),
        2 => (
            vec![segment(0, "replied", 2, 1, 2, Some(50)), sent_twice, recently],
            vec![reply_rate, metric(Some(0), "reply_rate", 0, 1, 25)],
        ),
        3 => (
            vec![segment(0, "clicked", 1, 2, 1, Some(5)), replied],
            vec![metric(Some(1), "clicks", 2, 2, 0), metric(None, "reply_rate", 1, 0, 10)],
        ),
        // Rates by day are compared in the person view.
        _ => {
            let mut metrics = Metric::shipped();
            metrics.retain(|metric| !matches!(metric.by, GroupBy::Day(_)));
            (written(), metrics)
        }
    };
    let retention = if which < 2 { Retention::default() } else { Retention { months: 1 } };
    Arc::new(Definitions { segments, metrics, retention, ..Definitions::default() })
}

/// Makes the inputs of a history, tick by tick.
#[derive(Default)]
pub struct Writer {
    ordinal: u64,
}

impl Writer {
    /// The input of one tick.
    pub fn input(&mut self, t_ms: Millis, says: &[Say]) -> TickInput {
        let mut input = TickInput { t_ms, ..TickInput::default() };
        for say in says {
            self.say(say.clone(), &mut input);
        }
        input
    }

    fn say(&mut self, say: Say, input: &mut TickInput) {
        let t_ms = input.t_ms;
        self.ordinal += 1;
        let ordinal = self.ordinal;
        let stamp = |ago: Millis, key: u8| {
            let key = format!("k{key}").into();
            Stamp { occurred_at_ms: t_ms - ago, key, ordinal }
        };
        match say {
            Say::Event { who, event, group: g, ago } => {
                input.known.push(known(who, t_ms - ago, None));
                let fact = fact(who.0, event, g, t_ms - ago, &mut input.groups);
                input.events.push((subject(who), fact));
            }
            Say::Attribute { who, name, value, ago, key } => {
                input.known.push(known(who, t_ms - ago, None));
                let identifies = name < 2;
                input.namings.extend(
                    value.filter(|_| identifies).map(|value| naming(who, value, t_ms - ago)),
                );
                input.attributes.push(AttributeFact {
                    name: ATTRIBUTES[name].into(),
                    stamp: stamp(ago, key),
                    subject: subject(who),
                    value: value.map(|value| Arc::new(AttributeValue::new(value.into()))),
                    identifier: value.filter(|_| identifies).map(|value| identifier(who.0, value)),
                });
            }
            Say::Further { who, value } => {
                input.known.push(known(who, t_ms, None));
                let identifier = identifier(who.0, value);
                input.identifiers.push((subject(who), identifier, t_ms));
                input.namings.push(naming(who, value, t_ms));
            }
            Say::Anonymous { account, values, event, group: g, ago, team } => {
                let subject = anonymous(account, values, input);
                let teams = team.map(|team| (subject, TEAMS[team].into(), t_ms - ago));
                input.teams.extend(teams);
                input
                    .events
                    .push((subject, fact(account, event, g, t_ms - ago, &mut input.groups)));
            }
            Say::AssertAnonymous { account, values, entered, ago } => {
                let subject = anonymous(account, values, input);
                input.assertions.push(AssertionFact {
                    account_id: ACCOUNTS[account].into(),
                    segment_id: ASSERTED[1].into(),
                    stamp: stamp(ago, 0),
                    subject,
                    entered,
                });
            }
            Say::Team { who, team } => {
                let known = known(who, t_ms, None);
                input.known.push(Known { team: Some(TEAMS[team].into()), ..known });
            }
            Say::Assert { who, segment, entered, ago, key } => {
                input.known.push(known(who, t_ms - ago, None));
                input.assertions.push(AssertionFact {
                    account_id: ACCOUNTS[who.0].into(),
                    segment_id: ASSERTED[segment].into(),
                    stamp: stamp(ago, key),
                    subject: subject(who),
                    entered,
                });
            }
            Say::Merge { account, pair: (a, b), linked, ago, key } => {
                let (a, b) = ((account, a), (account, b));
                let at = t_ms - ago;
                input.known.extend([known(a, at, None), known(b, at, Some(a))]);
                let (a, b) = (subject(a), subject(b));
                let stamp = stamp(ago, key);
                input.merges.push(MergeFact { pair: (a.min(b), a.max(b)), linked, stamp });
            }
            Say::Mention { who } => input.known.push(known(who, t_ms, None)),
            Say::Erase { who, ago } => {
                input.known.push(known(who, t_ms - ago, None));
                input.erasures.push((subject(who), t_ms - ago));
            }
            Say::Definitions(which) => input.definitions = Some(definitions(which)),
            Say::Linking(which) => input.linking = Some(linking(which)),
            Say::Backfilled(say) => {
                let (known, events) = (input.known.len(), input.events.len());
                let assertions = input.assertions.len();
                self.say(*say, input);
                let known = input.known[known..].iter().map(|known| known.subject);
                let events = input.events[events..].iter().map(|(subject, _)| *subject);
                let asserted = input.assertions[assertions..].iter().map(|one| one.subject);
                input.backfilled.extend(known.chain(events).chain(asserted));
            }
        }
    }
}

fn naming(who: Who, value: u8, occurred_at_ms: Millis) -> Naming {
    let account_id = ACCOUNTS[who.0].into();
    let token = identifier(who.0, value).token;
    Naming { account_id, subject: subject(who), token, occurred_at_ms }
}

/// Whoever names these identifiers and no customer.
fn anonymous(account: usize, values: u8, input: &mut TickInput) -> Subject {
    let named = (0..4).filter(|bit| values & (1 << bit) != 0);
    let named: Vec<_> = named.map(|value| identifier(account, value)).collect();
    let subject = key().anonymous(named.iter().map(|found| found.token));
    input.anonymous.extend(named.iter().map(|found| (subject, *found)));
    subject
}

/// Mostly the same few, so that much happens to each.
fn customer() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..3usize, 1 => 0..CUSTOMERS.len()]
}

fn who() -> impl Strategy<Value = Who> {
    (prop_oneof![3 => Just(0), 1 => Just(1usize)], customer())
}

/// Now, lately, in the future, or around an hour ago.
fn ago() -> impl Strategy<Value = Millis> {
    prop_oneof![
        3 => Just(0),
        4 => 0..30i64,
        2 => -25..0i64,
        2 => HOUR_MS - 3..HOUR_MS + 8,
        1 => MONTH_MS - 30..MONTH_MS + 3,
    ]
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        7 => said(),
        1 => said().prop_map(|say| Say::Backfilled(Box::new(say))),
    ]
}

fn said() -> impl Strategy<Value = Say> {
    let value = prop_oneof![4 => (0..4u8).prop_map(Some), 1 => Just(None)];
    let stamp = || (prop_oneof![3 => Just(0), 1 => 0..40i64], 0..3u8);
    prop_oneof![
        10 => (who(), 0..EVENTS.len(), 0..3usize, ago())
            .prop_map(|(who, event, group, ago)| Say::Event { who, event, group, ago }),
        6 => (who(), 0..ATTRIBUTES.len(), value, stamp())
            .prop_map(|(who, name, value, (ago, key))| {
                Say::Attribute { who, name, value, ago, key }
            }),
        2 => (who(), 0..4u8).prop_map(|(who, value)| Say::Further { who, value }),
        4 => (0..ACCOUNTS.len(), 1..16u8, 0..EVENTS.len(), (0..3usize, ago()), prop::option::of(0..2usize))
            .prop_map(|(account, values, event, (group, ago), team)| {
                Say::Anonymous { account, values, event, group, ago, team }
            }),
        1 => (0..ACCOUNTS.len(), 1..16u8, any::<bool>(), ago())
            .prop_map(|(account, values, entered, ago)| {
                Say::AssertAnonymous { account, values, entered, ago }
            }),
        1 => (who(), 0..TEAMS.len()).prop_map(|(who, team)| Say::Team { who, team }),
        4 => (who(), 0..ASSERTED.len(), any::<bool>(), stamp())
            .prop_map(|(who, segment, entered, (ago, key))| {
                Say::Assert { who, segment, entered, ago, key }
            }),
        5 => (0..ACCOUNTS.len(), customer(), 1..3usize, any::<bool>(), stamp())
            .prop_map(|(account, a, by, linked, (ago, key))| {
                Say::Merge { account, pair: (a, (a + by) % CUSTOMERS.len()), linked, ago, key }
            }),
        1 => who().prop_map(|who| Say::Mention { who }),
        2 => (who(), prop_oneof![1 => Just(0), 2 => -10..60i64])
            .prop_map(|(who, ago)| Say::Erase { who, ago }),
        1 => (0..5usize).prop_map(Say::Definitions),
        1 => (0..4usize).prop_map(Say::Linking),
    ]
}

fn tick() -> impl Strategy<Value = Tick> {
    let step = prop_oneof![
        4 => (1..30i64).prop_map(Step::Ms),
        1 => (HOUR_MS - 10..HOUR_MS + 40).prop_map(Step::Ms),
        3 => (-1..2i64).prop_map(Step::Wakeup),
        1 => (-1..2i64).prop_map(Step::Far),
    ];
    let repeated = prop::collection::vec((say(), 1..3usize), 0..8);
    (step, repeated).prop_map(|(step, says)| {
        let says = says.into_iter().flat_map(|(say, times)| vec![say; times]).collect();
        Tick { step, says }
    })
}

/// Up to 24 ticks, the first of which defines something.
pub fn history() -> impl Strategy<Value = Vec<Tick>> {
    let first = (1..5usize, prop::option::of(0..4usize), prop::collection::vec(say(), 0..3));
    let first = first.prop_map(|(which, linking, mut says)| {
        says.push(Say::Definitions(which));
        says.extend(linking.map(Say::Linking));
        Tick { step: Step::Ms(1), says }
    });
    (first, prop::collection::vec(tick(), 1..24)).prop_map(|(first, mut ticks)| {
        ticks.insert(0, first);
        ticks
    })
}
