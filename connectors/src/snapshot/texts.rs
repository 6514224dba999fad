//! The texts of a file, each once, which its rows refer to by number.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::{Damage, FileReader, FileWriter};
use super::row::TextRow;

/// What stands for no text.
const NONE: u32 = u32::MAX;
/// The section of the texts themselves.
const BYTES: u32 = 0;

/// Numbers texts while rows are written.
#[derive(Default)]
pub(super) struct Numbering {
    numbers: HashMap<Arc<str>, u32>,
    rows: Vec<TextRow>,
    bytes: Vec<u8>,
}

impl Numbering {
    pub(super) fn of(&mut self, text: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.rows.len() as u32;
        self.rows.push(TextRow { bytes: text.len() as u32 });
        self.bytes.extend_from_slice(text.as_bytes());
        self.numbers.insert(text.clone(), number);
        number
    }

    pub(super) fn optional(&mut self, text: Option<&Arc<str>>) -> u32 {
        text.map_or(NONE, |text| self.of(text))
    }

    pub(super) fn finish(self, file: &mut FileWriter) {
        file.rows(&self.rows);
        file.bytes(BYTES, &self.bytes);
    }
}

/// The texts of a file that is read.
pub(super) struct Texts(Vec<Arc<str>>);

impl Texts {
    pub(super) fn read(file: &mut FileReader) -> Result<Texts, Damage> {
        let rows: Vec<TextRow> = file.rows()?;
        let mut rest = file.bytes(BYTES)?;
        let mut texts = Vec::with_capacity(rows.len());
        for row in rows {
            let (text, after) = rest.split_at_checked(row.bytes as usize).ok_or(Damage::Content)?;
            texts.push(std::str::from_utf8(text).map_err(|_| Damage::Content)?.into());
            rest = after;
        }
        Ok(Texts(texts))
    }

    pub(super) fn get(&self, number: u32) -> Result<Arc<str>, Damage> {
        self.0.get(number as usize).cloned().ok_or(Damage::Content)
    }

    pub(super) fn optional(&self, number: u32) -> Result<Option<Arc<str>>, Damage> {
        if number == NONE { Ok(None) } else { self.get(number).map(Some) }
    }
}
