//! One payload after the other, over all files.

use serde::{Deserialize, Serialize};

use super::records::{self, ReadFault, Records};
use super::{Input, InputError, PAYLOAD_BYTES_MAX};

/// Between two records. Everything before it is read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Which file, from 0.
    pub file: usize,
    /// How many records of it are behind.
    pub record: u64,
}

/// Reads an [`Input`].
pub struct Reader {
    input: Input,
    position: Position,
    /// What is read next, which is in a later file than `position` where that one is at its end.
    ahead: Position,
    /// The records of the file that is read next.
    records: Option<Box<dyn Records>>,
}

impl Reader {
    pub(super) fn new(input: Input, from: Position) -> Result<Reader, InputError> {
        let has = input.files().len();
        if from.file > has || (from.file == has && from.record > 0) {
            return Err(InputError::NoFile { file: from.file.saturating_add(1), has });
        }
        let mut reader = Reader { input, position: from, ahead: from, records: None };
        if from.record > 0 {
            reader.open()?;
        }
        Ok(reader)
    }

    /// The payload of the next record; none: that was the last one. After an error the same record
    /// is tried again.
    #[expect(clippy::should_implement_trait, reason = "an error ends it: no item of an iterator")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, InputError> {
        while self.ahead.file < self.input.files().len() {
            match self.next_of_file() {
                Ok(Some(payload)) => return Ok(Some(payload)),
                Ok(None) => self.ahead = Position { file: self.ahead.file + 1, record: 0 },
                Err(error) => {
                    self.records = None;
                    return Err(error);
                }
            }
            self.records = None;
        }
        Ok(None)
    }

    fn next_of_file(&mut self) -> Result<Option<Vec<u8>>, InputError> {
        if self.records.is_none() {
            self.open()?;
        }
        let next = self.records.as_mut().map_or(Ok(None), |records| records.next());
        let next = next.map_err(|source| self.fault(self.ahead.record + 1, source))?;
        Ok(next.map(|mut payload| {
            payload.truncate(PAYLOAD_BYTES_MAX);
            self.ahead.record += 1;
            self.position = self.ahead;
            payload
        }))
    }

    /// Opens the file that is read next, and skips what is behind in it.
    fn open(&mut self) -> Result<(), InputError> {
        let Some(file) = self.input.files().get(self.ahead.file) else { return Ok(()) };
        let mut records = records::open(file, self.input.mapping())?;
        let record = self.ahead.record;
        let has = records.skip(record).map_err(|source| self.fault(record, source))?;
        if has < record {
            return Err(InputError::TooShort { path: file.path.clone(), record, has });
        }
        self.records = Some(records);
        Ok(())
    }

    fn fault(&self, record: u64, source: ReadFault) -> InputError {
        let file = self.input.files().get(self.ahead.file);
        let path = file.map(|file| file.path.clone()).unwrap_or_default();
        InputError::Record { path, record, source }
    }

    /// After the last record that was given.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many bytes of the [input](Input::bytes) are behind, compressed as they are.
    pub fn bytes_read(&self) -> u64 {
        let (behind, ahead) =
            self.input.files().split_at_checked(self.ahead.file).unwrap_or_default();
        let behind: u64 = behind.iter().map(|file| file.bytes).sum();
        let of_file = self.records.as_ref().map_or(0, |records| records.bytes_read());
        behind + ahead.first().map_or(0, |file| of_file.min(file.bytes))
    }

    /// The last record that was given, for messages: the file, and its number there from 1.
    pub fn place(&self) -> String {
        let file = self.input.files().get(self.position.file);
        match file {
            Some(file) => format!("{}: record {}", file.path.display(), self.position.record),
            None => "the end of the input".to_owned(),
        }
    }
}
