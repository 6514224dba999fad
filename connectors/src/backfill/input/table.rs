//! Rows of cells between delimiters, below a header.

use std::borrow::Cow;
use std::io::{self, BufRead};
use std::path::Path;

use csv_core::ReadRecordResult;

use super::PAYLOAD_BYTES_MAX;
use super::bytes::Text;
use super::cell::Cell;
use super::format::Compression;
use super::mapping::Row;
use super::records::{Bound, ReadFault, Records};

/// Cuts a text into rows, in memory that is bounded whatever quotes are left open.
pub(super) struct Parser {
    text: Text,
    parser: csv_core::Reader,
    delimiter: u8,
    columns: Vec<String>,
    /// The cells of the row, one behind the other, and where each ends. Longer than they are full.
    cells: Vec<u8>,
    ends: Vec<usize>,
    bytes: usize,
    count: usize,
    is_cut: bool,
}

impl Parser {
    /// Reads the header.
    pub(super) fn open(
        path: &Path,
        compression: Compression,
        delimiter: u8,
    ) -> Result<Parser, ReadFault> {
        let mut parser = Parser {
            text: Text::open(path, compression)?,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            columns: Vec::new(),
            cells: vec![0; 4096],
            ends: vec![0; 64],
            bytes: 0,
            count: 0,
            is_cut: false,
        };
        if parser.read_row()? {
            if parser.is_cut {
                return Err(ReadFault::Header);
            }
            let names = parser.row().map(|name| String::from_utf8_lossy(name).into_owned());
            parser.columns = names.collect();
        }
        Ok(parser)
    }

    /// The names in the header; none: the file is empty.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    fn row(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends[..self.count]).map(|(start, end)| &self.cells[start..*end])
    }

    /// Goes to the next row that is not blank; false: there is none.
    fn next_row(&mut self) -> io::Result<bool> {
        while self.read_row()? {
            if !self.is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_blank(&self) -> bool {
        let is_one = self.count == 1 && self.columns.len() > 1;
        is_one && !self.is_cut && self.cells[..self.bytes].trim_ascii().is_empty()
    }

    fn read_row(&mut self) -> io::Result<bool> {
        (self.bytes, self.count, self.is_cut) = (0, 0, false);
        loop {
            let input = self.text.reader.fill_buf()?;
            let cells = &mut self.cells[self.bytes..];
            let ends = &mut self.ends[self.count..];
            let (result, read, bytes, count) = self.parser.read_record(input, cells, ends);
            self.text.reader.consume(read);
            self.bytes += bytes;
            self.count += count;
            let has_room = match result {
                ReadRecordResult::InputEmpty => true,
                ReadRecordResult::OutputFull => grow(&mut self.cells),
                ReadRecordResult::OutputEndsFull => grow(&mut self.ends),
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
            };
            if !has_room {
                self.is_cut = true;
                return self.discard_row().map(|()| true);
            }
        }
    }

    /// Reads over what is left of a row.
    fn discard_row(&mut self) -> io::Result<()> {
        let (mut cells, mut ends) = ([0; 4096], [0; 512]);
        loop {
            let input = self.text.reader.fill_buf()?;
            let (result, read, ..) = self.parser.read_record(input, &mut cells, &mut ends);
            self.text.reader.consume(read);
            if matches!(result, ReadRecordResult::Record | ReadRecordResult::End) {
                return Ok(());
            }
        }
    }

    /// The row as it may have stood in the file: for the engine to reject.
    fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.bytes + self.count);
        let mut last = 0;
        for end in &self.ends[..self.count] {
            raw.extend_from_slice(&self.cells[last..*end]);
            raw.push(self.delimiter);
            last = *end;
        }
        raw.extend_from_slice(&self.cells[last..self.bytes]);
        if !self.is_cut {
            raw.pop();
        }
        raw
    }
}

/// Doubles a buffer up to its limit; false: it is there.
fn grow<T: Clone + Default>(buffer: &mut Vec<T>) -> bool {
    let wanted = (2 * buffer.len()).min(PAYLOAD_BYTES_MAX);
    let grows = wanted > buffer.len();
    buffer.resize(wanted, T::default());
    grows
}

/// The rows below the header as payloads.
pub(super) struct Table {
    parser: Parser,
    bound: Bound,
}

impl Table {
    /// Begins at the first row.
    pub(super) fn new(parser: Parser, bound: Bound) -> Table {
        Table { parser, bound }
    }

    /// None: it does not fit the header, or is not text.
    fn envelope(&self) -> Option<Vec<u8>> {
        let Bound { mapping, uses } = &self.bound;
        if self.parser.is_cut || self.parser.count != uses.len() {
            return None;
        }
        let mut row = Row::new(mapping);
        for ((cell, usage), name) in self.parser.row().zip(uses).zip(&self.parser.columns) {
            let text = std::str::from_utf8(cell).ok()?;
            let cell = (!text.is_empty()).then_some(Cell::Text(Cow::Borrowed(text)));
            row.put(*usage, name, cell);
        }
        Some(mapping.envelope(&row))
    }
}

impl Records for Table {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ReadFault> {
        if !self.parser.next_row()? {
            return Ok(None);
        }
        Ok(Some(self.envelope().unwrap_or_else(|| self.parser.raw())))
    }

    fn skip(&mut self, count: u64) -> Result<u64, ReadFault> {
        let mut skipped = 0;
        while skipped < count && self.parser.next_row()? {
            skipped += 1;
        }
        Ok(skipped)
    }

    fn bytes_read(&self) -> u64 {
        self.parser.text.bytes_read()
    }
}
