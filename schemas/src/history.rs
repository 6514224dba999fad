//! The history of selectors, as it is written to `cebe.history`: what waits for it, and the facts of
//! events that arrived before anybody looked at them in this way.
//!
//! Ordinals tell what is held. Of a selector that is made since ordinal `until`, the facts of events
//! in `[0, next)` and from `until` on are held; what lies between is missing.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::DefinitionName;
use crate::id::{EventType, Subject};
use crate::time::Millis;

/// A record on `cebe.history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryRecord {
    /// A control record is not in force before history has been read.
    Waits(Waits),
    /// A part of history.
    Slice(Slice),
}

/// That a control record waits, and for what. For readers: nothing is computed from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waits {
    /// Where the control record is on `cebe.control`.
    pub partition: i32,
    /// Where the control record is on `cebe.control`.
    pub offset: i64,
    /// What it puts or removes.
    pub definitions: Vec<DefinitionName>,
    /// What is missing.
    pub missing: Vec<Missing>,
}

/// The stretch of history that a selector lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The events that are looked at.
    pub event_name: Arc<str>,
    /// The type of the facts.
    #[serde(with = "event_hex")]
    #[schema(value_type = String)]
    pub selector: EventType,
    /// From this ordinal on.
    pub next: u64,
    /// To the one before this ordinal.
    pub until: u64,
}

/// The facts of some selectors of one account for the events with ordinals `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The tenant.
    pub account_id: Arc<str>,
    /// The types of the facts. All of them lack history from `from` on.
    #[serde(with = "events_hex")]
    pub selectors: Vec<EventType>,
    /// The first ordinal.
    pub from: u64,
    /// The ordinal after the last.
    pub to: u64,
    /// Texts that facts name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Arc<str>>,
    /// Backfills that facts came with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Arc<str>>,
    /// In the order of their events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<PastFact>,
}

/// A fact of an event that arrived earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastFact {
    /// Whose, as the dataflow knows it.
    #[serde(with = "subject_hex")]
    pub subject: Subject,
    /// Which of the slice's selectors.
    pub selector: u32,
    /// Which of the slice's groups; none: it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Which of the slice's backfills its event came with; none: it came live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u32>,
    /// When the event happened, in epoch milliseconds.
    pub at: Millis,
}

/// How much is held of each selector that any definition has looked at.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    held: HashMap<(Arc<str>, EventType), Reach>,
}

/// What is held of one selector: everything but `[next, until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The first ordinal that is missing.
    pub next: u64,
    /// The first ordinal that is not.
    pub until: u64,
    /// The logical time by which the last missing event had arrived.
    pub arrived_by_ms: Millis,
}

impl Reach {
    /// A selector that lacks nothing.
    pub const WHOLE: Reach = Reach { next: 0, until: 0, arrived_by_ms: 0 };

    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.next >= self.until
    }
}

impl Coverage {
    /// What is held of each selector, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, EventType, Reach)> {
        self.held.iter().map(|((account, selector), reach)| (account, *selector, *reach))
    }

    /// What is held of a selector; none if no definition has looked at it.
    pub fn of(&self, account_id: &Arc<str>, selector: EventType) -> Option<&Reach> {
        self.held.get(&(account_id.clone(), selector))
    }

    /// A definition looks at a selector. Whoever was first says what is held of it.
    pub fn begin(&mut self, account_id: &Arc<str>, selector: EventType, reach: Reach) -> &Reach {
        self.held.entry((account_id.clone(), selector)).or_insert(reach)
    }

    /// Takes in that the facts of `slice` are held. False, and nothing is changed, unless each of its
    /// selectors lacks history from exactly `from` on, and not less than through `to`: the slice is a
    /// repetition, or that of a writer who knew less.
    pub fn advance(&mut self, slice: &Slice) -> bool {
        let key = |selector: &EventType| (slice.account_id.clone(), *selector);
        let fits = |selector: &EventType| {
            self.held.get(&key(selector)).is_some_and(|reach| {
                reach.next == slice.from && slice.from < slice.to && slice.to <= reach.until
            })
        };
        if slice.selectors.is_empty() || !slice.selectors.iter().all(fits) {
            return false;
        }
        for selector in &slice.selectors {
            if let Some(reach) = self.held.get_mut(&key(selector)) {
                reach.next = slice.to;
            }
        }
        true
    }
}

mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer};

    pub(super) fn event<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        parse_u64(&String::deserialize(deserializer)?)
    }

    pub(super) fn parse_u64<E: Error>(text: &str) -> Result<u64, E> {
        u64::from_str_radix(text, 16).map_err(E::custom)
    }

    pub(super) fn subject<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

mod event_hex {
    use serde::{Deserializer, Serializer};

    use super::EventType;

    pub(super) fn serialize<S: Serializer>(event: &EventType, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:016x}", event.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<EventType, D::Error> {
        super::hex::event(d).map(EventType)
    }
}

mod events_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::EventType;

    pub(super) fn serialize<S: Serializer>(events: &[EventType], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(events.iter().map(|event| format!("{:016x}", event.0)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<EventType>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts.iter().map(|text| super::hex::parse_u64(text).map(EventType)).collect()
    }
}

mod subject_hex {
    use serde::{Deserializer, Serializer};

    use super::Subject;

    pub(super) fn serialize<S: Serializer>(subject: &Subject, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:032x}", subject.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Subject, D::Error> {
        super::hex::subject(d).map(Subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(selectors: &[u64], from: u64, to: u64) -> Slice {
        let selectors = selectors.iter().map(|selector| EventType(*selector)).collect();
        let (groups, jobs, facts) = (Vec::new(), Vec::new(), Vec::new());
        Slice { account_id: "a".into(), selectors, from, to, groups, jobs, facts }
    }

    #[test]
    fn a_slice_counts_once_and_only_where_history_is_missing() {
        let account: Arc<str> = "a".into();
        let mut coverage = Coverage::default();
        let lacks = |until| Reach { next: 0, until, arrived_by_ms: 0 };
        coverage.begin(&account, EventType(1), lacks(10));
        coverage.begin(&account, EventType(2), lacks(10));
        assert!(!coverage.advance(&slice(&[1, 3], 0, 4)), "of a selector that nobody looks at");
        assert!(!coverage.advance(&slice(&[], 0, 4)));
        assert!(!coverage.advance(&slice(&[1], 0, 11)), "beyond what is missing");
        assert!(!coverage.advance(&slice(&[1], 0, 0)), "nothing");
        assert!(coverage.advance(&slice(&[1, 2], 0, 4)));
        assert!(!coverage.advance(&slice(&[1, 2], 0, 4)), "a repetition");
        assert!(!coverage.advance(&slice(&[1], 3, 6)), "an overlap");
        assert!(!coverage.advance(&slice(&[1], 5, 6)), "a gap");
        assert!(coverage.advance(&slice(&[1], 4, 10)));
        assert!(!coverage.advance(&slice(&[1, 2], 4, 10)), "one of them has it");
        let is_whole = |selector| coverage.of(&account, EventType(selector)).unwrap().is_whole();
        assert!(is_whole(1) && !is_whole(2));
        assert_eq!(coverage.of(&"b".into(), EventType(1)), None);
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        let fact = PastFact {
            subject: Subject(u128::MAX - 7),
            selector: 0,
            group: Some(0),
            job: None,
            at: -1,
        };
        let facts = vec![fact, PastFact { group: None, job: Some(0), ..fact }];
        let groups = vec!["b-1".into()];
        let jobs = vec!["j-1".into()];
        let slice = Slice { groups, jobs, facts, ..slice(&[u64::MAX, 5], 0, u64::MAX) };
        let record = HistoryRecord::Slice(slice);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<HistoryRecord>(&text).unwrap(), record);
        assert!(text.starts_with(
            r#"{"slice":{"account_id":"a","selectors":["ffffffffffffffff","0000000000000005"],"#
        ));
    }
}
