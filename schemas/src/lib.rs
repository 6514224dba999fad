//! What CEBE's parts say to each other: events in, rows out, and the rules between.
//!
//! Pure: no clock, no file, no socket, no dataflow. In reading order:
//!
//! * [`id`]: hashed ids that the dataflow computes with, and the key they are made with.
//! * [`time`]: logical and event time in epoch milliseconds, RFC 3339 at the edges.
//! * [`zone`]: days, as an account counts them.
//! * [`token`]: the secret of an installation, tokens.
//! * [`identifier`]: phone and email normalisation.
//! * [`catalogue`]: the event types, compiled from the files `<source>/<event>/<version>.json`.
//! * [`verdict`]: what becomes of a record, and the reason codes. Behind it: `json` (the borrowed
//!   parse), `envelope` (its fields), `shape` (a schema as checks), `mask` (nothing personal
//!   leaves), `sanitise` (what a JSON column takes).
//! * [`cloudevent`]: a record in another standard's shape, as an envelope.
//! * [`additive`]: whether a change of a schema breaks anyone.
//! * [`control`]: flags, definitions and settings as they stand at a logical time.
//! * [`count`]: what a source says that it has emitted.
//! * [`definition`]: segments and metrics.
//! * [`fact`]: what an accepted event tells the dataflow.
//! * [`history`]: such facts of events that arrived before anybody looked at them in that way.
//! * [`change`]: what the dataflow tells the world.
//! * [`preview`] and [`explanation`]: what it answers when it is asked.
//! * [`view`] and [`row`]: the outputs, their topics, and one file a row type.
//! * [`topic`]: the topics that an engine needs, and how each is kept.

pub mod additive;
pub mod catalogue;
pub mod change;
pub mod cloudevent;
pub mod control;
pub mod count;
pub mod definition;
mod envelope;
pub mod explanation;
pub mod fact;
pub mod history;
pub mod id;
pub mod identifier;
mod json;
mod mask;
pub mod preview;
pub mod row;
mod sanitise;
mod shape;
pub mod time;
pub mod token;
pub mod topic;
pub mod verdict;
pub mod view;
pub mod zone;
