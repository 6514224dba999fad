//! The thread that keeps facts: what has come is sealed into files and a manifest, and files are merged in
//! between.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use object_store::PutPayload;

use super::compaction::{Compaction, Sizes, merge_keys};
use super::content::Content;
use super::facts::Facts;
use super::keeper::{KeptTick, Order, Origin, SealedAt};
use super::manifest::{
    Family, FileName, Files, KEPT, KindBytes, Manifest, PublishedAt, Segment, is_manifest,
};
use super::published::Published;
use super::reading::ReadError;
use super::store::{Store, StoreError};
use super::{document, file, keys};
use crate::adapter::SavedStanding;
use crate::backfill::UNDONE_WITHIN_MS;
use crate::fault;

/// So many rows are held while the store fails; then the engine waits too.
const OPEN_ROWS_MAX: usize = 1_000_000;
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
    /// As of when the files and what is open tell what was published.
    published: Option<PublishedAt>,
    open_published: Published,
    pending: Option<Pending>,
    merging: Merging,
    /// A file that is to be merged is damaged: the next start finds out what to do.
    is_damaged: bool,
    is_sealing: Arc<AtomicBool>,
    /// All objects that this engine has found or written, and not deleted. What another one writes is
    /// none of its business.
    known: BTreeSet<String>,
}

