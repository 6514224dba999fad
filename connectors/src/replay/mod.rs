//! Takes records in once more, after a fix or once a source is on.
//!
//! ```text
//! ClickHouse ── select ──► Offsets ── republish ──► the same topics and partitions
//! rejected_events,         which      reads the originals from Kafka, byte for byte
//! skipped_ranges           records
//! ```
//! A replayed record is a record like any other: bound, judged, deduplicated. What had been taken
//! in is a duplicate, so that a replay can be repeated, also one that was cut short.

mod offsets;
mod republish;
mod select;

pub use offsets::Offsets;
pub use republish::{Outcome, Replay, ReplayError};
pub use select::{Period, Rejected, SelectError, Selection, rejected, skipped};
