//! From bound records to facts and rows: verdict, dedup, ledger.
//!
//! A pure function of the bound log: the verdict on a record depends on the record, on the control
//! state at T (the control records of the tick come first, then the history that they wait for) and on
//! the key index, and on nothing else. A replay through a new adapter therefore gives the same rows,
//! byte for byte.

mod announced;
mod asked;
mod backfills;
mod control;
mod erased;
mod event;
mod facts;
mod ledger;
mod reconciliation;
mod retold;
mod rows;
mod saved;
mod tally;
mod undone;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;

use cebe_schemas::change::Moment;
use cebe_schemas::control::ControlState;
use cebe_schemas::definition::Definitions;
use cebe_schemas::fact::TickInput;
use cebe_schemas::id::{EventKey, EventType};
use cebe_schemas::row::Row;
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;

use crate::fault;
use crate::kafka::Topics;
use crate::kafka::source::Record;
use crate::key_index::{KeyIndex, KeyIndexError};
use announced::Announced;
use backfills::Backfills;
pub use backfills::ReadOf;
use erased::Erased;
use event::Placed;
pub(crate) use facts::stored_properties;
use ledger::Ledger;
use reconciliation::Reconciliation;
pub use retold::{Counted, Miscounted, RetoldEvent};
pub use saved::{SavedAdapter, SavedCounters, SavedStanding};
pub use tally::{Duplicate, Tally};
use undone::Undone;
pub use waiting::Backlog;
use waiting::Waiting;

/// A tick cannot be adapted.
#[derive(Debug, thiserror::Error)]
pub enum AdaptError {
    /// The key index failed.
    #[error(transparent)]
    KeyIndex(#[from] KeyIndexError),
    /// A binding names a topic that this version does not read.
    #[error("the topic {0} was bound and is no source: run the version that bound it")]
    UnknownTopic(Arc<str>),
}

/// What one binding's records amount to.
#[derive(Debug, Default)]
pub struct AdaptedTick {
    /// For the dataflow.
    pub input: TickInput,
    /// Accepted events, rejected records, definitions that changed, the ledger of every partition that
    /// was read, and each hour of a source that was counted.
    pub rows: Vec<Row>,
    /// The keys that accepted events have used up, and their ordinals.
    pub keys: Vec<(EventKey, u64)>,
    /// For logs and metrics.
    pub tally: Tally,
}

/// Where the facts come from that a definition looks at in events which arrived before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Past {
    /// From `cebe.history`: a definition waits until they are there. So it is in an engine.
    #[default]
    Read,
    /// From the events themselves, since everything is [foreseen](Adapter::foresee). A definition is
    /// in force when it was in the engine that bound the records: a check of what that engine read.
    Checked,
    /// From the events themselves; a definition is in force at once.
    Foreseen,
}

/// Adapts one tick after the other.
pub struct Adapter<K> {
    judge: Judge,
    topics: Topics,
    keys: K,
    control: ControlState,
    announced: Announced,
    past: Past,
    waiting: Waiting,
    /// The T of the last tick.
    last_ms: Millis,
    /// The ordinal of the next record.
    next_ordinal: u64,
    history_offset: Option<i64>,
    /// Types of which an event was accepted.
    accepted: BTreeSet<EventType>,
    erased: Erased,
    ledger: Ledger,
    backfills: Backfills,
    undone: Undone,
    reconciliation: Reconciliation,
}

impl<K> Adapter<K> {
    /// An adapter before the first binding. `control` is the state before any control record.
    pub fn new(judge: Judge, topics: Topics, keys: K, control: ControlState) -> Adapter<K> {
        Adapter {
            judge,
            topics,
            keys,
            control,
            announced: Announced::default(),
            past: Past::default(),
            waiting: Waiting::default(),
            last_ms: 0,
            next_ordinal: 0,
            history_offset: None,
            accepted: BTreeSet::new(),
            erased: Erased::default(),
            ledger: Ledger::default(),
            backfills: Backfills::default(),
            undone: Undone::default(),
            reconciliation: Reconciliation::default(),
        }
    }

    /// The same, but the facts of past events come from elsewhere.
    pub fn with_past(self, past: Past) -> Adapter<K> {
        Adapter { past, ..self }
    }

    /// Makes the facts that `definitions` will look at once they are in force. Only for who knows the
    /// future: the rows are otherwise the same.
    pub fn foresee(&mut self, definitions: &Definitions) {
        self.announced.foresee(definitions, &self.judge);
    }

