//! The form of a segment: a header that tells whether the rest can be trusted, then sections of rows.
//!
//! ```text
//! magic (8) · hash of the layout (8) · bytes of the rest (8) · BLAKE3 of the rest (32) · zeros (8)
//! sections: tag (4) · bytes of a row (4) · bytes of the section (8) · rows, padded to 8
//! ```
//! The hash of the layout covers the fields of the rows, what they mean, and the machine's byte order. A
//! file that does not match is never repaired and never read in part.

use std::sync::LazyLock;

use super::codec;
use super::row::{FixedRow, LAYOUTS, PublishedRow};

const MAGIC: [u8; 8] = *b"CEBEFACT";
const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 16;
/// The alignment of sections within the file, and of the file in memory.
const ALIGN: usize = 8;

/// What the adapter tells of an event. Raise it with every change of that: facts of before are then made
/// anew. A change of what the dataflow makes of facts is none of them.
pub const FACTS_VERSION: u32 = 2;
/// What is kept of a published row.
const PUBLISHED_VERSION: u32 = 1;

/// The hash of a layout.
pub(super) struct Layout([u8; 8]);

/// Of facts and of used keys.
pub(super) static FACTS: LazyLock<Layout> = LazyLock::new(|| Layout::of(LAYOUTS, FACTS_VERSION));
/// Of what was published.
pub(super) static PUBLISHED: LazyLock<Layout> =
    LazyLock::new(|| Layout::of(&[PublishedRow::LAYOUT], PUBLISHED_VERSION));

impl Layout {
    fn of(rows: &[&str], version: u32) -> Layout {
        let mut hasher = blake3::Hasher::new();
        for layout in rows {
            hasher.update(layout.as_bytes()).update(b"\n");
        }
        hasher.update(&version.to_ne_bytes());
        let mut layout = [0; 8];
        layout.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Layout(layout)
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A name for a file of some kind that tells its content from every other.
pub(super) fn name(kind: &str, file: &[u8]) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    let digest: String = file.iter().skip(24).take(16).map(digits).collect();
    format!("{kind}-{digest}")
}

/// Why the content of a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is shorter or longer than it says, or does not begin as such files do.
    #[error("it is no segment, or only a part of one")]
    Torn,
    /// Another version of CEBE, or another kind of machine, wrote it.
    #[error("another version of cebe wrote it")]
    Foreign,
    /// Its bytes are not those that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The checksum is right, and still the rows make no sense.
    #[error("its rows make no sense")]
    Content,
}

/// Collects the sections of a file.
pub(super) struct FileWriter {
    file: Vec<u8>,
    layout: &'static Layout,
}

impl FileWriter {
    pub(super) fn new(layout: &'static Layout) -> FileWriter {
        FileWriter { file: vec![0; HEADER_BYTES], layout }
    }

    /// Appends a section of `rows`.
    pub(super) fn rows<R: FixedRow>(&mut self, rows: &[R]) {
        self.section(R::TAG, size_of::<R>(), size_of_val(rows));
        codec::write(rows, &mut self.file);
        self.pad();
    }

    /// Appends a section of plain bytes.
    pub(super) fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        self.section(tag, 1, bytes.len());
        self.file.extend_from_slice(bytes);
        self.pad();
    }

    fn section(&mut self, tag: u32, row_bytes: usize, bytes: usize) {
        self.file.extend_from_slice(&tag.to_ne_bytes());
        self.file.extend_from_slice(&(row_bytes as u32).to_ne_bytes());
        self.file.extend_from_slice(&(bytes as u64).to_ne_bytes());
    }

    fn pad(&mut self) {
        self.file.resize(self.file.len().next_multiple_of(ALIGN), 0);
    }

    /// The whole file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let (header, body) = self.file.split_at_mut(HEADER_BYTES);
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&self.layout.0);
        header[16..24].copy_from_slice(&(body.len() as u64).to_ne_bytes());
        header[24..56].copy_from_slice(blake3::hash(body).as_bytes());
        self.file
    }
}

/// A file whose checksum is right, its sections to be read in the order in which they were written.
pub(super) struct FileReader {
    buffer: Vec<u8>,
    at: usize,
}

impl FileReader {
    /// # Errors
    /// [`Damage`].
    pub(super) fn new(file: Vec<u8>, layout: &Layout) -> Result<FileReader, Damage> {
        let (header, body) = file.split_at_checked(HEADER_BYTES).ok_or(Damage::Torn)?;
        if header[..8] != MAGIC {
            return Err(Damage::Torn);
        }
        if header[8..16] != layout.0 {
            return Err(Damage::Foreign);
        }
        if header[16..24] != (body.len() as u64).to_ne_bytes() || header[56..] != [0; 8] {
            return Err(Damage::Torn);
        }
        if header[24..56] != *blake3::hash(body).as_bytes() {
            return Err(Damage::Checksum);
        }
        if file.as_ptr().align_offset(ALIGN) == 0 {
            return Ok(FileReader { buffer: file, at: HEADER_BYTES });
        }
        let mut buffer: Vec<u8> = Vec::with_capacity(body.len() + ALIGN);
        let at = buffer.as_ptr().align_offset(ALIGN);
        buffer.resize(at, 0);
        buffer.extend_from_slice(body);
        Ok(FileReader { buffer, at })
    }

    /// The rows of the next section.
    ///
    /// # Errors
    /// It is a section of other rows.
    pub(super) fn rows<R: FixedRow>(&mut self) -> Result<Vec<R>, Damage> {
        let section = self.section(R::TAG, size_of::<R>())?;
        codec::read(section).ok_or(Damage::Content)
    }

    /// The plain bytes of the next section.
    ///
    /// # Errors
    /// It is another section.
    pub(super) fn bytes(&mut self, tag: u32) -> Result<&[u8], Damage> {
        self.section(tag, 1).map(|section| &*section)
    }

    fn section(&mut self, tag: u32, row_bytes: usize) -> Result<&mut [u8], Damage> {
        let rest = &mut self.buffer[self.at..];
        let (head, rest) = rest.split_at_mut_checked(SECTION_BYTES).ok_or(Damage::Content)?;
        let of = |range: std::ops::Range<usize>| head[range].iter().copied();
        if !of(0..4).eq(tag.to_ne_bytes()) || !of(4..8).eq((row_bytes as u32).to_ne_bytes()) {
            return Err(Damage::Content);
        }
        let bytes = <[u8; 8]>::try_from(&head[8..16]).map_err(|_| Damage::Content)?;
        let bytes = usize::try_from(u64::from_ne_bytes(bytes)).map_err(|_| Damage::Content)?;
        let section = rest.get_mut(..bytes).ok_or(Damage::Content)?;
        self.at += SECTION_BYTES + bytes.next_multiple_of(ALIGN);
        Ok(section)
    }
}
