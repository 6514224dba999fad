//! Adapter, dataflow and numbering as in `cebe run`, without Kafka, and what each of them costs.

use std::iter::Sum;
use std::path::Path;

use anyhow::Context;
use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::{Binding, Digest, LOGIC_VERSION};
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::source::Record;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::number;
use cebe_connectors::snapshot::KeptTick;
use cebe_dataflow::Dataflow;
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::change::{Cause, Change, Moment};
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::fact::TickInput;
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;

use super::answer::Answer;
use crate::keeping::Keeping;
use crate::measure::{Cost, cost};

/// What one tick, or several, cost in each part.
#[derive(Clone, Copy, Default)]
pub struct Costs {
    pub adapter: Cost,
    pub dataflow: Cost,
    pub numbering: Cost,
    /// Handing over to the keeper, if there is one.
    pub keeping: Cost,
}

impl Costs {
    /// From envelope bytes to consolidated differences.
    pub fn to_differences(self) -> Cost {
        self.adapter + self.dataflow
    }

    /// From envelope bytes to the bytes of the output, and the keeper.
    pub fn to_records(self) -> Cost {
        self.to_differences() + self.numbering + self.keeping
    }
}

impl Sum for Costs {
    fn sum<I: Iterator<Item = Costs>>(all: I) -> Costs {
        all.fold(Costs::default(), |sum, one| Costs {
            adapter: sum.adapter + one.adapter,
            dataflow: sum.dataflow + one.dataflow,
            numbering: sum.numbering + one.numbering,
            keeping: sum.keeping + one.keeping,
        })
    }
}

/// What came of one tick.
#[derive(Default)]
pub struct Ticked {
    pub costs: Costs,
    /// Differences, and those of them that time has caused.
    pub changes: u64,
    pub by_time: u64,
}

/// All parts, and the answers so far.
pub struct Pipeline {
    adapter: Adapter<MemoryKeyIndex>,
    dataflow: Dataflow,
    pub answer: Answer,
    /// If ticks are kept.
    pub keeping: Option<Keeping>,
    binding: u64,
    ordinal: u64,
    pub t_ms: Millis,
}

/// The judge of all workloads.
pub fn judge() -> anyhow::Result<Judge> {
    let keys = Keys::development();
    Ok(Judge { catalogue: Catalogue::shipped()?.into(), keys: keys.into() })
}

/// Every source is on, and what a file defines is in force.
pub fn control(definitions: Option<&Path>) -> anyhow::Result<ControlState> {
    let mut control = ControlState::with_unlisted(Ingestion::On);
    if let Some(file) = definitions {
        let shown = || file.display().to_string();
        control.apply(&std::fs::read(file).with_context(shown)?).with_context(shown)?;
    }
    Ok(control)
}

impl Pipeline {
    /// Before the first tick, which is after `t_ms`.
    pub fn start(control: ControlState, workers: usize, t_ms: Millis) -> anyhow::Result<Pipeline> {
        let (topics, index) = (Topics::default(), MemoryKeyIndex::default());
        Ok(Pipeline {
            adapter: Adapter::new(judge()?, topics, index, control),
            dataflow: Dataflow::start(workers)?,
            answer: Answer::default(),
            keeping: None,
            binding: 0,
            ordinal: 0,
            t_ms,
        })
    }

    /// A tick at `at_ms`, or as soon as the tick before allows.
    pub fn tick(&mut self, records: &[Record], at_ms: Option<Millis>) -> anyhow::Result<Ticked> {
        self.t_ms = at_ms.unwrap_or_default().max(self.t_ms + 1);
        self.binding += 1;
        let (adapted, adapter) = cost(|| self.adapter.adapt(self.t_ms, self.ordinal, records))?;
        let mut adapted = adapted?;
        let (kept, copying) =
            cost(|| self.keeping.is_some().then(|| KeptTick::new(&adapted, self.t_ms)))?;
        let input = std::mem::take(&mut adapted.input);
        let (output, dataflow) = cost(|| self.dataflow.tick(input))?;
        let moments = output?.moments;
        // In no part: this is how runs are compared.
        self.answer.take_in(&moments);
        let (changes, by_time) = count(&moments);
        let binding = self.binding();
        let (numbered, numbering) = cost(|| {
            self.adapter.learn(&moments);
            let numbered = number(&binding, adapted.rows, moments, self.adapter.token_keys());
            std::hint::black_box(numbered)
        })?;
        let numbered = numbered?;
        self.adapter.commit()?;
        let (handed_over, handing) = cost(|| match (&mut self.keeping, kept) {
            (Some(keeping), Some(kept)) => {
                keeping.keep(kept, self.t_ms, numbered.records, &self.adapter)
            }
            _ => Ok(()),
        })?;
        handed_over?;
        self.ordinal += records.len() as u64;
        let costs = Costs { adapter, dataflow, numbering, keeping: copying + handing };
        Ok(Ticked { costs, changes, by_time })
    }

    /// A tick of facts that no record has told: neither adapted, nor numbered, nor in the answer.
    pub fn tick_of_facts(&mut self, input: TickInput) -> anyhow::Result<()> {
        self.t_ms = input.t_ms;
        self.dataflow.tick(input)?;
        Ok(())
    }

    pub fn shutdown(self) {
        self.dataflow.shutdown();
    }

    fn binding(&self) -> Binding {
        Binding {
            number: self.binding,
            t_ms: self.t_ms,
            generation: 0,
            logic_version: LOGIC_VERSION,
            previous: Digest::NONE,
            first_ordinal: self.ordinal,
            ranges: Vec::new(),
        }
    }
}

/// All changes, and those that time has caused.
fn count(moments: &[Moment]) -> (u64, u64) {
    let changes = moments.iter().flat_map(|moment| &moment.changes);
    let by_time = |change: &&Change| match change {
        Change::Segment { cause, .. } | Change::Metric { cause, .. } => *cause == Cause::Time,
        _ => false,
    };
    (changes.clone().count() as u64, changes.filter(by_time).count() as u64)
}
