//! What was counted against what the engine says. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cebe_connectors::kafka::Topics;
use cebe_schemas::time::{Millis, format_rfc3339, minus_months};

use super::cut::{Bound, Cut};
use super::records::{Hour, Records};
use super::tables::{Entry, Stored};
use super::{HOUR_MS, Place};

/// The months for which ClickHouse keeps rejected records.
const REJECTED_MONTHS: u32 = 24;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Records in Kafka, and `records_read`.
    Records,
    /// The four verdicts, and `records_read`.
    Sum,
    /// Rows of `events`, with those expired, and `accepted`.
    Accepted,
    /// Rows of `rejected_events`, and `rejected`.
    Rejected,
    /// Offsets in `skipped_ranges`, and `skipped`.
    Skipped,
    /// Records in Kafka of an hour, and `read` of the reconciliation.
    Read,
    /// The source's own count of an hour, and `emitted` of the reconciliation.
    Emitted,
}

/// One number, counted and said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub what: What,
    pub of: Of,
    /// By this command; none: unknown.
    pub counted: Option<u64>,
    /// By the engine; none: unknown.
    pub said: Option<u64>,
    /// What could not be checked; the two numbers leave it out, if they can.
    pub unchecked: Option<Unchecked>,
}

/// What a number is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Partition(Place),
    Hour(Hour),
}

/// A part, or all, of what a number is about cannot be counted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// Why, and what.
    pub why: String,
    /// Whether the two numbers still tell something.
    pub rest: Rest,
}

/// What two numbers tell, of which one is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They are of what is left, and have to be equal.
    Equal,
    /// What was counted is at most what was said.
    AtMost,
    /// Nothing.
    Nothing,
}

impl Check {
    /// Whether something is lost, or too much.
    pub fn differs(&self) -> bool {
        match self.unchecked.as_ref().map(|unchecked| unchecked.rest) {
            None | Some(Rest::Equal) => self.counted != self.said,
            Some(Rest::AtMost) => self.counted > self.said,
            Some(Rest::Nothing) => false,
        }
    }

    /// Whether it has been found equal, at least in part.
    pub fn is_checked(&self) -> bool {
        let rest = self.unchecked.as_ref().map(|unchecked| unchecked.rest);
        matches!(rest, None | Some(Rest::Equal))
    }
}

/// Both sides of a cut.
pub struct Sides<'s> {
    pub topics: &'s Topics,
    pub cut: &'s Cut,
    pub records: &'s Records,
    pub stored: &'s Stored,
    pub now_ms: Millis,
}

