//! JSON, a line a record.

use std::io::{self, BufRead, Read};
use std::path::Path;

use super::PAYLOAD_BYTES_MAX;
use super::bytes::Text;
use super::format::Compression;
use super::mapping::{Mapping, json_row};
use super::records::{ReadFault, Records};

/// Begins at the first line. Without a mapping, lines are payloads byte for byte.
pub(super) fn open(
    path: &Path,
    compression: Compression,
    mapping: Option<Mapping>,
) -> io::Result<Box<dyn Records>> {
    Ok(Box::new(Lines { text: Text::open(path, compression)?, mapping }))
}

struct Lines {
    text: Text,
    mapping: Option<Mapping>,
}

impl Records for Lines {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ReadFault> {
        let Some(line) = next_line(&mut self.text.reader)? else { return Ok(None) };
        let Some(mapping) = &self.mapping else { return Ok(Some(line)) };
        // What is no object is for the engine to reject, as it is.
        let envelope = json_row(&line, mapping).map(|row| mapping.envelope(&row));
        Ok(Some(envelope.unwrap_or(line)))
    }

    fn skip(&mut self, count: u64) -> Result<u64, ReadFault> {
        let mut skipped = 0;
        while skipped < count && next_line(&mut self.text.reader)?.is_some() {
            skipped += 1;
        }
        Ok(skipped)
    }

    fn bytes_read(&self) -> u64 {
        self.text.bytes_read()
    }
}

/// The next line that is not blank, without its end, cut to what a payload may be.
fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut line = Vec::new();
        // Room for the end, `\r\n`, of a line that is just short enough.
        let limit = PAYLOAD_BYTES_MAX as u64 + 2;
        if reader.take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop_if(|last| *last == b'\n').is_none() && line.len() > PAYLOAD_BYTES_MAX {
            reader.skip_until(b'\n')?;
        }
        line.pop_if(|last| *last == b'\r');
        let is_cut = line.len() > PAYLOAD_BYTES_MAX;
        line.truncate(PAYLOAD_BYTES_MAX);
        if is_cut || !line.trim_ascii().is_empty() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut text: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut text).unwrap() {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn lines_are_byte_for_byte() {
        let text = b"{}\r\n\n \t\r\n  x \xff\r\r\n\r\nlast";
        assert_eq!(lines(text), [&b"{}"[..], b"  x \xff\r", b"last"]);
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"\n"), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn long_lines_are_cut() {
        for end in ["", "\n", "\r\n"] {
            for extra in [0, 1, 2, 3, 1_500_000] {
                let mut text = vec![b'x'; PAYLOAD_BYTES_MAX + extra];
                text.extend_from_slice(end.as_bytes());
                text.extend_from_slice(if end.is_empty() { b"" } else { b"next" });
                let lines = lines(&text);
                assert_eq!(lines[0].len(), PAYLOAD_BYTES_MAX, "{extra} {end:?}");
                let rest: &[&[u8]] = if end.is_empty() { &[] } else { &[b"next"] };
                assert_eq!(lines[1..], *rest, "{extra} {end:?}");
            }
        }
        let mut blank = vec![b' '; PAYLOAD_BYTES_MAX + 5];
        blank.extend_from_slice(b"{}\n");
        assert_eq!(lines(&blank).len(), 1, "what is cut off is not lost in silence");
    }
}
