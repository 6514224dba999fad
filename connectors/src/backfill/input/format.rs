//! What a file's name says of its content.

use std::path::Path;

/// As messages list them.
pub(super) const KNOWN: &str = ".jsonl, .ndjson, .json (a JSON object a line), .csv, .tsv, \
                                each also with .gz, .zst or .zstd behind, and .parquet";

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object a line.
    JsonLines(Compression),
    /// Cells between delimiters, below a header.
    Table(u8, Compression),
    /// Compressed within.
    Parquet,
}

/// How the whole file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    Plain,
    /// By gzip, in one or several members.
    Gzip,
    /// By zstd, in one or several frames.
    Zstd,
}

impl Format {
    /// The format of a file of this name.
    pub(super) fn of(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, last) = name.rsplit_once('.')?;
        let compression = match last {
            "gz" => Compression::Gzip,
            "zst" | "zstd" => Compression::Zstd,
            "parquet" => return Some(Format::Parquet),
            _ => return Format::of_text(last, Compression::Plain),
        };
        Format::of_text(name.rsplit_once('.')?.1, compression)
    }

    fn of_text(extension: &str, compression: Compression) -> Option<Format> {
        match extension {
            "jsonl" | "ndjson" | "json" => Some(Format::JsonLines(compression)),
            "csv" => Some(Format::Table(b',', compression)),
            "tsv" => Some(Format::Table(b'\t', compression)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_format() {
        use Compression::{Gzip, Plain, Zstd};
        for (name, expect) in [
            ("a.jsonl", Some(Format::JsonLines(Plain))),
            ("a.ndjson.gz", Some(Format::JsonLines(Gzip))),
            ("a.json.zstd", Some(Format::JsonLines(Zstd))),
            ("2026.01.CSV", Some(Format::Table(b',', Plain))),
            ("a.csv.zst", Some(Format::Table(b',', Zstd))),
            ("dir.csv/a.tsv.gz", Some(Format::Table(b'\t', Gzip))),
            ("a.parquet", Some(Format::Parquet)),
            ("a.parquet.gz", None),
            ("a.gz", None),
            ("csv", None),
            ("a.xlsx", None),
            ("a.csv.gz.gz", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), expect, "{name}");
        }
    }
}
