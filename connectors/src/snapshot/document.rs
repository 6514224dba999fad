//! JSON documents that know whether they are whole: the first line is the BLAKE3 of the rest.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file::Damage;

const DIGITS: usize = 64;

pub(super) fn write(content: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(content)?;
    let mut bytes = blake3::hash(&json).to_hex().as_bytes().to_vec();
    bytes.push(b'\n');
    bytes.extend(json);
    Ok(bytes)
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damage> {
    let (digest, rest) = bytes.split_at_checked(DIGITS + 1).ok_or(Damage::Torn)?;
    if digest[DIGITS] != b'\n' {
        return Err(Damage::Torn);
    }
    if digest[..DIGITS] != *blake3::hash(rest).to_hex().as_bytes() {
        return Err(Damage::Checksum);
    }
    // Whole, and still not to be read: another version wrote it.
    serde_json::from_slice(rest).map_err(|_| Damage::Foreign)
}
