//! The text of a file, decompressed, and how far into the file that is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::Compression;

const BUFFER_BYTES: usize = 128 << 10;

/// A text being read.
pub(super) struct Text {
    /// What is left of it.
    pub(super) reader: Box<dyn BufRead + Send>,
    bytes_read: Arc<AtomicU64>,
}

impl Text {
    /// Begins at the start of a file.
    pub(super) fn open(path: &Path, compression: Compression) -> io::Result<Text> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let file = Counted { file: File::open(path)?, bytes_read: bytes_read.clone() };
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let reader: Box<dyn BufRead + Send> = match compression {
            Compression::Plain => Box::new(file),
            Compression::Gzip => Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                flate2::bufread::MultiGzDecoder::new(file),
            )),
            Compression::Zstd => Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                zstd::stream::read::Decoder::with_buffer(file)?,
            )),
        };
        Ok(Text { reader, bytes_read })
    }

    /// How many bytes of the file are read, as far as it is buffered.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
