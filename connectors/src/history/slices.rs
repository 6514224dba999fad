//! From events that were accepted to slices of history. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use cebe_schemas::definition::Selectors;
use cebe_schemas::history::{PastFact, Slice};
use cebe_schemas::id::{EventType, Subject};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use serde::Deserialize;

use crate::adapter::{Backlog, stored_properties};

/// A slice takes in no further event from here on: Kafka's usual limit is a megabyte a record.
const SLICE_BYTES: usize = 256 << 10;
/// More than a fact takes as JSON.
const FACT_BYTES: usize = 110;

/// An accepted event, as it stands in the view `events`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, clickhouse::Row)]
pub struct PastEvent {
    /// Its place in the order of arrival.
    pub ordinal: u64,
    /// Its type.
    pub event_name: String,
    /// The customer as named; "" if it names none.
    pub qontak_customer_id: String,
    /// When it happened, in epoch milliseconds.
    pub occurred_at_ms: Millis,
    /// The masked envelope; "" if it is erased.
    pub payload: String,
    /// Tokens of its identifiers, sorted.
    pub identifier_tokens: Vec<String>,
    /// The backfill that it came with; "" if it came live.
    pub backfill_job: String,
}

/// Cuts the facts of a backlog into slices.
pub struct Slicer<'k> {
    keys: &'k Keys,
    selectors: Selectors,
    numbers: HashMap<EventType, u32>,
    slice: Slice,
    groups: HashMap<Arc<str>, u32>,
    bytes: usize,
    full: Vec<Slice>,
}

