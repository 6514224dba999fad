//! The thread that keeps facts: what has come is sealed into files and a manifest, and files are merged in
//! between.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use object_store::PutPayload;

use super::compaction::{Compaction, Sizes, merge_keys};
use super::keeper::{KeptTick, Order, SealedAt};
use super::manifest::{FileName, Files, KEPT, Manifest, Segment};
use super::reading::ReadError;
use super::store::{Store, StoreError};
use super::{document, file, keys};
use crate::adapter::SavedStanding;
use crate::fault;

/// So many rows are held while the store fails; then the engine waits too.
const OPEN_ROWS_MAX: usize = 2_000_000;
/// The first pause after the store has failed, and the longest.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Files on their way into the store, the manifest that names them last.
struct Pending {
    files: VecDeque<(FileName, PutPayload)>,
    manifest: Manifest,
    failures: u32,
    again_at: Instant,
}

/// The keeper's own side.
pub(super) struct Desk {
    store: Store,
    sizes: Sizes,
    rests_on: String,
    /// What the next manifest names, but for what is still open.
    files: Files,
    /// The last ones, oldest first.
    manifests: Vec<Manifest>,
    open: KeptTick,
    pending: Option<Pending>,
    compaction: Option<Compaction>,
    /// A file that is to be merged is damaged: the next start finds out what to do.
    is_damaged: bool,
    is_sealing: Arc<AtomicBool>,
    /// All objects that this engine has found or written, and not deleted. What another one writes is
    /// none of its business.
    known: BTreeSet<String>,
}

impl Desk {
    /// Goes on from the first of `manifests`.
    pub(super) fn new(
        store: Store,
        sizes: Sizes,
        rests_on: String,
        manifests: &[Manifest],
        is_sealing: Arc<AtomicBool>,
    ) -> Desk {
        Desk {
            store,
            sizes,
            rests_on,
            files: manifests.first().map(|newest| newest.files.clone()).unwrap_or_default(),
            manifests: manifests.iter().rev().cloned().collect(),
            open: KeptTick::default(),
            pending: None,
            compaction: None,
            is_damaged: false,
            is_sealing,
            known: BTreeSet::new(),
        }
    }

