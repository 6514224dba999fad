//! Rows of a Parquet file.

mod schema;
#[cfg(test)]
mod tests;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Row as ParquetRow;
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

use super::mapping::{Row, Use};
use super::records::{Bound, ReadFault, Records};
use schema::Kind;

/// A file of which the footer is read.
pub(super) struct File {
    file: SerializedFileReader<std::fs::File>,
    bytes: u64,
    columns: Vec<String>,
}

impl File {
    /// Reads the footer.
    pub(super) fn open(path: &Path) -> Result<File, ReadFault> {
        let file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        let file = guarded(|| Ok(SerializedFileReader::new(file)?))?;
        let columns = root(&file).get_fields().iter().map(|column| column.name().to_owned());
        let columns = columns.collect();
        Ok(File { file, bytes, columns })
    }

    /// The names of its columns.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A column that is used and has a type that cannot be read.
    pub(super) fn unreadable(&self, uses: &[Use]) -> Option<String> {
        let used =
            root(&self.file).get_fields().iter().zip(uses).filter(|(_, u)| **u != Use::Nothing);
        let mut unreadable = used.filter(|(column, _)| !schema::is_readable(column));
        unreadable.next().map(|(column, _)| column.name().to_owned())
    }

    /// Begins at the first row. Columns that are not used are not read.
    pub(super) fn records(self, bound: Bound) -> Result<Rows, ReadFault> {
        let schema = root(&self.file);
        let used = schema.get_fields().iter().zip(&bound.uses).filter(|(_, u)| **u != Use::Nothing);
        let (used, uses): (Vec<_>, Vec<_>) = used.map(|(column, u)| (column.clone(), *u)).unzip();
        let uses =
            uses.into_iter().zip(&used).map(|(u, column)| (u, schema::kind(column))).collect();
        let projection = Type::group_type_builder(schema.name()).with_fields(used).build()?;
        Ok(Rows {
            projection: Arc::new(SchemaDescriptor::new(Arc::new(projection))),
            total: self.file.metadata().file_metadata().num_rows().unsigned_abs(),
            file: self.file,
            bytes: self.bytes,
            bound: Bound { uses: Vec::new(), ..bound },
            uses,
            next_group: 0,
            group: None,
            read: 0,
        })
    }
}

fn root(file: &SerializedFileReader<std::fs::File>) -> &Type {
    file.metadata().file_metadata().schema_descr().root_schema()
}

/// The parquet crate panics at some damaged files. Nothing it was reading is used after that.
fn guarded<T>(read: impl FnOnce() -> Result<T, ReadFault>) -> Result<T, ReadFault> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(ReadFault::GaveUp))
}

/// The rows of a file, a group of them after the other.
pub(super) struct Rows {
    file: SerializedFileReader<std::fs::File>,
    bytes: u64,
    bound: Bound,
    /// For each column of the projection.
    uses: Vec<(Use, Kind)>,
    projection: SchemaDescPtr,
    next_group: usize,
    group: Option<ReaderIter>,
    read: u64,
    total: u64,
}

impl Rows {
    fn next_row(&mut self) -> Result<Option<ParquetRow>, ReadFault> {
        guarded(|| self.unguarded_next_row())
    }

    fn unguarded_next_row(&mut self) -> Result<Option<ParquetRow>, ReadFault> {
        loop {
            if let Some(row) = self.group.as_mut().and_then(ReaderIter::next) {
                self.read += 1;
                return Ok(Some(row?));
            }
            if self.next_group >= self.file.num_row_groups() {
                return Ok(None);
            }
            let group = self.file.get_row_group(self.next_group)?;
            self.group = Some(TreeBuilder::new().as_iter(self.projection.clone(), &*group)?);
            self.next_group += 1;
        }
    }

    /// The rows of the next group, if that is no more than `count`.
    fn group_within(&self, count: u64) -> Option<u64> {
        if self.next_group >= self.file.num_row_groups() {
            return None;
        }
        let rows = self.file.metadata().row_group(self.next_group).num_rows().unsigned_abs();
        (rows <= count).then_some(rows)
    }

    fn envelope(&self, row: ParquetRow) -> Vec<u8> {
        let mut cells = Row::new(&self.bound.mapping);
        for ((name, field), (usage, kind)) in row.into_columns().into_iter().zip(&self.uses) {
            cells.put(*usage, name, value::cell(field, *kind));
        }
        self.bound.mapping.envelope(&cells)
    }
}

impl Records for Rows {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ReadFault> {
        Ok(self.next_row()?.map(|row| self.envelope(row)))
    }

    fn skip(&mut self, count: u64) -> Result<u64, ReadFault> {
        let mut skipped = 0;
        // Whole groups need not be read.
        while self.group.is_none()
            && let Some(rows) = self.group_within(count - skipped)
        {
            self.next_group += 1;
            self.read += rows;
            skipped += rows;
        }
        while skipped < count && self.next_row()?.is_some() {
            skipped += 1;
        }
        Ok(skipped)
    }

    fn bytes_read(&self) -> u64 {
        let share = u128::from(self.bytes) * u128::from(self.read);
        let bytes = share / u128::from(self.total.max(1));
        u64::try_from(bytes).unwrap_or(self.bytes)
    }
}
