use cebe_connectors::kafka::source::Record;
use cebe_schemas::time::Millis;

/// The records of one logical time, in the order of their ordinals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its number: 1, 2, 3, …
    pub number: u64,
    /// The logical time.
    pub t_ms: Millis,
    /// The ordinal of the first record.
    pub first_ordinal: u64,
    /// The records.
    pub records: Vec<Record>,
}
