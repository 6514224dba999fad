//! Operators of our own, where an arrangement would buy nothing: no join, no sharing, no iteration.
//!
//! Each waits until a logical time is complete, works through the times in order, and keeps its
//! state in sharded maps. An arrangement of the same rows costs a seek and a merge over all history
//! at each tick.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, Data, ExchangeData, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::{Capability, Operator};
use timely::progress::frontier::MutableAntichain;

pub mod cap;
pub mod customers;
pub mod detour;
pub mod distinct;
pub mod forget;
pub mod persons;
pub mod sharded;
pub mod sole;
pub mod star;

/// The state of an operator that its worker can read between ticks.
pub type Shared<T> = Rc<RefCell<T>>;

/// Where a key lives. The same for arrangements and for us: most rows then stay on their worker.
pub fn route<K: std::hash::Hash>(key: &K) -> u64 {
    key.hashed()
}

/// What has arrived and waits for its logical time to be complete, under one capability.
pub struct Pending<B> {
    batches: BTreeMap<u64, B>,
    capability: Option<Capability<u64>>,
}

impl<B: Default> Pending<B> {
    /// Nothing yet.
    pub fn new() -> Self {
        Pending { batches: BTreeMap::new(), capability: None }
    }

    /// The batch of `time`; [`Pending::hold`] on to its capability as well.
    pub fn at(&mut self, time: u64) -> &mut B {
        self.batches.entry(time).or_default()
    }

    /// Keeps the lesser of this and the capability held.
    pub fn hold(&mut self, capability: Option<Capability<u64>>) {
        let Some(new) = capability else { return };
        if self.capability.as_ref().is_none_or(|held| new.time() < held.time()) {
            self.capability = Some(new);
        }
    }

    /// The least time with a batch.
    pub fn least(&self) -> Option<u64> {
        self.batches.first_key_value().map(|(time, _)| *time)
    }

    /// Takes the batch of `time`, and a capability to answer at it.
    pub fn take(&mut self, time: u64) -> Option<(Capability<u64>, B)> {
        let capability = self.capability.as_ref()?.try_delayed(&time)?;
        Some((capability, self.batches.remove(&time).unwrap_or_default()))
    }

    /// Holds on to `time` and what is after it; nothing if there is none.
    pub fn release_before(&mut self, time: Option<u64>) {
        self.capability = match (self.capability.take(), time) {
            (Some(held), Some(time)) => held.try_delayed(&time),
            _ => None,
        };
    }
}

/// Whether `time` can no longer be added to.
pub fn complete(time: u64, frontier: &MutableAntichain<u64>) -> bool {
    !frontier.less_equal(&time)
}

/// An operator that gives `logic` all rows of a logical time at once, the times in order, on the
/// worker that `route` says. What `logic` emits carries the same time.
pub fn by_time<'s, D: ExchangeData, O: Data>(
    rows: VecCollection<'s, u64, D>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut logic: impl FnMut(Vec<(D, isize)>, &mut dyn FnMut(O, isize)) + 'static,
) -> VecCollection<'s, u64, O> {
    let pact = Exchange::new(move |(row, _, _): &(D, u64, isize)| route(row));
    let stream = rows.inner.unary_frontier::<CapacityContainerBuilder<Vec<_>>, _, _, _>(
        pact,
        name,
        |_, _| {
            let mut pending = Pending::<Vec<(D, isize)>>::new();
            move |(input, frontier), output| {
                input.for_each(|capability, rows| {
                    pending.hold(capability.retain_least(0));
                    for (row, time, diff) in rows.drain(..) {
                        pending.at(time).push((row, diff));
                    }
                });
                while let Some(time) = pending.least().filter(|t| complete(*t, frontier)) {
                    let Some((capability, rows)) = pending.take(time) else { break };
                    let mut session = output.session(&capability);
                    logic(rows, &mut |row, diff| session.give((row, time, diff)));
                }
                pending.release_before(pending.least());
            }
        },
    );
    stream.as_collection()
}

/// As [`by_time`], with what concerns all rows of that time.
pub fn by_time_with<'s, D: ExchangeData, C: 'static, O: Data>(
    rows: VecCollection<'s, u64, D>,
    contexts: StreamVec<'s, u64, Arc<C>>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut logic: impl FnMut(Vec<(D, isize)>, Option<&C>, &mut dyn FnMut(O, isize)) + 'static,
) -> VecCollection<'s, u64, O> {
    let pact = Exchange::new(move |(row, _, _): &(D, u64, isize)| route(row));
    let stream = rows.inner.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        contexts,
        pact,
        Pipeline,
        name,
        |_, _| {
            let mut pending = Pending::<(Vec<(D, isize)>, Option<Arc<C>>)>::new();
            move |(rows, rows_frontier), (contexts, contexts_frontier), output| {
                rows.for_each(|capability, rows| {
                    pending.hold(capability.retain_least(0));
                    for (row, time, diff) in rows.drain(..) {
                        pending.at(time).0.push((row, diff));
                    }
                });
                contexts.for_each(|capability, contexts| {
                    let Some(capability) = capability.retain_least(0) else { return };
                    pending.at(*capability.time()).1 = contexts.pop();
                    pending.hold(Some(capability));
                });
                let done = |t: &u64| complete(*t, rows_frontier) && complete(*t, contexts_frontier);
                while let Some(time) = pending.least().filter(&done) {
                    let Some((capability, (rows, context))) = pending.take(time) else { break };
                    let mut session = output.session(&capability);
                    logic(rows, context.as_deref(), &mut |row, diff| {
                        session.give((row, time, diff));
                    });
                }
                pending.release_before(pending.least());
            }
        },
    );
    stream.as_collection()
}

/// Calls `emit` with −1 for what is only in `before` and with +1 for what is only in `after`; both
/// are sorted.
pub fn difference<T: Ord>(before: &[T], after: &[T], mut emit: impl FnMut(&T, isize)) {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        match (before.peek(), after.peek()) {
            (Some(b), Some(a)) if b == a => {
                before.next();
                after.next();
            }
            (Some(b), a) if a.is_none_or(|a| b < a) => {
                emit(b, -1);
                before.next();
            }
            (_, Some(a)) => {
                emit(a, 1);
                after.next();
            }
            (_, None) => return,
        }
    }
}
