//! The files of a job, checked.

use std::path::PathBuf;
use std::sync::Arc;

use super::format::Format;
use super::{InputError, Mapping, Position, Reader, digest, records};

/// Files of which each has what the mapping names.
#[derive(Clone, Debug)]
pub struct Input {
    files: Arc<[InputFile]>,
    mapping: Option<Arc<Mapping>>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// Its [`digest`].
    pub digest: String,
    pub(super) format: Format,
}

impl Input {
    /// Checks each file as far as that is possible without reading its records, and takes
    /// its digest.
    pub fn open(paths: Vec<PathBuf>, mapping: Option<Mapping>) -> Result<Input, InputError> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let format = Format::of(&path).ok_or(InputError::Format { path: path.clone() })?;
            let file = InputFile { path, bytes: 0, digest: String::new(), format };
            records::open(&file, mapping.as_ref())?;
            files.push(file);
        }
        // Only now: it takes long, and what is wrong should be said first.
        for file in &mut files {
            let fault = |source| InputError::File { path: file.path.clone(), source };
            file.bytes = std::fs::metadata(&file.path).map_err(fault)?.len();
            file.digest = digest(&file.path)?;
        }
        Ok(Input { files: files.into(), mapping: mapping.map(Arc::new) })
    }

    /// The files, in the order in which they are read.
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// How long they are together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Begins at `from`, with what is after it.
    pub fn reader(&self, from: Position) -> Result<Reader, InputError> {
        Reader::new(self.clone(), from)
    }

    pub(super) fn mapping(&self) -> Option<&Mapping> {
        self.mapping.as_deref()
    }
}
