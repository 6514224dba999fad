//! The whole system, as its users meet it: the real Kafka, the real ClickHouse, the real binary.
//!
//! * [`system`]: services and engine as processes that a test can stop, kill and start again.
//! * [`oracle`]: the contract, evaluated naively from raw records.
//! * [`compare`]: tables against the oracle.
//! * [`watch`]: what a reader of ClickHouse, a reader of the feeds and the operating system see.

pub mod compare;
pub mod oracle;
pub mod system;
pub mod watch;
