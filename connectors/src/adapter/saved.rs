//! An adapter as it is written down, but for the key index and for what the facts tell.

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::change::Moment;
use cebe_schemas::control::{ControlError, ControlState, SavedControl};
use cebe_schemas::definition::{Selector, Selectors};
use cebe_schemas::fact::TickInput;
use cebe_schemas::id::{EventType, Subject};
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;
use serde::{Deserialize, Serialize};

use super::Adapter;
use super::announced::Announced;
use super::backfills::{Backfills, ReadOf};
use super::ledger::Ledger;
use super::reconciliation::Reconciliation;
use super::undone::Undone;
use super::waiting::SavedWaiting;
use crate::kafka::Topics;

/// What an adapter is made of after a tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAdapter {
    /// What is in force, and what waits: it changes seldom.
    pub standing: SavedStanding,
    /// What each tick changes.
    pub counters: SavedCounters,
}

/// Definitions, settings and flags, and how much history is held for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedStanding {
    control: SavedControl,
    /// What any definition has ever looked at, of an account or of all.
    selectors: Vec<(Option<Arc<str>>, Selector)>,
    waiting: SavedWaiting,
    #[serde(default)]
    undone: Undone,
    accepted: BTreeSet<EventType>,
}

/// How far it is, and what it has counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedCounters {
    ledger: Ledger,
    #[serde(default)]
    backfills: Backfills,
    reconciliation: Reconciliation,
    last_ms: Millis,
    next_ordinal: u64,
    history_offset: Option<i64>,
}

impl SavedCounters {
    /// The backfills of which anything was read, once for each source.
    pub fn backfills(&self) -> impl Iterator<Item = ReadOf<'_>> {
        self.backfills.read_of()
    }
}

impl<K> Adapter<K> {
    /// What to write down of it after a tick.
    pub fn save(&self) -> SavedAdapter {
        let selectors = self.announced.selectors().iter();
        let mut selectors: Vec<_> =
            selectors.map(|(account, one)| (account.cloned(), one.clone())).collect();
        selectors.sort_by(|a, b| (&a.0, a.1.event()).cmp(&(&b.0, b.1.event())));
        SavedAdapter {
            standing: SavedStanding {
                control: self.control.save(),
                selectors,
                waiting: self.waiting.save(),
                undone: self.undone.clone(),
                accepted: self.accepted.clone(),
            },
            counters: SavedCounters {
                ledger: self.ledger.clone(),
                backfills: self.backfills.clone(),
                reconciliation: self.reconciliation.clone(),
                last_ms: self.last_ms,
                next_ordinal: self.next_ordinal,
                history_offset: self.history_offset,
            },
        }
    }

    /// The adapter that was saved, over `keys` with every key that it had claimed. It has to be
    /// [told](Adapter::recall_erased) what is erased.
    ///
    /// # Errors
    /// This version reads definitions in another way.
    pub fn restore(
        judge: Judge,
        topics: Topics,
        keys: K,
        saved: SavedAdapter,
    ) -> Result<Adapter<K>, ControlError> {
        let SavedAdapter { standing, counters } = saved;
        let control = ControlState::restore(standing.control)?;
        let mut selectors = Selectors::default();
        for (account, selector) in &standing.selectors {
            selectors.add(account.as_ref(), selector);
        }
        let announced = Announced::restore(&control, selectors, &judge);
        let new = Adapter::new(judge, topics, keys, control);
        Ok(Adapter {
            announced,
            waiting: standing.waiting.into(),
            accepted: standing.accepted,
            ledger: counters.ledger,
            backfills: counters.backfills,
            undone: standing.undone,
            reconciliation: counters.reconciliation,
            last_ms: counters.last_ms,
            next_ordinal: counters.next_ordinal,
            history_offset: counters.history_offset,
            ..new
        })
    }

    /// What the dataflow has to be told of definitions and settings before anything else.
    pub fn recall_definitions(&self) -> TickInput {
        let (definitions, linking) = self.announced.told();
        TickInput { definitions, linking, ..TickInput::default() }
    }

    /// Takes in customers that are erased, and the identifiers that the dataflow says are erased along.
    pub fn recall_erased(&mut self, customers: &[(Subject, Millis)], moments: &[Moment]) {
        for (subject, until_ms) in customers {
            self.erased.customer(*subject, *until_ms);
        }
        self.learn(moments);
    }
}
