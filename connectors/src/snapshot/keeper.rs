//! The thread that keeps facts: it takes every published tick, and now and then seals what has come into
//! files and a manifest. The engine's thread only hands over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cebe_schemas::fact::TickInput;
use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;
use object_store::PutPayload;

use super::compaction::{Compaction, Sizes, merge_keys};
use super::document;
use super::facts::Facts;
use super::file;
use super::keys::{self, Used};
use super::manifest::{FileName, Files, KEPT, Manifest, Segment};
use super::reading::ReadError;
use super::store::{Store, StoreError};
use crate::adapter::{AdaptedTick, SavedAdapter, SavedStanding};
use crate::fault;
use crate::kafka::log_place::LogPlace;
use crate::key_index::Use;

/// So many ticks wait for the keeper; then the engine waits too.
const QUEUE: usize = 64;
/// So many rows are held while the store fails; then the engine waits too.
const OPEN_ROWS_MAX: usize = 2_000_000;
/// The first pause after the store has failed, and the longest.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What a tick adds to what is held, once it is published.
#[derive(Debug, Default)]
pub struct KeptTick {
    /// What was told, and what came of it.
    pub facts: Facts,
    /// Keys that were used up, in order of ordinal.
    pub keys: Vec<Used>,
}

impl KeptTick {
    /// What a tick at `t_ms` tells, before the dataflow takes it in.
    pub fn new(adapted: &AdaptedTick, t_ms: Millis) -> KeptTick {
        let told = TickInput { definitions: None, linking: None, ..adapted.input.clone() };
        let used =
            |(key, ordinal): &(EventKey, u64)| (*key, Use { ordinal: *ordinal, arrival_ms: t_ms });
        let facts = Facts { told, memberships: Vec::new() };
        KeptTick { facts, keys: adapted.keys.iter().map(used).collect() }
    }
}

/// The state of everything else at the end of a tick.
#[derive(Debug)]
pub struct SealedAt {
    /// The tick's binding, which is the last that was read.
    pub place: LogPlace,
    /// After the tick.
    pub adapter: SavedAdapter,
}

enum Order {
    Keep(Box<KeptTick>),
    Seal(Box<SealedAt>),
}

/// The engine's end of the keeper; the thread ends when it is dropped.
pub struct Keeper {
    orders: Option<SyncSender<Order>>,
    is_sealing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Goes on from the first of `manifests`, the state that the engine has begun with, or from nothing.
    /// The others are older. What the facts rest on beside the log is told by `rests_on`.
    ///
    /// # Errors
    /// The thread does not start.
    pub fn start(
        store: Store,
        rests_on: String,
        manifests: &[Manifest],
        sizes: Sizes,
    ) -> std::io::Result<Keeper> {
        let (orders, inbox) = sync_channel(QUEUE);
        let is_sealing = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            sizes,
            rests_on,
            files: manifests.first().map(|newest| newest.files.clone()).unwrap_or_default(),
            manifests: manifests.iter().rev().cloned().collect(),
            open: KeptTick::default(),
            pending: None,
            compaction: None,
            is_damaged: false,
            is_sealing: is_sealing.clone(),
            store,
        };
        let thread = std::thread::Builder::new()
            .name("cebe-keeper".into())
            .spawn(move || desk.work(&inbox))?;
        Ok(Keeper { orders: Some(orders), is_sealing, thread: Some(thread) })
    }

    /// Hands over a published tick. Waits while too much waits.
    pub fn keep(&self, tick: KeptTick) {
        self.order(Order::Keep(Box::new(tick)));
    }

    /// Whether the last seal is still being written: another one has to wait.
    pub fn is_sealing(&self) -> bool {
        self.is_sealing.load(Ordering::Acquire)
    }

    /// Has everything handed over so far written down as the state of `at`.
    pub fn seal(&self, at: SealedAt) {
        self.is_sealing.store(true, Ordering::Release);
        self.order(Order::Seal(Box::new(at)));
    }

    fn order(&self, order: Order) {
        // The thread ends only after this one.
        let Some(orders) = &self.orders else { return };
        match orders.try_send(order) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(order)) => drop(orders.send(order)),
        }
    }
}

