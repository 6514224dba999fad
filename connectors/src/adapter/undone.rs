//! Backfills that are undone: as if their events had never been read.
//!
//! An adapter that begins before a job can know that the job will be undone ([`Adapter::leave_out`]). It tells
//! nothing of the job's events, so that everything after the job is as without it. What is *counted* stays
//! as it was: a record is the duplicate of an event of the job until the job is undone. In that tick it is taken
//! in, where it stands in the order of arrival.
//!
//! The key index is not rewritten, since a replay may begin before the job is undone. A key that an event of an
//! undone job has used up is used up; [`EventKey::next`] stands for it from then on.
//!
//! Erasures stay: what they took is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cebe_schemas::control::{ControlError, ControlState};
use cebe_schemas::id::EventKey;
use cebe_schemas::verdict::ValidEvent;
use serde::{Deserialize, Serialize};

use super::{AdaptError, AdaptedTick, Adapter, Placed, RetoldEvent};
use crate::kafka::source::Record;
use crate::key_index::{Claim, KeyIndex};

/// What is known of jobs that are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Undone {
    /// The ordinals of their events that had been accepted, by job.
    used: BTreeMap<Arc<str>, Ordinals>,
    /// Jobs that are going to be undone.
    #[serde(skip)]
    ahead: BTreeSet<Arc<str>>,
    /// What is taken in once they are, in order of arrival.
    #[serde(skip)]
    held: Vec<Held>,
    /// While events are told again, the jobs that have used keys up.
    #[serde(skip)]
    keys: HashMap<EventKey, Arc<str>>,
    /// And what is told once jobs are undone.
    #[serde(skip)]
    held_retold: Vec<HeldRetold>,
}

/// Stretches of ordinals, ends left out: sorted, with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Ordinals(Vec<(u64, u64)>);

/// An event that is a duplicate as long as `of` are not undone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) event: ValidEvent,
    pub(super) placed: Placed,
    of: Vec<Arc<str>>,
}

/// An event that is told again, once these jobs are undone.
type HeldRetold = (RetoldEvent, Vec<Arc<str>>);

/// What became of a key that was claimed.
pub(super) struct Claimed {
    pub(super) claim: Claim,
    /// The key that is used up now, if it was free.
    pub(super) key: EventKey,
    /// Jobs that are left out and had used it up.
    pub(super) of: Vec<Arc<str>>,
}

impl Ordinals {
    /// Takes in one that is greater than all.
    fn push(&mut self, ordinal: u64) {
        match self.0.last_mut() {
            Some((_, to)) if *to == ordinal => *to += 1,
            _ => self.0.push((ordinal, ordinal + 1)),
        }
    }

    fn contains(&self, ordinal: u64) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= ordinal);
        after.checked_sub(1).is_some_and(|at| ordinal < self.0[at].1)
    }
}

impl Undone {
    fn job_of(&self, ordinal: u64) -> Option<&Arc<str>> {
        self.used.iter().find(|(_, used)| used.contains(ordinal)).map(|(job, _)| job)
    }

    /// That an event of `job` had been accepted.
    pub(super) fn used(&mut self, job: &Arc<str>, ordinal: u64) {
        self.used.entry(job.clone()).or_default().push(ordinal);
    }

    /// Keeps an event until all of the jobs are undone.
    pub(super) fn hold(&mut self, event: ValidEvent, placed: Placed, of: Vec<Arc<str>>) {
        self.held.push(Held { event, placed, of });
    }
}

/// While events are told again there is no key index to ask.
impl Undone {
    /// What stands for `key`, and the jobs that are left out and had used it up.
    pub(super) fn stands_for(&self, mut key: EventKey) -> (EventKey, Vec<Arc<str>>) {
        let mut jobs = Vec::new();
        while let Some(job) = self.keys.get(&key) {
            jobs.push(job.clone());
            key = key.next();
        }
        (key, jobs)
    }

    /// That an event of `job` had been accepted.
    pub(super) fn retold(&mut self, job: &Arc<str>, ordinal: u64, key: EventKey) {
        self.used(job, ordinal);
        self.keys.insert(key, job.clone());
    }

