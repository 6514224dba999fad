//! The whole system, as its users meet it: the real Kafka, the real ClickHouse, the real binary.
//!
//! * [`system`]: services and engine as processes that a test can stop, kill and start again.
//! * [`oracle`]: the contract, evaluated naively from raw records.
//! * [`compare`]: tables against the oracle.

pub mod compare;
pub mod oracle;
pub mod system;
