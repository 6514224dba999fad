//! Files of history as event envelopes: payloads, one JSON object an event.
//!
//! ```text
//! find ──paths──▶ Input ──▶ Reader ──▶ lines | table | columnar ──row──▶ mapping ──▶ payload
//! ```
//! What a record holds is for the engine to judge: a value that cannot be converted, or a row that
//! cannot be read, is handed on so that the engine rejects it and says why. Errors are for what is
//! wrong with a file or a mapping as a whole.

mod bytes;
mod cell;
mod columnar;
mod digest;
mod error;
mod find;
mod format;
mod json;
mod lines;
mod mapping;
mod open;
mod reader;
mod records;
mod since;
mod table;
#[cfg(test)]
mod tests;

pub use digest::digest;
pub use error::InputError;
pub use find::find;
pub use mapping::{Mapping, MappingError};
pub use open::{Input, InputFile};
pub use reader::{Position, Reader};
pub use records::ReadFault;
pub use since::{SinceError, since};

/// No payload and no line is longer: what comes after is cut off. Far beyond what the engine takes,
/// and what Kafka takes by default.
const PAYLOAD_BYTES_MAX: usize = 1_000_000;
