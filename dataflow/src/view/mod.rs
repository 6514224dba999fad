//! The views: functions over collections, without clock, channel or I/O. Beside each is its naive
//! batch oracle, which shares no code with it.

pub mod identity;
pub mod person;
pub mod rate;