impl Drop for Keeper {
    /// What is being written is written to its end, if the store lets it.
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Files on their way into the store, the manifest that names them last.
struct Pending {
    files: VecDeque<(FileName, PutPayload)>,
    manifest: Manifest,
    failures: u32,
    again_at: Instant,
}

/// The keeper's own side.
struct Desk {
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
}

impl Desk {
    fn work(mut self, inbox: &Receiver<Order>) {
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
    fn seal(&mut self, SealedAt { place, adapter }: SealedAt) {
        if self.pending.is_some() {
            // What is open goes into the next one.
            return;
        }
        let mut files = VecDeque::new();
        let mut add = |kind: &str, bytes: Vec<u8>, next_ordinal: u64| {
            let (name, size) = (file::name(kind, &bytes), bytes.len() as u64);
            files.push_back((name.clone(), bytes.into()));
            Segment { name, bytes: size, next_ordinal }
        };
        let KeptTick { mut facts, keys } = std::mem::take(&mut self.open);
        if !facts.is_empty() {
            facts.settle(false);
            self.files.recent.push(add("facts", facts.to_bytes(), 0));
        }
        if let Some((_, last)) = keys.last() {
            let next_ordinal = last.ordinal + 1;
            self.files.keys.push(add("keys", keys::to_bytes(&keys), next_ordinal));
        }
        let (name, standing) = match standing(&adapter.standing) {
            Ok(document) => document,
            Err(error) => return tracing::error!(%error, "definitions cannot be written as json"),
        };
        if self.manifests.iter().all(|manifest| manifest.standing != name) {
            files.push_back((name.clone(), standing.into()));
        }
        let head = place.chain.head();
        let manifest = Manifest {
            layout: file::layout(),
            rests_on: self.rests_on.clone(),
            binding: head.number,
            t_ms: head.t_ms,
            next_ordinal: head.next_ordinal,
            counters: adapter.counters,
            standing: name,
            files: self.files.clone(),
            place,
        };
        match document::write(&manifest) {
            Ok(bytes) => files.push_back((manifest.name(), bytes.into())),
            Err(error) => return tracing::error!(%error, "a manifest cannot be written as json"),
        }
        let again_at = Instant::now();
        self.pending = Some(Pending { files, manifest, failures: 0, again_at });
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
                let manifest = self.pending.take().map(|pending| pending.manifest);
                self.manifests.extend(manifest);
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

    /// Deletes what no kept manifest names. What cannot be deleted is found the next time.
    fn collect_garbage(&mut self) {
        let surplus = self.manifests.len().saturating_sub(KEPT);
        self.manifests.drain(..surplus);
        let kept: Vec<String> = self.manifests.iter().map(Manifest::name).collect();
        let named = |name: &String| {
            let written = self.compaction.iter().flat_map(Compaction::written);
            self.manifests.iter().flat_map(Manifest::names).any(|each| each == name)
                || self.files.all().any(|segment| segment.name == *name)
                || written.into_iter().any(|segment| segment.name == *name)
        };
        let outcome = self.store.list().and_then(|names| {
            let gone = names.iter().filter(|name| !kept.contains(name) && !named(name));
            gone.map(|name| self.store.delete(name)).collect::<Result<Vec<()>, _>>()
        });
        if let Err(error) = outcome {
            tracing::warn!(%error, "old snapshots are left for now");
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
            Some(mut compaction) => match compaction.step(&self.store) {
                Ok(true) => {
                    self.compaction = Some(compaction);
                    Ok(())
                }
                Ok(false) => {
                    compaction.apply(&mut self.files);
                    Ok(())
                }
                Err(error) => Err(error),
            },
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
