//! Used idempotency keys in files, from which a key index is made anew. They are never merged but with
//! their neighbours: in order of ordinal, a file is dropped whole once its last key is free.

use cebe_schemas::id::EventKey;

use super::file::{self, Damage, FileReader, FileWriter};
use super::row::{KeyRow, whole, wide};
use crate::key_index::Use;

/// A key and its use.
pub(super) type Used = (EventKey, Use);

pub(super) fn to_bytes(used: &[Used]) -> Vec<u8> {
    let row = |(key, one): &Used| KeyRow {
        key: wide(key.0),
        ordinal: one.ordinal,
        arrival_ms: one.arrival_ms,
    };
    let rows: Vec<KeyRow> = used.iter().map(row).collect();
    let mut out = FileWriter::new(&file::FACTS);
    out.rows(&rows);
    out.finish()
}

pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Vec<Used>, Damage> {
    let rows: Vec<KeyRow> = FileReader::new(bytes, &file::FACTS)?.rows()?;
    let used = |row: KeyRow| {
        let one = Use { ordinal: row.ordinal, arrival_ms: row.arrival_ms };
        (EventKey(whole(row.key)), one)
    };
    Ok(rows.into_iter().map(used).collect())
}
