//! What can go wrong.

use cebe_schemas::time::Millis;
use thiserror::Error;

/// Why the dataflow could not start or answer. After any of them but
/// [`TimeNotLater`](DataflowError::TimeNotLater) and [`TimeOutOfRange`](DataflowError::TimeOutOfRange)
/// its state is not known any more: build it again from the bound input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DataflowError {
    /// The number of workers makes no sense.
    #[error("workers is {workers}; set it to 1 to {max}")]
    Workers {
        /// As configured.
        workers: usize,
        /// The greatest number taken.
        max: usize,
    },
    /// The worker threads could not be started.
    #[error("worker threads did not start: {reason}")]
    Start {
        /// From the operating system.
        reason: String,
    },
    /// Logical time went back or stood still.
    #[error("tick at t_ms {t_ms} is not later than the tick before, at {last_ms}")]
    TimeNotLater {
        /// The time given.
        t_ms: Millis,
        /// The time of the tick before.
        last_ms: Millis,
    },
    /// A logical time that cannot be.
    #[error("t_ms is {t_ms}; it must be a time after 1970 with a millisecond after it")]
    TimeOutOfRange {
        /// The time given.
        t_ms: Millis,
    },
    /// A worker thread is gone.
    #[error("worker {worker} stopped; start the dataflow again from the bound input")]
    WorkerStopped {
        /// Counted from 0.
        worker: usize,
    },
    /// An earlier tick failed.
    #[error("an earlier tick failed; start the dataflow again from the bound input")]
    Failed,
    /// A rate is about a group whose text no tick has given.
    #[error("group {group:#x} of a rate at {t_ms} has no name; give it in `groups` with its event")]
    UnnamedGroup {
        /// The hashed group.
        group: u64,
        /// The logical time.
        t_ms: Millis,
    },
    /// An answer came or went more than once at one time, which no input can cause.
    #[error("{answer} changed by {diff} at {t_ms} instead of by one; report this as a defect")]
    Multiplicity {
        /// Which answer.
        answer: String,
        /// By how much.
        diff: isize,
        /// The logical time.
        t_ms: Millis,
    },
}
