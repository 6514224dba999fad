//! Kafka: the only input and the first output. Everything here but [`intake`] blocks, and belongs to the
//! engine's own thread.
//!
//! * [`client`]: options, topic names, and what to do while a broker is away.
//! * [`topics`]: creates the engine's topics.
//! * [`binding_log`]: appends and reads bindings, and knows when another engine has taken over.
//! * [`source`]: the records of `cebe.events.*`, `cebe.control`, `cebe.history` and `cebe.counts`, in the
//!   order of the bindings.
//! * `transaction`: records that are seen all together or not at all.
//! * [`intake`]: publishes on the source topics what came in over HTTP.
//! * [`append`]: appends records to a topic of one partition. [`control`]: a control record.
//! * [`bindings`], [`held`], [`feed`], [`tail`] and [`history_log`]: what is bound, what the input holds,
//!   what is out and what waits, for readers that take no part.

pub mod append;
pub mod binding_log;
pub mod bindings;
pub mod client;
pub mod control;
pub mod feed;
pub mod held;
pub mod history_log;
pub mod intake;
pub mod log_place;
pub(crate) mod partitions;
pub(crate) mod reader;
pub mod source;
pub mod tail;
pub mod topics;
pub(crate) mod transaction;

pub use client::{ClientError, JOB_HEADER, KafkaOptions, Topics};
pub use transaction::TransactionError;
