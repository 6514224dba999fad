//! The whole dataflow against its oracle.

mod history;
mod property;
mod scenario;
