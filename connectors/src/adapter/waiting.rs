//! Control records that wait: their definitions look at properties of events that arrived before any
//! definition did, and the facts of these events are still being read (`cebe.history`).

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::control::DefinitionName;
use cebe_schemas::definition::{Selector, Selectors};
use cebe_schemas::history::{Coverage, Missing, Reach, Slice, Waits};
use cebe_schemas::id::EventType;
use cebe_schemas::time::Millis;
use serde::{Deserialize, Serialize};

use super::Placed;
use crate::kafka::source::Record;

/// The most selectors that are read together: it bounds the facts of one event.
const SELECTORS_MAX: usize = 1_000;

/// A control record on its way into force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) record: Record,
    pub(super) placed: Placed,
    names: BTreeSet<DefinitionName>,
    wants: Vec<(Arc<str>, Selector)>,
    is_announced: bool,
}

/// What waits, in the order of arrival, and how much of its history is held.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: Vec<Held>,
    coverage: Coverage,
}

/// What waits, as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedWaiting {
    held: Vec<Held>,
    coverage: Vec<(Arc<str>, EventType, Reach)>,
}

impl From<SavedWaiting> for Waiting {
    fn from(saved: SavedWaiting) -> Waiting {
        let mut coverage = Coverage::default();
        for (account, selector, reach) in &saved.coverage {
            coverage.begin(account, *selector, *reach);
        }
        Waiting { held: saved.held, coverage }
    }
}

/// A stretch of the history of some selectors of one account, to be read from the events that were
/// accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The tenant.
    pub account_id: Arc<str>,
    /// All of them lack the same.
    pub selectors: Vec<Selector>,
    /// The first ordinal that is missing.
    pub next: u64,
    /// The first ordinal that is not.
    pub until: u64,
    /// The logical time by which the last of these events had arrived.
    pub arrived_by_ms: Millis,
}

impl Waiting {
    /// What to write down.
    pub(super) fn save(&self) -> SavedWaiting {
        let coverage = self.coverage.iter();
        let mut coverage: Vec<_> = coverage.map(|(a, s, reach)| (a.clone(), s, reach)).collect();
        coverage.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        SavedWaiting { held: self.held.clone(), coverage }
    }

    /// Takes up `selectors`, which are made of every event from `reach.until` on. Returns those that
    /// lack history. Of events that nobody has seen so far, `is_seen`, there is none.
    pub(super) fn begin(
        &mut self,
        selectors: &Selectors,
        reach: Reach,
        is_seen: impl Fn(&Selector) -> bool,
    ) -> Vec<(Arc<str>, Selector)> {
        let mut lacking = Vec::new();
        // What holds for every account is shipped, and looks at no property.
        for (account, selector) in selectors.iter().filter_map(|(a, s)| Some((a?, s))) {
            let reach = if is_seen(selector) { reach } else { Reach::WHOLE };
            if !self.coverage.begin(account, selector.event(), reach).is_whole() {
                lacking.push((account.clone(), selector.clone()));
            }
        }
        lacking.sort_by(|a, b| (&a.0, a.1.event()).cmp(&(&b.0, b.1.event())));
        lacking
    }

    /// Keeps a control record until the history of `wants` is there.
    pub(super) fn hold(
        &mut self,
        record: Record,
        placed: Placed,
        names: BTreeSet<DefinitionName>,
        wants: Vec<(Arc<str>, Selector)>,
    ) {
        self.held.push(Held { record, placed, names, wants, is_announced: false });
    }

    /// A later control record puts or removes `names`: whoever waits with one of them is dropped.
    pub(super) fn supersede(&mut self, names: &BTreeSet<DefinitionName>, by_offset: i64) {
        self.held.retain(|held| {
            let common = held.names.intersection(names).next();
            if let Some(name) = common {
                let offset = held.record.offset;
                tracing::warn!(
                    offset,
                    by_offset,
                    %name,
                    "a control record that waits for history is superseded and dropped"
                );
            }
            common.is_none()
        });
    }

    /// Whether some history of a selector is missing; of one that no definition has looked at, whether
    /// there is any.
    pub(super) fn lacks(&self, account: &Arc<str>, selector: &Selector, is_seen: bool) -> bool {
        self.coverage.of(account, selector.event()).map_or(is_seen, |reach| !reach.is_whole())
    }

    /// Takes in that the facts of `slice` are held; false if they are not to be.
    pub(super) fn advance(&mut self, slice: &Slice) -> bool {
        self.coverage.advance(slice)
    }

    /// The first control record that waits no longer.
    pub(super) fn next_ready(&mut self) -> Option<Held> {
        let is_ready =
            |held: &Held| held.wants.iter().all(|want| reach(&self.coverage, want).is_whole());
        let at = self.held.iter().position(is_ready)?;
        Some(self.held.remove(at))
    }

    /// That it waits has been written down.
    pub(super) fn announced(&mut self, waits: &Waits) {
        let place = (waits.partition, waits.offset);
        for held in &mut self.held {
            held.is_announced |= (held.record.partition, held.record.offset) == place;
        }
    }

    /// How many definitions wait.
    pub(super) fn definitions(&self) -> usize {
        self.held.iter().map(|held| held.names.len()).sum()
    }

    /// Each control record that waits: what it changes, and what it lacks.
    pub(super) fn list(&self, unannounced_only: bool) -> Vec<Waits> {
        let asked = self.held.iter().filter(|held| !(unannounced_only && held.is_announced));
        asked.map(|held| self.waits(held)).collect()
    }

    fn waits(&self, held: &Held) -> Waits {
        let missing = held.wants.iter().map(|want| {
            let Reach { next, until, .. } = reach(&self.coverage, want);
            let (account_id, selector) = want;
            Missing {
                account_id: account_id.clone(),
                event_name: selector.name().into(),
                selector: selector.event(),
                next,
                until,
            }
        });
        Waits {
            partition: held.record.partition,
            offset: held.record.offset,
            definitions: held.names.iter().cloned().collect(),
            missing: missing.filter(|missing| missing.next < missing.until).collect(),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What has to be read, each selector once.
    pub(super) fn backlogs(&self) -> Vec<Backlog> {
        let mut seen: BTreeSet<(&Arc<str>, EventType)> = BTreeSet::new();
        let mut backlogs: Vec<Backlog> = Vec::new();
        for want in self.held.iter().flat_map(|held| &held.wants) {
            let (account_id, selector) = want;
            let Reach { next, until, arrived_by_ms } = reach(&self.coverage, want);
            if next >= until || !seen.insert((account_id, selector.event())) {
                continue;
            }
            let same = backlogs.iter_mut().find(|backlog| {
                backlog.selectors.len() < SELECTORS_MAX
                    && backlog.account_id == *account_id
                    && (backlog.next, backlog.until) == (next, until)
            });
            match same {
                Some(backlog) => backlog.selectors.push(selector.clone()),
                None => backlogs.push(Backlog {
                    account_id: account_id.clone(),
                    selectors: vec![selector.clone()],
                    next,
                    until,
                    arrived_by_ms,
                }),
            }
        }
        backlogs
    }
}

fn reach(coverage: &Coverage, (account, selector): &(Arc<str>, Selector)) -> Reach {
    coverage.of(account, selector.event()).copied().unwrap_or(Reach::WHOLE)
}
