//! The records of one file, whatever its format.

use std::io;

use super::format::Format;
use super::mapping::{Mapping, Use};
use super::open::InputFile;
use super::{InputError, columnar, lines, table};

/// One record after another.
pub(super) trait Records: Send {
    /// The payload of the next one.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ReadFault>;
    /// Reads over the next `count`, and says how many there were.
    fn skip(&mut self, count: u64) -> Result<u64, ReadFault>;
    /// How many bytes of the file are behind, or about to be.
    fn bytes_read(&self) -> u64;
}

/// What keeps a file from being read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// The system's, or of the decompression.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Of the Parquet format.
    #[error("is not Parquet as it should be: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Of the Parquet format, and beyond what its reader foresees.
    #[error("is not Parquet as it should be: the reader gave up")]
    GaveUp,
    /// A first row beyond all measure.
    #[error(
        "the header is longer than {} bytes; check that there is one",
        super::PAYLOAD_BYTES_MAX
    )]
    Header,
}

/// Begins at the first record, if the file has all that `mapping` names.
pub(super) fn open(
    file: &InputFile,
    mapping: Option<&Mapping>,
) -> Result<Box<dyn Records>, InputError> {
    let start = |source| InputError::Start { path: file.path.clone(), source };
    match file.format {
        Format::JsonLines(compression) => {
            let records = lines::open(&file.path, compression, mapping.cloned());
            records.map_err(|error| start(error.into()))
        }
        Format::Table(delimiter, compression) => {
            let table = table::Parser::open(&file.path, compression, delimiter).map_err(start)?;
            let bound = bind(file, table.columns(), mapping)?;
            Ok(Box::new(table::Table::new(table, bound)))
        }
        Format::Parquet => {
            let rows = columnar::File::open(&file.path).map_err(start)?;
            let bound = bind(file, rows.columns(), mapping)?;
            let unread = rows.unreadable(&bound.uses);
            if let Some(column) = unread {
                return Err(InputError::ColumnType { path: file.path.clone(), column });
            }
            Ok(Box::new(rows.records(bound).map_err(start)?))
        }
    }
}

/// A mapping, and what it does with each column of a file.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) mapping: Mapping,
    pub(super) uses: Vec<Use>,
}

fn bind(
    file: &InputFile,
    columns: &[String],
    mapping: Option<&Mapping>,
) -> Result<Bound, InputError> {
    let mapping = mapping.cloned().unwrap_or_else(|| Mapping::of_columns(columns));
    // An export of a month without events may lack even the header, and has no record to read.
    let missing = mapping.missing(columns).filter(|_| !columns.is_empty());
    if let Some((column, near)) = missing {
        return Err(InputError::NoColumn { path: file.path.clone(), column, near });
    }
    if mapping.is_empty() && !columns.is_empty() {
        return Err(InputError::NoFields { path: file.path.clone() });
    }
    let uses = mapping.uses(columns);
    Ok(Bound { mapping, uses })
}
