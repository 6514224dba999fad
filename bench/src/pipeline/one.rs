//! One configuration: load, then single events.

use std::time::{Duration, Instant};

use anyhow::Context;
use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::{Binding, Digest, LOGIC_VERSION};
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::source::Record;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::number;
use cebe_dataflow::Dataflow;
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;
use serde_json::{Value, json};

use super::Options;
use super::answer::Answer;
use super::source::{Source, take};
use crate::measure::{Timings, cpu_time, peak_bytes};
use crate::workload::START_MS;

/// Processor time of each part.
#[derive(Default)]
struct Costs {
    judge: Duration,
    adapter: Duration,
    dataflow: Duration,
    numbering: Duration,
}

struct Pipeline {
    judge: Judge,
    control: ControlState,
    adapter: Adapter<MemoryKeyIndex>,
    dataflow: Dataflow,
    answer: Answer,
    costs: Costs,
    binding: u64,
    ordinal: u64,
    t_ms: Millis,
}

pub fn measure(options: &Options) -> anyhow::Result<Value> {
    let (count, batch, workers) = (options.count[0], options.batch[0], options.workers[0]);
    let mut source = Source::open(options.events.as_deref(), count)?;
    let mut pipeline = Pipeline::new(options, workers)?;
    let (mut ticks, mut events) = (Timings::default(), 0);
    let mut wall = Duration::ZERO;
    while events < count {
        let (records, at_ms) = take(&mut source, batch.min((count - events) as usize), events)?;
        if records.is_empty() {
            break;
        }
        events += records.len() as u64;
        pipeline.judge_alone(&records, at_ms)?;
        let begin = Instant::now();
        pipeline.tick(&records, at_ms)?;
        wall += begin.elapsed();
        ticks.add(begin.elapsed());
    }
    let load = std::mem::take(&mut pipeline.costs);
    let (peak, answer) = (peak_bytes()?, pipeline.answer.hex());
    let mut singles = Timings::default();
    for n in 0..options.probes {
        let (records, at_ms) = take(&mut source, 1, events + n)?;
        if records.is_empty() {
            break;
        }
        let begin = Instant::now();
        pipeline.tick(&records, at_ms)?;
        singles.add(begin.elapsed());
    }
    pipeline.dataflow.shutdown();
    let [tick_p99, tick_max] = ticks.quantiles_ms([0.99, 1.0]);
    let [one_p50, one_p99] = singles.quantiles_ms([0.5, 0.99]);
    let s = |part: Duration| part.as_secs_f64();
    Ok(json!({
        "workload": "pipeline", "events": events, "batch": batch, "workers": workers,
        "whole_cpu_s": s(load.adapter + load.dataflow + load.numbering),
        "dataflow_cpu_s": s(load.dataflow), "adapter_cpu_s": s(load.adapter),
        "judge_cpu_s": s(load.judge), "load_wall_s": s(wall), "tick_p99_ms": tick_p99,
        "tick_max_ms": tick_max, "one_p50_ms": one_p50, "one_p99_ms": one_p99,
        "peak_bytes": peak, "answer": answer,
    }))
}

impl Pipeline {
    fn new(options: &Options, workers: usize) -> anyhow::Result<Pipeline> {
        let keys = Keys::development();
        let judge = Judge { catalogue: Catalogue::shipped()?.into(), keys: keys.into() };
        let mut control = ControlState::with_unlisted(Ingestion::On);
        if let Some(file) = &options.definitions {
            let shown = || file.display().to_string();
            control.apply(&std::fs::read(file).with_context(shown)?).with_context(shown)?;
        }
        let topics = Topics::default();
        let index = MemoryKeyIndex::default();
        Ok(Pipeline {
            adapter: Adapter::new(judge.clone(), topics, index, control.clone()),
            judge,
            control,
            dataflow: Dataflow::start(workers)?,
            answer: Answer::default(),
            costs: Costs::default(),
            binding: 0,
            ordinal: 0,
            t_ms: START_MS,
        })
    }

    /// The verdicts alone: the floor of the adapter.
    fn judge_alone(&mut self, records: &[Record], at_ms: Option<Millis>) -> anyhow::Result<()> {
        let begin = cpu_time()?;
        for record in records {
            let source = record.topic.rsplit_once('.').map_or("", |(_, source)| source);
            let at_ms = at_ms.unwrap_or(self.t_ms + 1);
            std::hint::black_box(self.judge.judge(source, &record.payload, &self.control, at_ms));
        }
        self.costs.judge += cpu_time()? - begin;
        Ok(())
    }

    fn tick(&mut self, records: &[Record], at_ms: Option<Millis>) -> anyhow::Result<()> {
        self.t_ms = at_ms.unwrap_or_default().max(self.t_ms + 1);
        self.binding += 1;
        let begin = cpu_time()?;
        let mut adapted = self.adapter.adapt(self.t_ms, self.ordinal, records)?;
        let adapt_done = cpu_time()?;
        let output = self.dataflow.tick(std::mem::take(&mut adapted.input))?;
        self.adapter.learn(&output.moments);
        let dataflow_done = cpu_time()?;
        // Not a part of it: this is how runs are compared.
        self.answer.take_in(&output.moments);
        let hash_done = cpu_time()?;
        let binding = Binding {
            number: self.binding,
            t_ms: self.t_ms,
            generation: 0,
            logic_version: LOGIC_VERSION,
            previous: Digest::NONE,
            first_ordinal: self.ordinal,
            ranges: Vec::new(),
        };
        let keys = self.adapter.token_keys();
        std::hint::black_box(number(&binding, adapted.rows, output.moments, keys)?);
        self.adapter.commit()?;
        self.ordinal += records.len() as u64;
        self.costs.adapter += adapt_done - begin;
        self.costs.dataflow += dataflow_done - adapt_done;
        self.costs.numbering += cpu_time()? - hash_done;
        Ok(())
    }
}
