//! The dataflow: from facts about customers to who is who, who belongs to which segment, and how
//! well broadcasts are answered, as exact differences at logical times.
//!
//! [`Dataflow::tick`] takes the input of one logical time, and returns every change since the tick
//! before, each at the time at which it became true. Time is an input: there is no clock here, no file
//! and no socket, and the output depends on nothing but the input. Between ticks it can be asked: why
//! somebody belongs to a segment, and what other definitions would change. That changes nothing.
//!
//! From the outside in:
//!
//! * `dataflow`: the handle, which checks the input, spreads it over the workers and merges their
//!   answers. In it, `preview`, `explain` and `customer` ask the workers, and `restore` takes in what an earlier run held.
//! * `worker`: the threads; `costs`: what each operator takes of them.
//! * `names` and `plan`: ids as numbers, definitions by account.
//! * `publish`: from updates to changes, which merge or unmerge caused them, and by which version of
//!   a definition each member entered.
//! * `graph`: how the views are wired. The rows between them are in `row`.
//! * `operator`: operators of our own, woken by frontiers, the person stage among them.
//! * `view`: the rules themselves as functions, each beside its naive oracle;
//!   `oracle` makes the whole of them.
//!
//! timely and differential-dataflow are named in this crate only, and nowhere in its interface.

mod costs;
mod dataflow;
mod error;
mod graph;
mod names;
mod operator;
#[cfg(test)]
mod oracle;
mod plan;
mod publish;
mod row;
#[cfg(test)]
mod tests;
mod view;
mod worker;

pub use costs::OperatorCosts;
pub use dataflow::{
    Asked, CountsIn, Dataflow, Explained, Found, LATE_AFTER_MS, PreviewStep, Previewed, Restore,
    WORKERS_MAX,
};
pub use error::DataflowError;
