//! Everything between the world and the dataflow: records in, rows out, and the order in which
//! both happen once.
//!
//! ```text
//! kafka::source ──records──▶ binding_log ──binding──▶ adapter ──facts──▶ (dataflow) ──changes──▶ out
//!                                                       │ rows ──────────────────────────────────▲
//!                                                   key_index
//! ```
//! * [`backfill`]: history from files, published beside what is live.
//! * [`binding`]: which records belong to which logical time; pure.
//! * [`clock`]: logical time.
//! * [`kafka`]: the log of bindings, the source topics, the control topic.
//! * [`key_index`]: which idempotency keys are used up.
//! * [`adapter`]: verdicts, dedup, facts, rows of the ledger and of what was rejected.
//! * [`history`]: what definitions look at in events that arrived before them.
//! * [`out`]: numbered rows, one Kafka transaction a tick, and what is already out.
//! * [`feeds`]: what is out, read tick by tick.
//! * [`loader`]: rows and progress into ClickHouse; [`migrate`]: its tables and views.
//! * [`snapshot`]: what the adapter has told the dataflow, in files: where a start begins.
//! * [`rebuild`]: the same from ClickHouse, where the sources no longer reach back.
//! * [`fault`]: named points at which a test lets the process die.
//! * [`replay`]: takes rejected or skipped records in again.

pub mod adapter;
pub mod backfill;
pub mod binding;
pub mod clock;
mod fair_share;
pub mod fault;
pub mod feeds;
pub mod history;
pub mod kafka;
pub mod key_index;
pub mod loader;
pub mod migrate;
pub mod out;
mod pairs;
pub mod rebuild;
pub mod replay;
pub mod snapshot;
