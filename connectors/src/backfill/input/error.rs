//! What can be wrong with files, as opposed to the records in them.

use std::io;
use std::path::PathBuf;

use super::format;
use super::records::ReadFault;

/// A file that cannot be read, or not as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A glob that is none.
    #[error("input `{pattern}` is no pattern: {source}; put special characters in brackets: [[]")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A pattern that matches no file.
    #[error("input `{pattern}` matches no file: check the path, and quote globs for the shell")]
    NoMatch {
        /// As given.
        pattern: String,
    },
    /// A name that says no format.
    #[error(
        "input {}: the name does not say the format; known are {}",
        path.display(),
        format::KNOWN
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be opened, or not to its end.
    #[error("input {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file whose content breaks off, or is not in its format.
    #[error("input {}: record {record}: {source}; check that the file is whole", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The record that could not be read, from 1.
        record: u64,
        /// What is wrong.
        source: ReadFault,
    },
    /// A file that does not begin as its format must.
    #[error("input {}: {source}", path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ReadFault,
    },
    /// A mapping that names what is not there.
    #[error(
        "input {}: no column `{column}`, which the mapping names; {}",
        path.display(),
        nearest(near)
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// As the mapping names it.
        column: String,
        /// Columns of the file that are called like it, the nearest first.
        near: Vec<String>,
    },
    /// A table that nothing says how to read.
    #[error(
        "input {}: no column is called like a field of the envelope, such as event_name; \
         give a mapping",
        path.display()
    )]
    NoFields {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet column that cannot be turned into JSON.
    #[error("input {}: column `{column}` has a type that cannot be read; \
         write it as text or number", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// Its name.
        column: String,
    },
    /// A place to read on from that is not there.
    #[error("input {}: has {has} records and should go on after {record}: \
         it is not the file of before", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// How many were to be skipped.
        record: u64,
        /// How many there are.
        has: u64,
    },
    /// A place in a file that is not there.
    #[error(
        "input: there are {has} files and reading should go on in file {file}: \
         give the same files as before"
    )]
    NoFile {
        /// Which one, from 1.
        file: usize,
        /// How many there are.
        has: usize,
    },
}

fn nearest(near: &[String]) -> String {
    if near.is_empty() {
        return "the file has no columns".to_owned();
    }
    format!("the nearest are `{}`", near.join("`, `"))
}
