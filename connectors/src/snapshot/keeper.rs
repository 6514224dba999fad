//! The engine's end of the thread that keeps facts: every published tick is handed over, and now and then
//! the state that all of them make.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use cebe_schemas::fact::TickInput;
use cebe_schemas::id::EventKey;
use cebe_schemas::time::Millis;

use super::compaction::Sizes;
use super::desk::Desk;
use super::facts::Facts;
use super::keys::Used;
use super::manifest::{Manifest, PublishedAt};
use super::published::Published;
use super::store::Store;
use crate::adapter::{AdaptedTick, SavedAdapter};
use crate::binding::Binding;
use crate::kafka::log_place::LogPlace;
use crate::key_index::Use;
use crate::out::numbered::OutRecord;

/// So many ticks wait for the keeper; then the engine waits too.
const QUEUE: usize = 64;

/// What a tick adds to what is held, once it is published.
#[derive(Debug, Default)]
pub struct KeptTick {
    /// What was told, and what came of it.
    pub facts: Facts,
    /// Keys that were used up, in order of ordinal.
    pub keys: Vec<Used>,
    /// What was published, unless another logic has.
    pub published: Option<(PublishedAt, Published)>,
}

impl KeptTick {
    /// What a tick at `t_ms` tells, before the dataflow takes it in.
    pub fn new(adapted: &AdaptedTick, t_ms: Millis) -> KeptTick {
        let told = TickInput { definitions: None, linking: None, ..adapted.input.clone() };
        let used =
            |(key, ordinal): &(EventKey, u64)| (*key, Use { ordinal: *ordinal, arrival_ms: t_ms });
        let facts = Facts { told, memberships: Vec::new() };
        KeptTick { facts, keys: adapted.keys.iter().map(used).collect(), published: None }
    }

    /// Takes in what the next tick adds, before either is published.
    pub fn append(&mut self, mut next: KeptTick) {
        self.facts.append(next.facts);
        self.keys.append(&mut next.keys);
    }

    /// What was published of it, after what was published before it and is not kept yet.
    pub fn publish(&mut self, binding: &Binding, records: Vec<OutRecord>) {
        let before = self.published.take().map(|(_, before)| before);
        let mut published = before.unwrap_or_default();
        published.append(Published::of(records));
        self.published = Some((PublishedAt::new(binding.number, binding.t_ms), published));
    }
}

/// The state of everything else at the end of a tick.
#[derive(Debug)]
pub struct SealedAt {
    /// The tick's binding, which is the last that was read.
    pub place: LogPlace,
    /// After the tick.
    pub adapter: SavedAdapter,
    /// Of which logic the binding is.
    pub logic_version: u32,
}

/// What a keeper goes on from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'m> {
    /// The state that the engine has begun with, and older ones; none: it has begun with nothing.
    pub states: &'m [Manifest],
    /// Where it is told what was published, if anything was; by default by the first state.
    pub outputs: Option<&'m Manifest>,
    /// Before the first binding nothing was published.
    pub is_first: bool,
}

/// What the engine wants of the keeper.
pub(super) enum Order {
    Keep(Box<KeptTick>),
    Seal(Box<SealedAt>),
}

/// The engine's end of the keeper; the thread ends when it is dropped.
pub struct Keeper {
    orders: Option<SyncSender<Order>>,
    is_sealing: Arc<AtomicBool>,
    has_ended: AtomicBool,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Goes on from `origin`. What the facts rest on beside the log is told by `rests_on`.
    ///
    /// # Errors
    /// The thread does not start.
    pub fn start(
        store: Store,
        rests_on: String,
        origin: Origin<'_>,
        sizes: Sizes,
    ) -> std::io::Result<Keeper> {
        let (orders, inbox) = sync_channel(QUEUE);
        let is_sealing = Arc::new(AtomicBool::new(false));
        let desk = Desk::new(store, sizes, rests_on, origin, is_sealing.clone());
        let thread = std::thread::Builder::new()
            .name("cebe-keeper".into())
            .spawn(move || desk.work(&inbox))?;
        let has_ended = AtomicBool::new(false);
        Ok(Keeper { orders: Some(orders), is_sealing, has_ended, thread: Some(thread) })
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
        let Some(orders) = &self.orders else { return };
        let sent = match orders.try_send(order) {
            Err(TrySendError::Full(order)) => orders.send(order).is_ok(),
            sent => sent.is_ok(),
        };
        if !sent && !self.has_ended.swap(true, Ordering::AcqRel) {
            tracing::error!("the thread that keeps facts has ended: no more snapshots are written");
        }
    }
}

impl Keeper {
    /// Takes no more orders. What is being written is written to its end, if the store lets it.
    pub fn end(&mut self) {
        drop(self.orders.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}
