//! The whole dataflow against its oracle.

mod explain;
mod history;
mod preview;
mod property;
mod scenario;
