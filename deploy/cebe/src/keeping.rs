//! When what is kept of ticks is sealed.

use std::time::{Duration, Instant};

use cebe_connectors::adapter::Adapter;
use cebe_connectors::kafka::log_place::LogPlace;
use cebe_connectors::snapshot::{Keeper, KeptTick, SealedAt};

use crate::config::Config;

/// A replay has more to keep in a second than live events in a minute.
const ROWS_MAX: usize = 500_000;

/// Hands ticks to the keeper, and now and then the state that they make.
pub struct Keeping {
    keeper: Keeper,
    every: Duration,
    /// Of the last binding.
    logic_version: u32,
    sealed: Instant,
    /// Since then.
    rows: usize,
}

impl Keeping {
    pub fn new(keeper: Keeper, config: &Config, logic_version: u32) -> Keeping {
        let every = Duration::from_millis(config.engine.snapshot_every_ms as u64);
        Keeping { keeper, every, logic_version, sealed: Instant::now(), rows: 0 }
    }

    /// Keeps what a published tick has told; `place` and `adapter` are as of its end.
    pub fn keep<K>(&mut self, tick: KeptTick, place: &LogPlace, adapter: &Adapter<K>) {
        self.rows += tick.facts.len();
        self.rows += tick.published.as_ref().map_or(0, |(_, published)| published.rows().len());
        self.keeper.keep(tick);
        let is_due = self.sealed.elapsed() > self.every || self.rows > ROWS_MAX;
        if is_due && !self.keeper.is_sealing() {
            self.seal(place, adapter);
        }
    }

    /// Hands over a tick that is no state to begin with.
    pub fn add(&mut self, tick: KeptTick) {
        self.rows += tick.facts.len();
        self.keeper.keep(tick);
    }

    /// Keeps nothing more.
    pub fn end(&mut self) {
        self.keeper.end();
    }

    /// The ticks from now on are of `logic_version`.
    pub fn follow(&mut self, logic_version: u32) {
        self.logic_version = logic_version;
    }

    /// Has the state written down.
    pub fn seal<K>(&mut self, place: &LogPlace, adapter: &Adapter<K>) {
        let (place, adapter, logic_version) = (place.clone(), adapter.save(), self.logic_version);
        self.keeper.seal(SealedAt { place, adapter, logic_version });
        (self.sealed, self.rows) = (Instant::now(), 0);
    }
}
