//! Random histories as lines of a file: a small world of few names and narrow windows, where
//! everything meets.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::pool::{CUSTOMERS, EVENTS, metric, segment, settings, sources};
use super::writer::Writer;

pub const START_MS: i64 = 1_795_000_000_000;
pub const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Widths of the windows that definitions have.
pub const WIDTHS: [i64; 6] = [30 * MINUTE_MS, 2 * HOUR_MS, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 5];

/// A customer, by position in the lists above.
type Who = (usize, usize);

#[derive(Clone, Debug)]
pub enum Say {
    /// Positions of event, group (0: none), channel and value; team.
    Event {
        who: Who,
        event: usize,
        group: usize,
        more: (usize, usize),
        team: Option<usize>,
    },
    /// The same without a customer id: a set of identifiers, one bit for each.
    Anonymous {
        account: usize,
        named: u8,
        event: usize,
        group: usize,
        team: Option<usize>,
    },
    Describe {
        who: Who,
        fields: Vec<(usize, usize)>,
        further: u8,
        team: Option<usize>,
    },
    Merge {
        account: usize,
        pair: (usize, usize),
        linked: bool,
    },
    /// As of when some event happened, if any is named.
    Erase {
        who: Who,
        of: Option<usize>,
    },
    Assert {
        who: Option<Who>,
        named: u8,
        segment: usize,
        entered: bool,
    },
    /// The record of an earlier line again, perhaps changed.
    Again {
        line: usize,
        changed: bool,
    },
    Broken(usize),
    Control(usize, usize),
    /// Merges in a row, closed to a ring or not; the last ones are taken back if `cut`.
    Chain {
        account: usize,
        length: usize,
        ring: bool,
        cut: bool,
    },
    /// Many customers with one phone.
    Hub {
        account: usize,
        holders: usize,
        phone: usize,
    },
}

/// When a line happened, before its arrival.
#[derive(Clone, Copy, Debug)]
pub enum Ago {
    Ms(i64),
    /// When some event happened, and so much later.
    Of(usize, i64),
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Ms(i64),
    /// At the end of a window that some event opened, or just beside it.
    Edge(usize, usize, i64),
    /// When some event leaves.
    Retention(usize, i64),
}

#[derive(Clone, Debug)]
pub struct Tick {
    pub step: Step,
    pub says: Vec<(Say, Ago, u8)>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub definitions: Vec<(usize, usize)>,
    pub metrics: Vec<usize>,
    pub settings: usize,
    pub sources: usize,
    pub ticks: Vec<Tick>,
    pub rest: Step,
}

/// What `cebe eval` is given.
pub struct Case {
    pub definitions: Value,
    pub lines: Vec<String>,
    pub at: i64,
}

impl World {
    /// The lines and definitions of it.
    pub fn case(&self) -> Case {
        let mut writer = Writer::new(START_MS);
        for Tick { step, says } in &self.ticks {
            writer.step(*step);
            for (say, ago, key) in says {
                writer.say(say, *ago, *key);
            }
        }
        writer.step(self.rest);
        let mut definitions = Map::new();
        let mut segments: Vec<Value> = Vec::new();
        for (slot, which) in &self.definitions {
            let new = segment(*slot, *which, None);
            segments.retain(|old| {
                (&old["segment_id"], &old["account_id"]) != (&new["segment_id"], &new["account_id"])
            });
            segments.push(new);
        }
        definitions.insert("segments".into(), json!(segments));
        let metrics: Vec<_> = self.metrics.iter().map(|which| metric(*which)).collect();
        definitions.insert("metrics".into(), json!(metrics));
        definitions.insert("settings".into(), settings(self.settings));
        definitions.extend(sources(self.sources).map(|sources| ("sources".to_owned(), sources)));
        Case { definitions: definitions.into(), lines: writer.lines, at: writer.t }
    }
}

/// Mostly the same few, so that much happens to each.
fn customer() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..3usize, 1 => 0..CUSTOMERS.len()]
}

fn who() -> impl Strategy<Value = Who> {
    (prop_oneof![4 => Just(0), 1 => Just(1usize)], customer())
}

