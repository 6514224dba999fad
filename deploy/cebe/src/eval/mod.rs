//! The engine without its surroundings: ticks in, rows out, nothing kept. The adapter and the
//! dataflow are those of `cebe run`.
//!
//! * [`bound`]: ticks as a file: what an engine has bound.
//! * [`mod@line`] and [`lines`]: a file of events as ticks.
//! * [`Evaluation`]: a tick in, its rows out; it answers as an engine does.
//! * [`reading`]: a whole file, evaluated.
//! * [`views`]: rows folded into what the analysts' views hold; pure. [`rows`]: their columns.
//! * [`files`]: the views as files.

pub mod bound;
pub mod files;
pub mod line;
pub mod lines;
pub mod reading;
pub mod rows;
mod tick;
pub mod views;

use std::sync::Arc;

use anyhow::bail;
use cebe_connectors::adapter::{Adapter, Past};
use cebe_connectors::kafka::Topics;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::change_row::from_change;
use cebe_dataflow::{Dataflow, PreviewStep};
use cebe_schemas::change::Moment;
use cebe_schemas::control::ControlState;
use cebe_schemas::definition::Definitions;
use cebe_schemas::explanation::Explanation;
use cebe_schemas::preview::Preview;
use cebe_schemas::row::Row;
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;

use crate::desk::{explain, preview};

pub use tick::Tick;

/// Adapter and dataflow, in memory.
pub struct Evaluation {
    adapter: Adapter<MemoryKeyIndex>,
    dataflow: Dataflow,
}

impl Evaluation {
    /// Starts in the state `control`, which is in force before the first tick. All definitions that
    /// come later have to be foreseen.
    pub fn start(
        judge: Judge,
        control: ControlState,
        workers: usize,
        past: Past,
    ) -> anyhow::Result<Evaluation> {
        let keys = MemoryKeyIndex::default();
        let adapter = Adapter::new(judge, Topics::default(), keys, control).with_past(past);
        Ok(Evaluation { adapter, dataflow: Dataflow::start(workers)? })
    }

    /// Prepares for definitions that will come into force later in the input.
    pub fn foresee(&mut self, definitions: &Definitions) {
        self.adapter.foresee(definitions);
    }

    /// Tells nothing of events of these backfills, which will be undone.
    pub fn leave_out(&mut self, jobs: impl IntoIterator<Item = Arc<str>>) {
        self.adapter.leave_out(jobs);
    }

    /// All rows that the engine would publish for `tick`, not yet numbered. Rows of one key are in
    /// order of time.
    pub fn tick(&mut self, tick: &Tick) -> anyhow::Result<Vec<Row>> {
        let mut adapted = self.adapter.adapt(tick.t_ms, tick.first_ordinal, &tick.records)?;
        let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
        self.adapter.learn(&output.moments);
        let mut rows = adapted.rows;
        for Moment { t_ms, changes } in output.moments {
            let keys = self.adapter.token_keys();
            rows.extend(changes.into_iter().map(|change| from_change(change, t_ms, keys)));
        }
        Ok(rows)
    }

    /// What the definitions of `document` would change, each list cut to `limit`.
    pub fn preview(&mut self, document: &[u8], limit: usize) -> anyhow::Result<Preview> {
        let definitions = preview::definitions(&self.adapter, document)?;
        self.dataflow.begin_preview(&definitions, Millis::MAX)?;
        match self.dataflow.continue_preview(usize::MAX)? {
            PreviewStep::Done(found) => Ok(found.report(limit)),
            PreviewStep::Left(_) | PreviewStep::Dropped => bail!("the preview did not end"),
        }
    }

    /// Why a customer belongs to a segment, or does not: account, customer, segment. The events are
    /// found by the caller.
    pub fn explain(&mut self, ids: [&str; 3]) -> anyhow::Result<(Box<Explanation>, Vec<String>)> {
        Ok(explain::explain(&self.adapter, &mut self.dataflow, ids)??)
    }

    /// What events are judged with.
    pub fn judge(&self) -> &Judge {
        self.adapter.judge()
    }

    /// The control state after the last tick.
    pub fn control(&self) -> &ControlState {
        self.adapter.control()
    }
}