    /// Keeps an event until all of the jobs are undone.
    pub(super) fn hold_retold(&mut self, event: RetoldEvent, of: Vec<Arc<str>>) {
        self.held_retold.push((event, of));
    }

    /// What was kept until the last of its jobs was `undone`.
    pub(super) fn retell(&mut self, undone: &BTreeSet<Arc<str>>) -> Vec<RetoldEvent> {
        let held = std::mem::take(&mut self.held_retold);
        let is_ready = |(_, of): &HeldRetold| of.iter().all(|job| undone.contains(job));
        let (ready, held): (Vec<_>, Vec<_>) = held.into_iter().partition(is_ready);
        self.held_retold = held;
        ready.into_iter().map(|(event, _)| event).collect()
    }
}

impl<K> Adapter<K> {
    /// Tells nothing of the events of `jobs`, which are going to be undone. Only for an adapter that has read
    /// nothing of them yet.
    pub fn leave_out(&mut self, jobs: impl IntoIterator<Item = Arc<str>>) {
        self.undone.ahead.extend(jobs);
    }

    /// The jobs that a tick with these `records` undoes. What was told of them before that has to be taken back,
    /// by an adapter that has [left them out](Adapter::leave_out) from the beginning.
    pub fn undoes(&self, records: &[Record]) -> BTreeSet<Arc<str>> {
        let mut control = records.iter().filter(|record| *record.topic == self.topics.control);
        let Some(first) = control.next().filter(|_| self.may_undo()) else {
            return BTreeSet::new();
        };
        let mut next = self.control.clone();
        match next.apply(&first.payload) {
            Ok(_) => newly_undone(&self.control, &next).cloned().collect(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// Whether nothing waits for history: what is being read would bring in again what is taken back.
    pub fn may_undo(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Why a control record that makes `next` of the state is refused. `is_first`: of its tick.
    pub(super) fn cannot_undo(&self, next: &ControlState, is_first: bool) -> Option<ControlError> {
        let job = newly_undone(&self.control, next).next()?;
        let message = "can be undone once no control record waits for history: say it again then";
        (!is_first || !self.may_undo()).then(|| ControlError::Invalid {
            pointer: format!("/backfills/{job}"),
            message: message.to_owned(),
        })
    }

    pub(super) fn is_left_out(&self, job: &str) -> bool {
        self.undone.ahead.contains(job) || self.control.undoing().undone().contains(job)
    }

    /// Whether all of `jobs` are undone.
    pub(super) fn are_undone(&self, jobs: &[Arc<str>]) -> bool {
        jobs.iter().all(|job| self.control.undoing().undone().contains(job))
    }
}

impl<K: KeyIndex> Adapter<K> {
    /// Claims `key`, or what stands for it where jobs that are left out have used it up.
    pub(super) fn claim(
        &mut self,
        mut key: EventKey,
        placed: &Placed,
    ) -> Result<Claimed, AdaptError> {
        let horizon_ms = self.control.settings().dedup_horizon_ms;
        let mut jobs = Vec::new();
        loop {
            let claim = self.keys.claim(key, placed.record_ordinal, placed.t_ms, horizon_ms)?;
            let of = match claim {
                Claim::Duplicate { of } => self.undone.job_of(of),
                Claim::First => None,
            };
            let Some(job) = of else { return Ok(Claimed { claim, key, of: jobs }) };
            jobs.push(job.clone());
            key = key.next();
        }
    }

    /// Takes in what had been a duplicate of events of jobs that are undone now.
    pub(super) fn take_up(&mut self, tick: &mut AdaptedTick) {
        let held = std::mem::take(&mut self.undone.held);
        let (ready, held) = held.into_iter().partition(|held: &Held| self.are_undone(&held.of));
        self.undone.held = held;
        for Held { event, placed, .. } in ready {
            self.ledger.taken_up(&placed.topic, placed.partition);
            let is_backfill = self.topics.is_backfill(&placed.topic);
            if is_backfill {
                self.backfills.taken_up(&event.source_module, &placed.job);
            }
            self.accept(event, is_backfill, &placed, tick);
        }
    }
}

fn newly_undone<'n>(
    control: &'n ControlState,
    next: &'n ControlState,
) -> impl Iterator<Item = &'n Arc<str>> {
    next.undoing().undone().difference(control.undoing().undone())
}
