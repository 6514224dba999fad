//! Previews from outside: begin one, go on with it between ticks, take what it found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cebe_schemas::change::Rate;
use cebe_schemas::definition::{Definitions, Metric, Segment};
use cebe_schemas::preview::{Edit, Preview, PreviewedMetric, PreviewedRate, PreviewedSegment};
use cebe_schemas::time::Millis;

use super::Dataflow;
use crate::error::DataflowError;
use crate::operator::persons::{Compared, Differences};
use crate::plan::GroupTexts;
use crate::row::{AccountId, MetricId, RateKey, SegmentId, Weight};
use crate::view::person::Truth;

/// How far a preview is.
pub enum PreviewStep {
    /// So many persons are left to be looked at, at least.
    Left(usize),
    /// It is complete.
    Done(Box<Previewed>),
    /// It was dropped: definitions changed meanwhile, or its time is over.
    Dropped,
}

impl Dataflow {
    /// Begins to find out what `definitions` would change, which are resolved and complete. It is
    /// dropped when definitions come into force, when another one begins, or once `patience_ms` of
    /// logical time are over. It needs about 120 bytes for each person that would change, and 32 for
    /// each that changes meanwhile.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn begin_preview(
        &mut self,
        definitions: &Definitions,
        patience_ms: Millis,
    ) -> Result<(), DataflowError> {
        let (old, new) = (self.names.plan(&self.definitions), self.names.plan(definitions));
        let compared = Arc::new(Compared::new(&old, &new));
        let horizon = self.time().saturating_add(patience_ms.unsigned_abs());
        self.workers.ask_all(move |graph| {
            graph.persons_mut().begin_preview(compared.clone(), horizon);
        })?;
        self.preview = Some(self.edits(definitions));
        Ok(())
    }

    /// Looks at persons until each worker has been through about `budget` events. Once nobody is left
    /// at the last tick, the answer is true at exactly that logical time.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn continue_preview(&mut self, budget: usize) -> Result<PreviewStep, DataflowError> {
        let time = self.time();
        let left = self.workers.ask_all(move |graph| graph.persons_mut().preview(time, budget))?;
        let Some(left) = left.into_iter().sum::<Option<usize>>() else {
            self.drop_preview()?;
            return Ok(PreviewStep::Dropped);
        };
        if left > 0 {
            return Ok(PreviewStep::Left(left));
        }
        let found = self.workers.ask_all(|graph| graph.persons_mut().end_preview())?;
        let Some(edits) = self.preview.take() else { return Ok(PreviewStep::Dropped) };
        let mut moves: HashMap<RateKey, Weight> = HashMap::new();
        for (key, (numerator, denominator)) in found.iter().flat_map(|found| &found.rates) {
            let weight = moves.entry(*key).or_default();
            *weight = (weight.0 + numerator, weight.1 + denominator);
        }
        moves.retain(|_, weight| *weight != (0, 0));
        let rates = moves.into_iter().map(|(key, weight)| (key, self.values.get(&key), weight));
        Ok(PreviewStep::Done(Box::new(Previewed {
            t_ms: self.last_ms.unwrap_or_default(),
            rates: rates.collect(),
            groups: self.names.groups(),
            edits,
            found,
        })))
    }

    /// Drops the preview under way, if any.
    ///
    /// # Errors
    /// [`DataflowError::WorkerStopped`].
    pub fn drop_preview(&mut self) -> Result<(), DataflowError> {
        self.preview = None;
        self.workers.ask_all(|graph| drop(graph.persons_mut().end_preview()))?;
        Ok(())
    }

    /// How each definition differs that is not the same in `new`.
    fn edits(&mut self, new: &Definitions) -> Edits {
        let old = self.definitions.clone();
        let segments = |all: &[Arc<Segment>]| -> BTreeMap<_, _> {
            let key = |segment: &Segment| (segment.account_id.clone(), segment.segment_id.clone());
            all.iter().map(|segment| (key(segment), segment.clone())).collect()
        };
        let own_metrics = |all: &[Arc<Metric>]| -> BTreeMap<_, _> {
            let key = |metric: &Metric| Some((metric.account_id.clone()?, metric.metric.clone()));
            all.iter().filter_map(|metric| Some((key(metric)?, metric.clone()))).collect()
        };
        let mut edits = Edits::default();
        for ((account, id), edit) in
            differing(segments(&old.segments), segments(&new.segments), |old, new| {
                match old.when == new.when {
                    true => Edit::Unchanged,
                    false if old.about.definition == new.about.definition => Edit::Refers,
                    false => Edit::Edited,
                }
            })
        {
            let number = self.names.segment_id(&account, &id);
            edits.segments.insert(number, ((account, id), edit));
        }
        for ((account, id), edit) in
            differing(own_metrics(&old.metrics), own_metrics(&new.metrics), |old, new| {
                match *old
                    == (Metric { about: old.about.clone(), version: old.version, ..new.clone() })
                {
                    true => Edit::Unchanged,
                    false => Edit::Edited,
                }
            })
        {
            let number = (self.names.account_id(&account), self.names.metric_id(&id));
            edits.metrics.insert(number, ((account, id), edit));
        }
        edits
    }

    /// The last logical time.
    pub(super) fn time(&self) -> u64 {
        self.last_ms.and_then(|t_ms| u64::try_from(t_ms).ok()).unwrap_or_default()
    }
}

