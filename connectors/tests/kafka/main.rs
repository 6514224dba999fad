//! The crate against a real broker: the one of `CEBE_KAFKA_BROKERS`, else that of the checkout
//! (`cargo run -p cebe-dev -- up`), which is started if need be. Each test has topics of its own.

mod binding_log;
mod engine;
mod faults;
mod outputs;
mod publisher;
mod replay;
mod source;
mod support;
