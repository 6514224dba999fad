//! What files of rows have in common, whatever the rows are.

use super::file::Damage;

/// Rows in files: new ones in small recent files, all before in parts of a base.
pub(super) trait Content: Default + Sized {
    /// The first part of the names of its files.
    const KIND: &'static str;

    fn is_empty(&self) -> bool;

    /// Takes in all of `other`, which is later.
    fn append(&mut self, other: Self);

    /// Splits off those of each part of `parts`, a power of two. What may settle each other is in one part,
    /// and each part of few is some parts of many.
    fn split(self, parts: usize) -> Vec<Self>;

    /// Drops what does not matter any more. `is_all`: nothing is older.
    fn settle(&mut self, is_all: bool);

    /// As the bytes of a file.
    fn to_bytes(&self) -> Vec<u8>;

    /// The rows in a file.
    ///
    /// # Errors
    /// [`Damage`]: nothing of it can be used.
    fn from_bytes(bytes: Vec<u8>) -> Result<Self, Damage>;
}
