//! Parquet files, written by the columns.

use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, Int96};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// The values of a column in one row group, with definition and repetition levels.
pub(super) enum Column {
    Bools(Vec<bool>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Int96s(Vec<Int96>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
    Fixed(Vec<Vec<u8>>),
}

pub(super) struct Written(
    pub(super) Column,
    pub(super) Option<Vec<i16>>,
    pub(super) Option<Vec<i16>>,
);

pub(super) fn required(column: Column) -> Written {
    Written(column, None, None)
}

pub(super) fn texts(texts: &[&str]) -> Column {
    Column::Bytes(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
}

pub(super) struct Target {
    folder: tempfile::TempDir,
    schema: String,
    pub(super) compression: Compression,
}

impl Target {
    pub(super) fn new(columns: &str) -> Target {
        let folder = tempfile::tempdir().unwrap();
        let schema = format!("message m {{ {columns} }}");
        Target { folder, schema, compression: Compression::UNCOMPRESSED }
    }

    /// A file of row groups.
    pub(super) fn write(&self, groups: Vec<Vec<Written>>) -> PathBuf {
        let path = self.folder.path().join("a.parquet");
        let schema = Arc::new(parse_message_type(&self.schema).unwrap());
        let properties = WriterProperties::builder().set_compression(self.compression).build();
        let file = std::fs::File::create(&path).unwrap();
        let mut file = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
        for columns in groups {
            let mut group = file.next_row_group().unwrap();
            for Written(column, definitions, repetitions) in columns {
                let mut writer = group.next_column().unwrap().unwrap();
                let (definitions, repetitions) = (definitions.as_deref(), repetitions.as_deref());
                let arrays = |bytes: Vec<Vec<u8>>| bytes.into_iter().map(ByteArray::from);
                macro_rules! put {
                    ($writer:expr, $values:expr) => {
                        $writer.write_batch(&$values, definitions, repetitions).map(|_| ())
                    };
                }
                match (writer.untyped(), column) {
                    (ColumnWriter::BoolColumnWriter(w), Column::Bools(v)) => put!(w, v),
                    (ColumnWriter::Int32ColumnWriter(w), Column::Ints(v)) => put!(w, v),
                    (ColumnWriter::Int64ColumnWriter(w), Column::Longs(v)) => put!(w, v),
                    (ColumnWriter::Int96ColumnWriter(w), Column::Int96s(v)) => put!(w, v),
                    (ColumnWriter::FloatColumnWriter(w), Column::Floats(v)) => put!(w, v),
                    (ColumnWriter::DoubleColumnWriter(w), Column::Doubles(v)) => put!(w, v),
                    (ColumnWriter::ByteArrayColumnWriter(w), Column::Bytes(v)) => {
                        put!(w, arrays(v).collect::<Vec<_>>())
                    }
                    (ColumnWriter::FixedLenByteArrayColumnWriter(w), Column::Fixed(v)) => {
                        put!(w, arrays(v).map(Into::into).collect::<Vec<_>>())
                    }
                    _ => panic!("the column is of another type"),
                }
                .unwrap();
                writer.close().unwrap();
            }
            group.close().unwrap();
        }
        file.close().unwrap();
        path
    }
}
