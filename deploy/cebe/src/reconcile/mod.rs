//! Every record counted again, from Kafka and from ClickHouse, and compared with what the engine says.
//!
//! * [`cut`]: through which logical time, and which records were bound by then.
//! * [`records`]: the records that Kafka holds of them, counted one by one.
//! * [`tables`]: the rows that ClickHouse holds of them, and what the ledger and the reconciliation say.
//! * [`compare`]: one against the other. Pure. [`report`]: the outcome, for people and for programs.
//!
//! Nothing here counts with the code that the engine counts with: a mistake in one shows as a difference.

pub mod compare;
pub mod cut;
pub mod records;
pub mod report;
pub mod tables;

use std::sync::Arc;

/// Topic and partition.
pub type Place = (Arc<str>, i32);

/// An hour, in milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// Hours are counted for so many hours: for 31 days.
const OPEN_HOURS: i64 = 31 * 24;
