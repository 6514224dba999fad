//! History that is brought in beside live events.
//!
//! ```text
//! files ── input ──► publish ──► cebe.backfill.<source> ──► the engine, in ticks beside live events
//!                       └──────► cebe.jobs: how far the job is, in the same transaction
//! ```
//! A job is what its records on `cebe.jobs` add up to ([`job`]). A process that publishes for it reads there
//! where to go on, so that it can die at any point: what a transaction does not hold was not read, and
//! nothing is published twice.

mod head;
pub mod input;
pub mod job;
pub mod log;
pub mod publish;
pub mod taken;

use cebe_schemas::time::Millis;

/// A job can be undone for so long after the last of its events was read; then what it has left behind is removed.
pub const UNDONE_WITHIN_MS: Millis = 7 * 86_400_000;
