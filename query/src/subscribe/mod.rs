//! Subscriptions over HTTP (server-sent events): a snapshot, changes, and how far they are.
//!
//! * [`place`]: where a subscriber is, as an event id. [`filter`]: which rows it wants.
//! * [`session`]: one subscriber, from its snapshot to its end.

pub(crate) mod filter;
pub(crate) mod place;
pub(crate) mod session;
#[cfg(test)]
mod tests;

/// Subscribers at one time: each has a Kafka client, and some megabytes.
pub(crate) const SUBSCRIBERS_MAX: usize = 64;