impl<'k> Slicer<'k> {
    /// Begins at `backlog.next`.
    pub fn new(backlog: &Backlog, keys: &'k Keys) -> Slicer<'k> {
        let types: Vec<EventType> = backlog.selectors.iter().map(|s| s.event()).collect();
        Slicer {
            keys,
            selectors: Selectors::of_account(&backlog.account_id, &backlog.selectors),
            numbers: types.iter().zip(0..).map(|(event, number)| (*event, number)).collect(),
            slice: Slice {
                account_id: backlog.account_id.clone(),
                selectors: types,
                from: backlog.next,
                to: backlog.next,
                groups: Vec::new(),
                jobs: Vec::new(),
                facts: Vec::new(),
            },
            groups: HashMap::new(),
            bytes: 0,
            full: Vec::new(),
        }
    }

    /// Takes in the next event of the account, in order of ordinals.
    pub fn push(&mut self, event: &PastEvent) {
        if self.bytes >= SLICE_BYTES {
            self.cut(event.ordinal);
        }
        let Some(subject) = self.subject(event) else { return };
        let properties = stored_properties(&event.payload);
        let mut found = Vec::new();
        self.selectors.derived(
            &self.slice.account_id,
            EventType::named(&event.event_name),
            &properties,
            |selector, group| found.push((selector, group.map(Arc::from))),
        );
        for (selector, group) in found {
            let Some(selector) = self.numbers.get(&selector).copied() else { continue };
            let group = group.map(|text| self.group(text));
            let job = self.job(&event.backfill_job);
            self.bytes += FACT_BYTES;
            let at = event.occurred_at_ms;
            self.slice.facts.push(PastFact { subject, selector, group, job, at });
        }
    }

    /// How many slices there are, the last one included.
    pub fn slices(&self) -> usize {
        self.full.len() + 1
    }

    /// The slices through the event before ordinal `to`; none if that is where it began.
    pub fn finish(mut self, to: u64) -> Vec<Slice> {
        self.cut(to);
        self.full
    }

    /// As the adapter knows whoever it is about; nobody: it names nobody, or is erased.
    fn subject(&self, event: &PastEvent) -> Option<Subject> {
        let ids = self.keys.id_key();
        if event.payload.is_empty() {
            return None;
        }
        if !event.qontak_customer_id.is_empty() {
            return Some(ids.subject(&self.slice.account_id, &event.qontak_customer_id));
        }
        let tokens = event.identifier_tokens.iter().map(|text| self.keys.parse(text));
        let tokens: Vec<_> = tokens.collect::<Option<_>>()?;
        (!tokens.is_empty()).then(|| ids.anonymous(tokens))
    }

    fn group(&mut self, text: Arc<str>) -> u32 {
        if let Some(number) = self.groups.get(&text) {
            return *number;
        }
        let number = self.slice.groups.len() as u32;
        // Escapes of control characters are the longest.
        self.bytes += 6 * text.len() + 3;
        self.slice.groups.push(text.clone());
        self.groups.insert(text, number);
        number
    }

    /// There are few.
    fn job(&mut self, job: &str) -> Option<u32> {
        if job.is_empty() {
            return None;
        }
        let jobs = &mut self.slice.jobs;
        let at = jobs.iter().position(|held| **held == *job).unwrap_or_else(|| {
            self.bytes += job.len() + 3;
            jobs.push(job.into());
            jobs.len() - 1
        });
        Some(at as u32)
    }

    fn cut(&mut self, to: u64) {
        if to <= self.slice.from {
            return;
        }
        let next = Slice {
            account_id: self.slice.account_id.clone(),
            selectors: self.slice.selectors.clone(),
            from: to,
            to,
            groups: Vec::new(),
            jobs: Vec::new(),
            facts: Vec::new(),
        };
        let slice = std::mem::replace(&mut self.slice, next);
        self.full.push(Slice { to, ..slice });
        self.groups.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use cebe_schemas::definition::{Grouping, Selector};

    use super::*;

    fn backlog() -> Backlog {
        let grouping = Some(Grouping::Key("note".into()));
        Backlog {
            account_id: "a".into(),
            selectors: vec![Selector::new("x".into(), Vec::new(), grouping)],
            next: 3,
            until: 90_000,
            arrived_by_ms: 0,
        }
    }

    fn event(ordinal: u64, note: &str) -> PastEvent {
        PastEvent {
            ordinal,
            event_name: "x".into(),
            qontak_customer_id: "7".into(),
            occurred_at_ms: ordinal as Millis,
            payload: serde_json::json!({"properties": {"note": note}}).to_string(),
            identifier_tokens: Vec::new(),
            backfill_job: if ordinal.is_multiple_of(3) { "j".into() } else { String::new() },
        }
    }

    #[test]
    fn slices_follow_each_other_and_stay_small() {
        let keys = Keys::development();
        let mut slicer = Slicer::new(&backlog(), &keys);
        let note = "\u{1}".repeat(9_000);
        for ordinal in (5..50_000).step_by(2) {
            slicer.push(&event(ordinal, if ordinal % 5 == 0 { &note } else { "b" }));
        }
        assert!(slicer.slices() > 3);
        let slices = slicer.finish(90_000);
        assert_eq!((slices[0].from, slices[slices.len() - 1].to), (3, 90_000));
        assert!(slices.windows(2).all(|pair| pair[0].to == pair[1].from));
        let facts: usize = slices.iter().map(|slice| slice.facts.len()).sum();
        assert_eq!(facts, 24_998, "one an event");
        for slice in &slices {
            assert_eq!(slice.groups.len(), 2, "each text once");
            assert_eq!(slice.jobs, ["j".into()]);
            let of_job = |fact: &&PastFact| (fact.at % 3 == 0) == (fact.job == Some(0));
            assert!(slice.facts.iter().all(|fact| of_job(&fact)));
            let range = slice.from as Millis..slice.to as Millis;
            assert!(slice.facts.iter().all(|fact| range.contains(&fact.at)));
            assert!(serde_json::to_vec(slice).unwrap().len() < 512 << 10);
        }
    }

    #[test]
    fn a_backlog_without_events_is_one_slice() {
        let keys = Keys::development();
        let slices = Slicer::new(&backlog(), &keys).finish(90_000);
        assert_eq!(slices.len(), 1);
        assert_eq!((slices[0].from, slices[0].to, slices[0].facts.len()), (3, 90_000, 0));
        assert!(Slicer::new(&backlog(), &keys).finish(3).is_empty());
    }
}
