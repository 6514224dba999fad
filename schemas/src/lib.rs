//! What CEBE's parts say to each other: events in, rows out, and the rules between.
//!
//! Pure: no clock, no file, no socket, no dataflow. In reading order:
//!
//! * [`id`]: hashed ids that the dataflow computes with, and the key they are made with.
//! * [`time`]: logical and event time in epoch milliseconds, RFC 3339 at the edges.
//! * [`identifier`]: phone and email normalisation, tokens.
//! * [`catalogue`]: the event types, compiled from the files in `catalogue/`.
//! * [`envelope`]: the borrowed parse of one record.
//! * [`verdict`]: what becomes of a record, and the reason codes.
//! * [`control`]: flags, definitions and settings as they stand at a logical time.
//! * [`definition`]: segments and metrics.
//! * [`fact`]: what an accepted event tells the dataflow.
//! * [`change`]: what the dataflow tells the world.
//! * [`view`] and [`row`]: the outputs, their topics, and one file a row type.

pub mod change;
pub mod control;
pub mod definition;
pub mod fact;
pub mod id;
pub mod row;
pub mod time;
pub mod view;