    /// Takes orders until there will be no more.
    pub(super) fn work(mut self, inbox: &Receiver<Order>) {
        match self.store.list() {
            Ok(names) => self.known.extend(names),
            Err(error) => tracing::warn!(%error, "old snapshots are left for now"),
        }
        loop {
            let is_full = self.open.facts.len() > OPEN_ROWS_MAX && self.pending.is_some();
            if is_full {
                std::thread::sleep(BACKOFF);
            } else {
                match inbox.recv_timeout(self.patience()) {
                    Ok(Order::Keep(tick)) => self.keep(*tick),
                    Ok(Order::Seal(at)) => self.seal(*at),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            self.write();
            if self.pending.is_none() {
                self.compact();
            }
        }
        // The last one may still be on its way; if the store fails now, the one before will do.
        self.write();
    }

    fn patience(&self) -> Duration {
        match (&self.pending, &self.compaction) {
            (Some(pending), _) => pending.again_at.saturating_duration_since(Instant::now()),
            (None, Some(_)) => Duration::ZERO,
            (None, None) => Duration::from_secs(1),
        }
    }

    fn keep(&mut self, tick: KeptTick) {
        self.open.facts.append(tick.facts);
        self.open.keys.extend(tick.keys);
    }

    /// Makes files of what is open, to be written with the manifest of `at`.
    fn seal(&mut self, at: SealedAt) {
        // What is open goes into the next one.
        if self.pending.is_none() {
            match self.sealed(at) {
                Ok(pending) => self.pending = Some(pending),
                Err(error) => tracing::error!(%error, "a snapshot cannot be written as json"),
            }
        }
        self.is_sealing.store(self.pending.is_some(), Ordering::Release);
    }

    fn sealed(&mut self, at: SealedAt) -> Result<Pending, serde_json::Error> {
        let SealedAt { place, adapter } = at;
        let (standing_name, standing) = standing(&adapter.standing)?;
        let mut files = VecDeque::new();
        let mut add = |kind: &str, bytes: Vec<u8>, next_ordinal: u64| {
            let (name, size) = (file::name(kind, &bytes), bytes.len() as u64);
            files.push_back((name.clone(), PutPayload::from(bytes)));
            Segment { name, bytes: size, next_ordinal }
        };
        let KeptTick { mut facts, keys } = std::mem::take(&mut self.open);
        if !facts.is_empty() {
            facts.settle(false);
            self.files.recent.push(add("facts", facts.to_bytes(), 0));
        }
        if let Some((_, last)) = keys.last() {
            self.files.keys.push(add("keys", keys::to_bytes(&keys), last.ordinal + 1));
        }
        if self.manifests.iter().all(|manifest| manifest.standing != standing_name) {
            files.push_back((standing_name.clone(), standing.into()));
        }
        let head = place.chain.head();
        let manifest = Manifest {
            layout: file::layout(),
            rests_on: self.rests_on.clone(),
            binding: head.number,
            t_ms: head.t_ms,
            next_ordinal: head.next_ordinal,
            counters: adapter.counters,
            standing: standing_name,
            files: self.files.clone(),
            place,
        };
        files.push_back((manifest.name(), document::write(&manifest)?.into()));
        Ok(Pending { files, manifest, failures: 0, again_at: Instant::now() })
    }

    /// Writes what is on its way: the files first, then the manifest that names them.
    fn write(&mut self) {
        let Some(pending) = self.pending.as_mut().filter(|p| p.again_at <= Instant::now()) else {
            return;
        };
        match write(&self.store, &mut pending.files) {
            Ok(()) => {
                if pending.failures > 0 {
                    tracing::info!(location = self.store.location(), "snapshots are written again");
                }
                fault::point("after_manifest");
                if let Some(Pending { manifest, .. }) = self.pending.take() {
                    tell(&manifest);
                    self.known.extend(manifest.names().cloned().chain([manifest.name()]));
                    self.manifests.push(manifest);
                }
                self.is_sealing.store(false, Ordering::Release);
                self.collect_garbage();
            }
            Err(error) => {
                if pending.failures == 0 {
                    tracing::warn!(%error, "no snapshot can be written; trying again");
                }
                let pause = BACKOFF.saturating_mul(1 << pending.failures.min(16)).min(BACKOFF_MAX);
                pending.failures += 1;
                pending.again_at = Instant::now() + pause;
            }
        }
    }

    /// Deletes what no kept manifest names. What cannot be deleted is tried again the next time.
    fn collect_garbage(&mut self) {
        let surplus = self.manifests.len().saturating_sub(KEPT);
        self.manifests.drain(..surplus);
        let mut gone = std::mem::take(&mut self.known);
        for manifest in &self.manifests {
            let names = manifest.names().cloned().chain([manifest.name()]);
            self.known.extend(names.filter(|name| gone.remove(name)));
        }
        let merged = self.compaction.iter().flat_map(Compaction::written);
        for Segment { name, .. } in self.files.all().chain(merged) {
            gone.remove(name);
            self.known.insert(name.clone());
        }
        for name in gone {
            if let Err(error) = self.store.delete(&name)
                && !error.is_not_found()
            {
                tracing::warn!(%error, "an old snapshot is left for now");
                self.known.insert(name);
            }
        }
    }

    /// Begins a compaction, or takes its next step.
    fn compact(&mut self) {
        if self.is_damaged {
            return;
        }
        let compaction =
            self.compaction.take().or_else(|| Compaction::due(&self.files, &self.sizes));
        let outcome = match compaction {
            None => merge_keys(&mut self.files, &self.sizes, &self.store),
            Some(mut compaction) => {
                let more = compaction.step(&self.store);
                self.known.extend(compaction.written().iter().map(|segment| segment.name.clone()));
                match more {
                    Ok(true) => self.compaction = Some(compaction),
                    Ok(false) => compaction.apply(&mut self.files),
                    Err(_) => {}
                }
                more.map(drop)
            }
        };
        match outcome {
            Ok(()) => {}
            Err(ReadError::Store(error)) => {
                tracing::warn!(%error, "compaction is given up for now");
                std::thread::sleep(BACKOFF);
            }
            Err(error @ ReadError::Damaged { .. }) => {
                tracing::error!(%error, "snapshots are not compacted any more: at the next start, facts \
                    are made anew from the log");
                self.is_damaged = true;
            }
        }
    }
}

fn write(store: &Store, files: &mut VecDeque<(FileName, PutPayload)>) -> Result<(), StoreError> {
    while let Some((name, payload)) = files.front() {
        if files.len() == 1 {
            fault::point("before_manifest");
        }
        store.put(name, payload.clone())?;
        files.pop_front();
    }
    Ok(())
}

fn standing(standing: &SavedStanding) -> Result<(FileName, Vec<u8>), serde_json::Error> {
    let document = document::write(standing)?;
    // It begins with its checksum.
    let digest: String = document.iter().take(32).map(|digit| *digit as char).collect();
    Ok((format!("standing-{digest}"), document))
}

fn tell(manifest: &Manifest) {
    let (facts_bytes, keys_bytes) = manifest.sizes_bytes();
    metrics::counter!("cebe_snapshots_written_total").increment(1);
    metrics::gauge!("cebe_snapshot_binding_number").set(manifest.binding as f64);
    metrics::gauge!("cebe_snapshot_facts_bytes").set(facts_bytes as f64);
    metrics::gauge!("cebe_snapshot_keys_bytes").set(keys_bytes as f64);
    tracing::debug!(binding = manifest.binding, facts_bytes, keys_bytes, "a snapshot is written");
}