impl Sides<'_> {
    /// Every check of the topics that are `wanted`, by partition, then by hour.
    pub fn checks(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<Check> {
        let Sides { cut, stored, .. } = self;
        let bound = cut.partitions.keys();
        let maps = [&stored.events, &stored.expired, &stored.rejected, &stored.skipped];
        let told = stored.ledger.keys().chain(maps.into_iter().flat_map(|map| map.keys()));
        // Rejected control records and counts are in no ledger.
        let places: BTreeSet<&Place> = bound
            .chain(told)
            .filter(|place| *place.0 != *self.topics.control && *place.0 != *self.topics.counts)
            .filter(|place| *place.0 != *self.topics.history && wanted(&place.0))
            .collect();
        let of_partitions = places.into_iter().flat_map(|place| self.partition(place));
        let hours = stored.hours.keys().chain(self.records.read.keys());
        let hours: BTreeSet<&Hour> = hours.chain(self.records.emitted.keys()).collect();
        let hours = hours.into_iter().filter(|(source, _)| wanted(&self.topics.events(source)));
        of_partitions.chain(hours.flat_map(|hour| self.hour(hour))).collect()
    }

    fn partition(&self, place: &Place) -> Vec<Check> {
        let Stored { ledger, newer, events, expired, rejected, skipped, .. } = self.stored;
        let said = ledger.get(place).copied();
        let bound = self.cut.partitions.get(place);
        if bound.is_some() && said.is_none() && newer.contains(place) {
            let why = "newer rows of the ledger have been loaded meanwhile: run it again".into();
            return vec![check(place, What::Records, 0, 0, Some((why, Rest::Nothing)))];
        }
        let said = said.unwrap_or_default();
        let count = |map: &BTreeMap<Place, u64>| map.get(place).copied().unwrap_or_default();
        let Entry { records_read, accepted, duplicate, rejected: refused, skipped: off } = said;
        vec![
            self.records(place, bound, records_read),
            check(place, What::Sum, accepted + duplicate + refused + off, records_read, None),
            check(place, What::Accepted, count(events) + count(expired), accepted, None),
            check(place, What::Rejected, count(rejected), refused, self.deleted(bound)),
            check(place, What::Skipped, count(skipped), off, None),
        ]
    }

    fn records(&self, place: &Place, bound: Option<&Bound>, records_read: u64) -> Check {
        let counted = self.records.partitions.get(place).copied().unwrap_or_default();
        let Some(gone) = bound.and_then(|bound| bound.gone) else {
            return check(place, What::Records, counted, records_read, None);
        };
        let why = format!("not checkable before offset {}: gone from kafka", gone.before);
        let said = records_read.saturating_sub(gone.records);
        let rest = if bound.is_some_and(|bound| gone.before >= bound.to) {
            Rest::Nothing
        } else {
            Rest::Equal
        };
        check(place, What::Records, counted, said, Some((why, rest)))
    }

    /// Whether rows of rejected records may have been deleted since.
    fn deleted(&self, bound: Option<&Bound>) -> Option<(String, Rest)> {
        let kept_from_ms = minus_months(self.now_ms, REJECTED_MONTHS);
        bound.filter(|bound| bound.first_ms < kept_from_ms).map(|_| {
            let kept_from = format_rfc3339(kept_from_ms);
            (format!("not checkable before {kept_from}: rows past their retention"), Rest::AtMost)
        })
    }

    fn hour(&self, hour: &Hour) -> [Check; 2] {
        let counted = self.records.read.get(hour).copied().unwrap_or_default();
        let (emitted, read) = self.stored.hours.get(hour).copied().unwrap_or_default();
        let check = |what, counted, said, unchecked: Option<(String, Rest)>| Check {
            what,
            of: Of::Hour(hour.clone()),
            counted,
            said,
            unchecked: unchecked.map(|(why, rest)| Unchecked { why, rest }),
        };
        let newer = self.stored.newer_hours.contains(hour) && !self.stored.hours.contains_key(hour);
        let newer =
            newer.then(|| ("newer rows have been loaded: run it again".into(), Rest::Nothing));
        let read_gone = self.gone(&self.topics.events(&hour.0), hour.1, Rest::AtMost);
        let said_gone = self.gone(&self.topics.counts, hour.1, Rest::Nothing);
        let said = self.records.emitted.get(hour).copied();
        [
            check(What::Read, Some(counted), Some(read), newer.clone().or(read_gone)),
            check(What::Emitted, said, emitted, newer.or(said_gone)),
        ]
    }

    /// Whether records of that hour may have gone from `topic`.
    fn gone(&self, topic: &str, hour_ms: Millis, rest: Rest) -> Option<(String, Rest)> {
        let of_topic = self.cut.partitions.iter().filter(|((name, _), _)| **name == *topic);
        let gone_ms = of_topic.filter_map(|(_, bound)| Some(bound.gone?.at_ms)).max()?;
        // A clock may have been ahead of that by an hour.
        let from_ms = (gone_ms / HOUR_MS + 2) * HOUR_MS;
        let why = || format!("not checkable before {}: gone from {topic}", format_rfc3339(from_ms));
        (hour_ms < from_ms).then(|| (why(), rest))
    }
}

fn check(
    place: &Place,
    what: What,
    counted: u64,
    said: u64,
    unchecked: Option<(String, Rest)>,
) -> Check {
    Check {
        what,
        of: Of::Partition(place.clone()),
        counted: Some(counted),
        said: Some(said),
        unchecked: unchecked.map(|(why, rest)| Unchecked { why, rest }),
    }
}

#[cfg(test)]
mod tests;