impl Desk {
    /// Goes on from `origin`.
    pub(super) fn new(
        store: Store,
        sizes: Sizes,
        rests_on: String,
        origin: Origin<'_>,
        is_sealing: Arc<AtomicBool>,
    ) -> Desk {
        let Origin { states, outputs, is_first } = origin;
        let mut files = states.first().map(|newest| newest.files.clone()).unwrap_or_default();
        let outputs = outputs.or(states.first());
        files.published = outputs.map(|of| of.files.published.clone()).unwrap_or_default();
        let nothing = is_first.then(|| PublishedAt::new(0, 0));
        Desk {
            store,
            sizes,
            rests_on,
            files,
            manifests: states.iter().rev().cloned().collect(),
            open: KeptTick::default(),
            published: outputs.map_or(nothing, |of| of.published().cloned()),
            open_published: Published::default(),
            pending: None,
            merging: Merging::default(),
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
            let rows = self.open.facts.len() + self.open_published.rows().len();
            let is_full = rows > OPEN_ROWS_MAX && self.pending.is_some();
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
        match (&self.pending, self.merging.is_under_way()) {
            (Some(pending), _) => pending.again_at.saturating_duration_since(Instant::now()),
            (None, true) => Duration::ZERO,
            (None, false) => Duration::from_secs(1),
        }
    }

    fn keep(&mut self, tick: KeptTick) {
        self.open.facts.append(tick.facts);
        self.open.keys.extend(tick.keys);
        if let (Some(published), Some((at, rows))) = (&mut self.published, tick.published) {
            *published = at;
            self.open_published.append(rows);
        }
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
        let SealedAt { place, adapter, logic_version } = at;
        let (standing_name, standing) = standing(&adapter.standing)?;
        let mut files = VecDeque::new();
        let mut add = |kind: &str, bytes: Vec<u8>, next_ordinal: u64| {
            let (name, size) = (file::name(kind, &bytes), bytes.len() as u64);
            files.push_back((name.clone(), PutPayload::from(bytes)));
            Segment { name, bytes: size, next_ordinal }
        };
        let KeptTick { mut facts, keys, .. } = std::mem::take(&mut self.open);
        if !facts.is_empty() {
            facts.settle(false);
            self.files.facts.recent.push(add(Facts::KIND, facts.to_bytes(), 0));
        }
        let mut published = std::mem::take(&mut self.open_published);
        if !published.is_empty() {
            published.settle(false);
            self.files.published.recent.push(add(Published::KIND, published.to_bytes(), 0));
        }
        if let Some((_, last)) = keys.last() {
            self.files.keys.push(add("keys", keys::to_bytes(&keys), last.ordinal + 1));
        }
        if self.manifests.iter().all(|manifest| manifest.standing != standing_name) {
            files.push_back((standing_name.clone(), standing.into()));
        }
        let head = place.chain.head();
        let manifest = Manifest {
            layout: file::FACTS.to_string(),
            rests_on: self.rests_on.clone(),
            binding: head.number,
            t_ms: head.t_ms,
            logic_version,
            next_ordinal: head.next_ordinal,
            counters: adapter.counters,
            standing: standing_name,
            published: self.published.clone(),
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
        if self.is_overtaken() {
            return;
        }
        self.forget_manifests();
        let mut gone = std::mem::take(&mut self.known);
        for manifest in &self.manifests {
            let names = manifest.names().cloned().chain([manifest.name()]);
            self.known.extend(names.filter(|name| gone.remove(name)));
        }
        for Segment { name, .. } in self.files.all().chain(self.merging.written()) {
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

    /// Whether another engine has gone on from here: it may need what this one does not.
    fn is_overtaken(&self) -> bool {
        let newest = self.manifests.last().map(Manifest::name);
        let is_later = |name: &String| is_manifest(name) && Some(name) > newest.as_ref();
        self.store.list().is_ok_and(|names| names.iter().any(is_later))
    }

    /// Keeps the last manifests; the last one of before the base was merged, since it shares none of these
    /// files, of which one may be damaged; and the last one of before each backfill that may be undone.
    fn forget_manifests(&mut self) {
        let Some(newest) = self.manifests.last() else { return };
        let base = &newest.files.facts.base;
        let is_apart = |of: &Manifest| of.files.facts.base.iter().all(|file| !base.contains(file));
        let mut kept: BTreeSet<usize> =
            self.manifests.iter().rposition(is_apart).into_iter().collect();
        for job in newest.counters.backfills() {
            let is_named = !job.id.is_empty();
            if is_named && newest.t_ms - job.last_ms < UNDONE_WITHIN_MS {
                let only = BTreeSet::from([job.id.clone()]);
                kept.extend(self.manifests.iter().rposition(|of| of.has_read_none(&only)));
            }
        }
        let surplus = self.manifests.len().saturating_sub(KEPT);
        let mut at = 0;
        self.manifests.retain(|_| {
            at += 1;
            at > surplus || kept.contains(&(at - 1))
        });
    }

    /// Begins a compaction, or takes its next step.
    fn compact(&mut self) {
        if self.is_damaged {
            return;
        }
        let (sizes, store, known) = (&self.sizes, &self.store, &mut self.known);
        let Files { facts, published, .. } = &mut self.files;
        let outcome = match advance(&mut self.merging.facts, facts, sizes, store, known) {
            Ok(false) => match advance(&mut self.merging.published, published, sizes, store, known)
            {
                Err(ReadError::Damaged { name, damage }) => {
                    tracing::error!(name, %damage, "what was published is not known any more: only a \
                        change of logic needs it");
                    (self.published, self.files.published) = (None, Family::default());
                    Ok(())
                }
                Ok(false) => merge_keys(&mut self.files, &self.sizes, &self.store),
                outcome => outcome.map(drop),
            },
            outcome => outcome.map(drop),
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

/// Merges under way.
#[derive(Default)]
struct Merging {
    facts: Option<Compaction<Facts>>,
    published: Option<Compaction<Published>>,
}

impl Merging {
    fn is_under_way(&self) -> bool {
        self.facts.is_some() || self.published.is_some()
    }

    fn written(&self) -> impl Iterator<Item = &Segment> {
        let facts = self.facts.iter().flat_map(Compaction::written);
        facts.chain(self.published.iter().flat_map(Compaction::written))
    }
}

/// Begins to merge `files` if it is time, or takes the next step. Whether there was anything to do.
fn advance<C: Content>(
    under_way: &mut Option<Compaction<C>>,
    files: &mut Family,
    sizes: &Sizes,
    store: &Store,
    known: &mut BTreeSet<String>,
) -> Result<bool, ReadError> {
    let Some(mut compaction) = under_way.take().or_else(|| Compaction::due(files, sizes)) else {
        return Ok(false);
    };
    let more = compaction.step(store);
    known.extend(compaction.written().iter().map(|segment| segment.name.clone()));
    match more? {
        true => *under_way = Some(compaction),
        false => compaction.apply(files),
    }
    Ok(true)
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
    let KindBytes { facts, keys, published } = manifest.sizes();
    metrics::counter!("cebe_snapshots_written_total").increment(1);
    metrics::gauge!("cebe_snapshot_binding_number").set(manifest.binding as f64);
    metrics::gauge!("cebe_snapshot_facts_bytes").set(facts as f64);
    metrics::gauge!("cebe_snapshot_keys_bytes").set(keys as f64);
    metrics::gauge!("cebe_snapshot_published_bytes").set(published as f64);
    tracing::debug!(binding = manifest.binding, facts, keys, published, "a snapshot is written");
}