/// A definition, by what names it: (account, id).
type Key = (Arc<str>, Arc<str>);

fn differing<T: PartialEq>(
    old: BTreeMap<Key, Arc<T>>,
    mut new: BTreeMap<Key, Arc<T>>,
    how: impl Fn(&T, &T) -> Edit,
) -> Vec<(Key, Edit)> {
    let mut edits = Vec::new();
    for (key, old) in old {
        match new.remove(&key) {
            None => edits.push((key, Edit::Removed)),
            Some(new) if new != old => edits.push((key, how(&old, &new))),
            Some(_) => {}
        }
    }
    edits.extend(new.into_keys().map(|key| (key, Edit::New)));
    edits
}

/// Definitions that differ, by their numbers.
#[derive(Default)]
pub(super) struct Edits {
    segments: HashMap<SegmentId, (Key, Edit)>,
    metrics: HashMap<(AccountId, MetricId), (Key, Edit)>,
}

/// What a preview found. To write it down takes a while: best on another thread.
pub struct Previewed {
    t_ms: Millis,
    edits: Edits,
    found: Vec<Differences>,
    /// What each rate is, and how it would move.
    rates: Vec<(RateKey, Rate, Weight)>,
    groups: GroupTexts,
}

impl Previewed {
    /// The answer, each list cut to `limit`.
    pub fn report(self, limit: usize) -> Preview {
        let mut moving: HashMap<SegmentId, [Vec<Arc<str>>; 2]> = HashMap::new();
        for person in self.found.into_iter().flat_map(|found| found.persons.into_values()) {
            for (truth, enters) in &person.truths {
                if let Truth::Segment(id) = truth {
                    let lists = moving.entry(*id).or_default();
                    lists[usize::from(*enters)].push(person.customer.clone());
                }
            }
        }
        let segments =
            self.edits.segments.into_iter().map(|(id, ((account_id, segment_id), edit))| {
                let [leave, enter] = moving.remove(&id).unwrap_or_default();
                PreviewedSegment {
                    account_id,
                    segment_id,
                    edit,
                    entering: enter.len() as u64,
                    leaving: leave.len() as u64,
                    enter: first(enter, limit),
                    leave: first(leave, limit),
                }
            });
        let mut segments: Vec<_> = segments.collect();
        segments
            .sort_by(|a, b| (&a.account_id, &a.segment_id).cmp(&(&b.account_id, &b.segment_id)));
        let mut rates: HashMap<(AccountId, MetricId), Vec<PreviewedRate>> = HashMap::new();
        for (RateKey { account, metric, group }, old, weight) in self.rates {
            let group_key = match group {
                cebe_schemas::id::Group::NONE => "".into(),
                group => self.groups.get(group).unwrap_or_default(),
            };
            let rate = PreviewedRate::new(group_key, old, moved(old, weight));
            rates.entry((account, metric)).or_default().push(rate);
        }
        let metrics = self.edits.metrics.into_iter().map(|(id, ((account_id, metric), edit))| {
            let mut rates = rates.remove(&id).unwrap_or_default();
            rates.sort_by(|a, b| a.group_key.cmp(&b.group_key));
            let moving = rates.len() as u64;
            rates.truncate(limit);
            PreviewedMetric { account_id, metric, edit, moving, rates }
        });
        let mut metrics: Vec<_> = metrics.collect();
        metrics.sort_by(|a, b| (&a.account_id, &a.metric).cmp(&(&b.account_id, &b.metric)));
        Preview { logical_time: self.t_ms, segments, metrics }
    }
}

/// The first in shortlex order.
fn first(mut ids: Vec<Arc<str>>, limit: usize) -> Vec<Arc<str>> {
    ids.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    ids.truncate(limit);
    ids
}

fn moved(old: Rate, (numerator, denominator): Weight) -> Rate {
    Rate {
        numerator: old.numerator.saturating_add_signed(numerator as i64),
        denominator: old.denominator.saturating_add_signed(denominator as i64),
    }
}