    /// The same over another key index.
    pub fn with_keys<L>(self, keys: L) -> Adapter<L> {
        let Adapter { judge, topics, keys: _, control, announced, past, waiting, .. } = self;
        let Adapter { last_ms, next_ordinal, history_offset, accepted, erased, .. } = self;
        let Adapter { ledger, backfills, undone, reconciliation, .. } = self;
        Adapter {
            judge,
            topics,
            keys,
            control,
            announced,
            past,
            waiting,
            last_ms,
            next_ordinal,
            history_offset,
            accepted,
            erased,
            ledger,
            backfills,
            undone,
            reconciliation,
        }
    }

    /// Goes on as `other`, over the same key index.
    pub fn go_on_as(&mut self, other: Adapter<()>) {
        let Adapter { judge, topics, keys: (), control, announced, past, waiting, .. } = other;
        let Adapter { last_ms, next_ordinal, history_offset, accepted, erased, .. } = other;
        let Adapter { ledger, backfills, undone, reconciliation, .. } = other;
        (self.judge, self.topics, self.control, self.announced) =
            (judge, topics, control, announced);
        (self.past, self.waiting, self.last_ms) = (past, waiting, last_ms);
        (self.next_ordinal, self.history_offset) = (next_ordinal, history_offset);
        (self.accepted, self.erased, self.ledger) = (accepted, erased, ledger);
        (self.backfills, self.undone, self.reconciliation) = (backfills, undone, reconciliation);
    }

    /// The backfills of which anything was read, once for each source.
    pub fn backfills(&self) -> impl Iterator<Item = ReadOf<'_>> {
        self.backfills.read_of()
    }

    /// What events are judged with.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Takes in what the dataflow has made of the last tick: what arrives from now on and is erased
    /// already is stored without content.
    pub fn learn(&mut self, moments: &[Moment]) {
        self.erased.learn(moments);
    }

    /// The control state after the last tick.
    pub fn control(&self) -> &ControlState {
        &self.control
    }

    /// The key that renders tokens.
    pub fn token_keys(&self) -> &Keys {
        &self.judge.keys
    }

    /// The key index.
    pub fn keys(&mut self) -> &mut K {
        &mut self.keys
    }
}

impl<K: KeyIndex> Adapter<K> {
    /// The tick of the binding with T `t_ms`, whose records, in ordinal order, begin at
    /// `first_ordinal`. Once its outputs are out, [`commit`](Adapter::commit) it.
    ///
    /// # Errors
    /// The key index failed, or the binding is of another version; the adapter is then unusable.
    pub fn adapt(
        &mut self,
        t_ms: Millis,
        first_ordinal: u64,
        records: &[Record],
    ) -> Result<AdaptedTick, AdaptError> {
        let mut tick = AdaptedTick::default();
        tick.input.t_ms = t_ms;
        tick.rows.reserve(records.len());
        let place =
            |record: &Record, at: usize| Placed::of(record, first_ordinal + at as u64, t_ms);
        self.reconciliation.advance(t_ms);
        let (mut history, mut events) = (Vec::new(), Vec::new());
        let mut is_first = true;
        for (at, record) in records.iter().enumerate() {
            match &*record.topic {
                topic if topic == self.topics.control => {
                    let ordinals = (first_ordinal, is_first);
                    self.take_control(record, place(record, at), ordinals, &mut tick);
                    is_first = false;
                }
                topic if topic == self.topics.history => history.push(record),
                topic if topic == self.topics.counts => {
                    self.take_count(record, &place(record, at), &mut tick);
                }
                _ => events.push((at, record)),
            }
        }
        for record in history {
            self.take_history(record, &mut tick);
        }
        self.announced.tell(&self.control, &self.judge, &mut tick);
        self.take_up(&mut tick);
        for (at, record) in events {
            self.take_in(record, &place(record, at), &mut tick)?;
        }
        self.ledger.rows(t_ms, &mut tick.rows);
        self.backfills.rows(t_ms, &mut tick.rows);
        self.reconciliation.rows(t_ms, &mut tick.rows);
        self.last_ms = t_ms;
        self.next_ordinal = first_ordinal + records.len() as u64;
        Ok(tick)
    }

    /// Ends the tick in the key index.
    ///
    /// # Errors
    /// The key index failed.
    pub fn commit(&mut self) -> Result<(), AdaptError> {
        fault::point("before_key_commit");
        Ok(self.keys.commit(self.next_ordinal)?)
    }
}

#[cfg(test)]
mod tests;
