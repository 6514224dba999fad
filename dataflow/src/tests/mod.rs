//! The whole dataflow against its oracle.

mod customer;
mod explain;
mod history;
mod preview;
mod property;
mod restore;
mod scenario;

use cebe_schemas::change::TickOutput;

/// With the changes of each moment in order.
fn sorted(mut output: TickOutput) -> TickOutput {
    output.moments.iter_mut().for_each(|moment| moment.changes.sort());
    output
}
