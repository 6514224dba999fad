//! Customers and events by number, the same at every run.

use std::sync::Arc;

use cebe_schemas::definition::{About, Clause, Definitions, Metric, Segment};
use cebe_schemas::fact::{
    AttributeFact, AttributeValue, EventFact, GroupName, Identifier, IdentifierValue, Known,
    MergeFact, Stamp, TickInput,
};
use cebe_schemas::id::{EventType, Group, IdKey, Subject, Token};
use cebe_schemas::time::Millis;

/// When a workload begins.
pub const START_MS: Millis = 1_764_000_000_000;
/// A day in milliseconds.
pub const DAY_MS: Millis = 86_400_000;

const ACCOUNT: &str = "acc";

/// Makes inputs out of numbers.
pub struct Workload {
    key: IdKey,
    account: Arc<str>,
    ordinal: u64,
}

impl Workload {
    /// At its start.
    pub fn new() -> Workload {
        Workload { key: IdKey::new([1; 16]), account: ACCOUNT.into(), ordinal: 0 }
    }

    /// An event of a customer, and the mention of the customer that comes with it.
    pub fn event(
        &mut self,
        tick: &mut TickInput,
        customer: u64,
        name: &str,
        at: Millis,
        group: Option<u64>,
    ) {
        let subject = self.mention(tick, customer);
        let name_of = |group: u64| {
            let group_key: Arc<str> = format!("b-{group}").into();
            GroupName { group: self.key.group(ACCOUNT, &group_key), group_key }
        };
        let named = group.map(name_of);
        let group = named.as_ref().map_or(Group::NONE, |named| named.group);
        tick.groups.extend(named);
        let event = EventType::named(name);
        tick.events.push((subject, EventFact { event, group, occurred_at_ms: at }));
    }

    /// A customer's phone.
    pub fn phone(&mut self, tick: &mut TickInput, customer: u64, phone: u64, at: Millis) {
        let subject = self.mention(tick, customer);
        self.ordinal += 1;
        let stamp = Stamp { occurred_at_ms: at, key: "k".into(), ordinal: self.ordinal };
        let hash = self.key.hash(b't', &[&phone.to_le_bytes()]);
        tick.attributes.push(AttributeFact {
            name: "phone".into(),
            stamp,
            subject,
            value: Some(Arc::new(AttributeValue::new(format!("~dev:{hash:032x}").into()))),
            identifier: Some(Identifier {
                token: Token(hash),
                value: IdentifierValue(hash as u64),
            }),
        });
    }

    /// That two customers are linked, or no longer.
    pub fn merge(&mut self, tick: &mut TickInput, a: u64, b: u64, linked: bool, at: Millis) {
        let (a, b) = (self.mention(tick, a), self.mention(tick, b));
        self.ordinal += 1;
        let stamp = Stamp { occurred_at_ms: at, key: "k".into(), ordinal: self.ordinal };
        tick.merges.push(MergeFact { pair: (a.min(b), a.max(b)), linked, stamp });
    }

    fn mention(&self, tick: &mut TickInput, customer: u64) -> Subject {
        let customer_id: Arc<str> = customer.to_string().into();
        let subject = self.key.subject(ACCOUNT, &customer_id);
        tick.known.push(Known {
            subject,
            account_id: self.account.clone(),
            customer_id,
            occurred_at_ms: tick.t_ms,
            by: None,
            team: None,
        });
        subject
    }
}

/// A tick with nothing in it.
pub fn empty(t_ms: Millis) -> TickInput {
    TickInput { t_ms, ..TickInput::default() }
}

/// Segments "did `event` at least `at_least` times within `days`", and the reply rate.
pub fn definitions(segments: &[(&str, u32, i64)]) -> Arc<Definitions> {
    let segment = |(number, (event, at_least, days)): (usize, &(&str, u32, i64))| {
        let event = EventType::named(event);
        let when = Clause::did(event, *at_least, Some(days * DAY_MS));
        let segment_id = format!("s-{number}").into();
        Arc::new(Segment {
            account_id: ACCOUNT.into(),
            segment_id,
            version: 1,
            when,
            about: About::default(),
        })
    };
    let segments = segments.iter().enumerate().map(segment).collect();
    Arc::new(Definitions { segments, metrics: Metric::shipped(), ..Definitions::default() })
}

/// Well-mixed numbers from a seed: SplitMix64 (Steele, Lea, Flood).
pub struct Random(pub u64);

impl Random {
    /// The next number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