fn ago() -> impl Strategy<Value = Ago> {
    let width = prop::sample::select(WIDTHS.to_vec());
    prop_oneof![
        5 => Just(Ago::Ms(0)),
        3 => (0..90 * MINUTE_MS).prop_map(Ago::Ms),
        2 => (HOUR_MS - 2..HOUR_MS + 3).prop_map(Ago::Ms),
        1 => (-5 * MINUTE_MS..1).prop_map(Ago::Ms),
        1 => (0..40 * DAY_MS).prop_map(Ago::Ms),
        1 => (700 * DAY_MS..735 * DAY_MS).prop_map(Ago::Ms),
        4 => (0..64usize, width, -1..2i64).prop_map(|(which, width, off)| Ago::Of(which, width + off)),
        2 => (0..64usize, -1..2i64).prop_map(|(which, off)| Ago::Of(which, off)),
    ]
}

fn say() -> impl Strategy<Value = Say> {
    let team = || prop::option::weighted(0.2, 0..2usize);
    let fields = prop::collection::vec((0..8usize, 0..9usize), 0..4);
    prop_oneof![
        12 => (who(), 0..EVENTS.len(), 0..4usize, (0..6usize, 0..5usize), team())
            .prop_map(|(who, event, group, more, team)| Say::Event { who, event, group, more, team }),
        4 => (0..2usize, 1..=255u8, 0..EVENTS.len(), 0..4usize, team())
            .prop_map(|(account, named, event, group, team)| Say::Anonymous { account, named, event, group, team }),
        10 => (who(), fields, any::<u8>(), team())
            .prop_map(|(who, fields, further, team)| Say::Describe { who, fields, further, team }),
        5 => (0..2usize, customer(), 0..3usize, any::<bool>())
            .prop_map(|(account, a, by, linked)| Say::Merge { account, pair: (a, (a + by) % CUSTOMERS.len()), linked }),
        2 => (who(), prop::option::of(0..64usize)).prop_map(|(who, of)| Say::Erase { who, of }),
        3 => (prop::option::weighted(0.7, who()), 1..=255u8, 0..3usize, any::<bool>())
            .prop_map(|(who, named, segment, entered)| Say::Assert { who, named, segment, entered }),
        2 => (0..64usize, any::<bool>()).prop_map(|(line, changed)| Say::Again { line, changed }),
        1 => (0..22usize).prop_map(Say::Broken),
        2 => (0..6usize, 0..512usize).prop_map(|(which, what)| Say::Control(which, what)),
        1 => (0..2usize, 3..6usize, any::<bool>(), any::<bool>())
            .prop_map(|(account, length, ring, cut)| Say::Chain { account, length, ring, cut }),
        1 => (0..2usize, 2..8usize, 0..6usize)
            .prop_map(|(account, holders, phone)| Say::Hub { account, holders, phone }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..10i64).prop_map(Step::Ms),
        3 => (0..3 * HOUR_MS).prop_map(Step::Ms),
        2 => (0..4 * DAY_MS).prop_map(Step::Ms),
        5 => (0..64usize, 0..WIDTHS.len(), -1..2i64).prop_map(|(which, width, off)| Step::Edge(which, width, off)),
        1 => (0..64usize, -2..4i64).prop_map(|(which, off)| Step::Retention(which, off)),
    ]
}

/// A world of up to `ticks` logical times.
pub fn world(ticks: usize) -> impl Strategy<Value = World> {
    let says = prop::collection::vec((say(), ago(), 0..4u8), 0..5);
    let tick = (step(), says).prop_map(|(step, says)| Tick { step, says });
    let definitions = prop::collection::vec((0..8usize, 0..64usize), 0..7);
    let metrics = prop::collection::vec(0..6usize, 0..3);
    let ticks = prop::collection::vec(tick, 1..ticks);
    let settings = prop_oneof![2 => Just(0), 1 => 0..8usize];
    let sources = prop_oneof![4 => Just(0), 1 => 0..4usize];
    (definitions, metrics, settings, sources, ticks, step()).prop_map(
        |(definitions, metrics, settings, sources, ticks, rest)| World {
            definitions,
            metrics,
            settings,
            sources,
            ticks,
            rest,
        },
    )
}
