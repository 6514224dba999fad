//! The engine's side of the desk: inquiries, answered between two ticks.
//!
//! * [`Clerk`]: takes what waits; goes on with the preview under way.
//! * [`bound`], [`customer`], [`definitions`], [`preview`] and [`explain`]: one file a question. `cebe` asks the same of files.

mod bound;
mod customer;
mod definitions;
pub mod explain;
pub mod preview;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::Binding;
use cebe_connectors::binding::chain::Chain;
use cebe_connectors::key_index::KeyIndex;
use cebe_dataflow::{Dataflow, PreviewStep};
use cebe_query::desk::{Inquiries, Inquiry, Refusal, Reply};
use cebe_schemas::control::ControlState;
use cebe_schemas::preview::Preview;
use cebe_schemas::time::Millis;
use tokio::sync::watch;

use bound::Bound;

/// A preview may hold a tick up for about this long.
const SLICE: Duration = Duration::from_millis(5);
/// The same if facts of more people come and go between two slices than one looks at.
const SLICE_MAX: Duration = Duration::from_millis(200);
/// What fits into a slice is measured; at first it is this many events.
const BUDGET: usize = 2_000;
/// A slice is never larger, whatever was measured.
const BUDGET_MAX: usize = 1 << 20;
/// A preview that was not complete after so much logical time is dropped.
const PATIENCE_MS: Millis = 300_000;

/// Answers inquiries.
pub struct Clerk {
    inquiries: Inquiries,
    /// What the engine was told so far, for who asks all the time.
    control: watch::Sender<Arc<ControlState>>,
    bound: Bound,
    preview: Option<UnderWay>,
}

/// A preview under way.
struct UnderWay {
    limit: usize,
    reply: Reply<Preview>,
    slice: Duration,
    budget: usize,
    /// How many persons are to be looked at still.
    left: usize,
}

impl UnderWay {
    fn new(limit: usize, reply: Reply<Preview>) -> UnderWay {
        UnderWay { limit, reply, slice: SLICE, budget: BUDGET, left: usize::MAX }
    }

    /// Learns from a slice how large the next one is to be.
    fn learn(&mut self, took: Duration, left: usize) {
        if left >= self.left {
            self.slice = (self.slice * 2).min(SLICE_MAX);
        }
        self.left = left;
        let ratio = self.slice.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let budget = self.budget as f64 * ratio.clamp(0.25, 2.0);
        self.budget = (budget as usize).clamp(100, BUDGET_MAX);
    }
}

impl Clerk {
    /// Answers `inquiries`, which are turned away until it is open, and passes `control` on.
    pub fn new(inquiries: Inquiries, control: watch::Sender<Arc<ControlState>>) -> Clerk {
        Clerk { inquiries, control, bound: Bound::default(), preview: None }
    }

    /// Passes on what the engine was told.
    pub fn tell<K>(&self, adapter: &Adapter<K>) {
        self.control.send_replace(Arc::new(adapter.control().clone()));
    }

    /// From now on the state is the present one: that of the log `chain`.
    pub fn open(&mut self, chain: &Chain) {
        self.bound.begin(chain.head().t_ms, chain.positions());
        self.inquiries.open();
    }

    /// Takes in what was bound since.
    pub fn bound(&mut self, binding: &Binding) {
        self.bound.push(binding);
    }

    /// The state is none any more: inquiries are turned away, and the preview under way is dropped.
    pub fn close(&mut self) {
        self.inquiries.close();
        self.preview = None;
    }

    /// Whether it wants to be called again at once.
    pub fn is_busy(&self) -> bool {
        self.preview.is_some()
    }

    /// Answers what waits, and looks at some more persons for the preview under way.
    ///
    /// # Errors
    /// The dataflow failed; wrong inquiries are answered, and are no errors.
    pub fn serve<K: KeyIndex>(
        &mut self,
        adapter: &Adapter<K>,
        dataflow: &mut Dataflow,
    ) -> anyhow::Result<()> {
        while let Some(inquiry) = self.inquiries.take() {
            // That nobody waits for an answer any more is no error.
            match inquiry {
                Inquiry::Definitions { account_id, reply } => {
                    let _ = reply.send(Ok(definitions::in_force(adapter, &account_id)));
                }
                Inquiry::Bound { topic, partition, offset, reply } => {
                    let _ = reply.send(Ok(self.bound.find(&topic, partition, offset)));
                }
                Inquiry::Waits { offset, reply } => {
                    let waits = adapter.waiting().iter().any(|one| one.offset == offset);
                    let _ = reply.send(Ok(waits));
                }
                Inquiry::Find { account_id, kind, value, reply } => {
                    let named = [&*account_id, &*kind, &*value];
                    let _ = reply.send(customer::find(adapter, dataflow, named)?);
                }
                Inquiry::CountsIn { account_id, customer_id, reply } => {
                    let ids = [&*account_id, &*customer_id];
                    let _ = reply.send(customer::counts_in(adapter, dataflow, ids)?);
                }
                Inquiry::Explain { account_id, customer_id, segment_id, reply } => {
                    let ids = [&*account_id, &*customer_id, &*segment_id];
                    let _ = reply.send(explain::explain(adapter, dataflow, ids)?);
                }
                Inquiry::Preview { document, limit, reply } => {
                    self.begin(adapter, dataflow, &document, limit, reply)?;
                }
            }
        }
        self.go_on(dataflow)
    }

    fn begin<K: KeyIndex>(
        &mut self,
        adapter: &Adapter<K>,
        dataflow: &mut Dataflow,
        document: &[u8],
        limit: usize,
        reply: Reply<Preview>,
    ) -> anyhow::Result<()> {
        if self.preview.as_ref().is_some_and(|under_way| !under_way.reply.is_closed()) {
            let detail = "another preview is under way: ask again in a moment";
            let _ = reply.send(Err(Refusal::Unavailable(detail.into())));
            return Ok(());
        }
        match preview::definitions(adapter, document) {
            Ok(definitions) => {
                dataflow.begin_preview(&definitions, PATIENCE_MS)?;
                self.preview = Some(UnderWay::new(limit, reply));
            }
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
        Ok(())
    }

    fn go_on(&mut self, dataflow: &mut Dataflow) -> anyhow::Result<()> {
        let Some(mut under_way) = self.preview.take() else { return Ok(()) };
        if under_way.reply.is_closed() {
            return Ok(dataflow.drop_preview()?);
        }
        let begin = Instant::now();
        match dataflow.continue_preview(under_way.budget)? {
            PreviewStep::Left(left) => {
                under_way.learn(begin.elapsed(), left);
                self.preview = Some(under_way);
            }
            PreviewStep::Done(found) => {
                let UnderWay { limit, reply, .. } = under_way;
                // To sort a million names would hold up a tick.
                std::thread::spawn(move || reply.send(Ok(found.report(limit))));
            }
            PreviewStep::Dropped => {
                let detail = "definitions changed meanwhile, or it took too long: ask again";
                let _ = under_way.reply.send(Err(Refusal::Unavailable(detail.into())));
            }
        }
        metrics::histogram!("cebe_preview_slice_seconds").record(begin.elapsed().as_secs_f64());
        Ok(())
    }
}
