//! The way out: rows to numbered records, one Kafka transaction a tick, and what is out already.
//!
//! * [`change_row`]: a change of the dataflow as a row.
//! * [`numbered`]: rows sorted, partitioned, numbered, as bytes: the same for the same input.
//! * [`publisher`]: one transaction a tick.
//! * [`progress_log`]: what was published before this engine started, as numbers and hashes; [`outputs`]: as
//!   rows.

pub mod change_row;
pub mod numbered;
pub mod outputs;
pub mod progress_log;
pub mod publisher;
