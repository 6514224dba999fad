//! Whole files, in and out.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::*;

const MAPPING: &str = r#"
event_name = { const = "broadcast.replied" }
schema_version = { const = 1 }
source_module = { const = "broadcast" }
idempotency_key = { column = "id" }
account_id = { const = "acc-17" }
occurred_at = { column = "at", format = "epoch_s" }
[properties]
note = { column = "note" }
"#;

fn compressed(name: &str, text: &[u8]) -> Vec<u8> {
    match name.rsplit_once('.').map(|(_, last)| last) {
        Some("gz") => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        }
        Some("zst" | "zstd") => zstd::stream::encode_all(text, 1).unwrap(),
        _ => text.to_vec(),
    }
}

/// Writes a file, compressed as its name says.
fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, compressed(name, text.as_ref())).unwrap();
    path
}

fn rest(reader: &mut Reader) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn payloads(paths: Vec<PathBuf>, mapping: Option<&str>) -> Vec<Vec<u8>> {
    let mapping = mapping.map(|text| Mapping::parse(text).unwrap());
    rest(&mut Input::open(paths, mapping).unwrap().reader(Position::default()).unwrap())
}

fn texts(payloads: Vec<Vec<u8>>) -> Vec<String> {
    payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
}

fn envelope(id: &str, note: &str) -> String {
    format!(
        r#"{{"event_name":"broadcast.replied","schema_version":1,"source_module":"broadcast","idempotency_key":"{id}","account_id":"acc-17","occurred_at":"1970-01-01T00:00:01.000Z","properties":{{"note":"{note}"}}}}"#
    )
}

#[test]
fn each_format_is_read_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    for end in ["", ".gz", ".zst", ".zstd"] {
        for format in ["jsonl", "ndjson", "json"] {
            let name = format!("a.{format}{end}");
            let lines = "{\"id\":1, \"at\":1, \"note\":\"é\"}\r\n\n[\n";
            let path = write(folder.path(), &name, lines);
            let found = texts(payloads(vec![path.clone()], None));
            assert_eq!(found, ["{\"id\":1, \"at\":1, \"note\":\"é\"}", "["], "{name}");
            let found = texts(payloads(vec![path], Some(MAPPING)));
            assert_eq!(found, [envelope("1", "é"), "[".to_owned()], "{name}");
        }
        for (format, delimiter) in [("csv", ","), ("tsv", "\t")] {
            let name = format!("a.{format}{end}");
            let rows = ["id,at,note", "1,1,\"a \"\"b\"\"\n,\"", "\r", "2,1,;", ""].join("\n");
            let path = write(folder.path(), &name, rows.replace(',', delimiter));
            let found = texts(payloads(vec![path], Some(MAPPING)));
            let note = if delimiter == "," { r#"a \"b\"\n,"# } else { r#"a \"b\"\n\t"# };
            assert_eq!(found, [envelope("1", note), envelope("2", ";")], "{name}");
        }
    }
}

#[test]
fn members_of_gzip_and_frames_of_zstd_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.jsonl.gz", "a.jsonl.zst"] {
        let content = [compressed(name, b"1\n2"), compressed(name, b"3\n4\n")].concat();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        assert_eq!(texts(payloads(vec![path], None)), ["1", "23", "4"]);
    }
}

#[test]
fn rows_that_do_not_fit_are_for_the_engine_to_reject() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = b"\xef\xbb\xbfid,at,note\n1,1\n2,1,a,b\n   \n3,1,\xff\n4,1,x\n".to_vec();
    table.extend_from_slice(b"5,1,\"left open\n6,1,y\n");
    let path = write(folder.path(), "a.csv", &table);
    let found = payloads(vec![path], Some(MAPPING));
    assert_eq!(found[..3], [b"1,1".to_vec(), b"2,1,a,b".to_vec(), b"3,1,\xff".to_vec()]);
    let left_open = envelope("5", "left open\\n6,1,y\\n");
    assert_eq!(texts(found[3..].to_vec()), [envelope("4", "x"), left_open]);
    let path = write(folder.path(), "one.csv", "event_name\n  \n\"\"\n");
    assert_eq!(texts(payloads(vec![path], None)), [r#"{"event_name":"  "}"#, "{}"]);
}

#[test]
fn what_is_too_long_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(3 * PAYLOAD_BYTES_MAX);
    let commas = ",".repeat(3 * PAYLOAD_BYTES_MAX);
    let controls = "\u{1}".repeat(PAYLOAD_BYTES_MAX / 2);
    let rows = format!("id,at,note\n1,1,{long}\n{commas}\n1,1,\"{long}\"\n2,1,{controls}\n3,1,a");
    let path = write(folder.path(), "a.csv.gz", rows);
    let found = payloads(vec![path], Some(MAPPING));
    assert_eq!(found.len(), 5);
    assert!(found[..4].iter().all(|payload| payload.len() == PAYLOAD_BYTES_MAX));
    assert!(found[0].starts_with(b"1,1,xxx"));
    assert_eq!(texts(found[4..].to_vec()), [envelope("3", "a")]);
    let path = write(folder.path(), "a.jsonl.zst", format!("{long}\n{long}"));
    let found = payloads(vec![path], None);
    assert!(found.len() == 2 && found.iter().all(|payload| payload.len() == PAYLOAD_BYTES_MAX));
    let path = write(folder.path(), "header.csv", long);
    let error = Input::open(vec![path], None).unwrap_err().to_string();
    assert!(error.contains("header.csv: the header is longer"), "{error}");
}

/// Several files of several formats, one without a record.
fn several(folder: &Path) -> Input {
    let lines: String = (0..7).map(|id| format!("{{\"id\":{id},\"at\":1}}\n\n")).collect();
    let rows = |ids: std::ops::Range<u32>| {
        let rows: String = ids.map(|id| format!("{id},1,\"a\nb\"\n")).collect();
        format!("id,at,note\n{rows}")
    };
    let paths = vec![
        write(folder, "a.jsonl.gz", lines),
        write(folder, "b.csv", rows(10..15)),
        write(folder, "c.csv", rows(0..0)),
        write(folder, "d.csv", ""),
        write(folder, "e.csv.zst", rows(20..24)),
    ];
    Input::open(paths, Some(Mapping::parse(MAPPING).unwrap())).unwrap()
}

#[test]
fn reading_goes_on_at_every_position() {
    let folder = tempfile::tempdir().unwrap();
    let input = several(folder.path());
    let mut reader = input.reader(Position::default()).unwrap();
    assert_eq!((reader.position(), reader.bytes_read()), (Position::default(), 0));
    let all = rest(&mut input.reader(Position::default()).unwrap());
    assert_eq!(all.len(), 16);
    let (mut bytes_read, mut behind) = (0, Position::default());
    for given in 0..=all.len() {
        let position: Position =
            serde_json::from_str(&serde_json::to_string(&reader.position()).unwrap()).unwrap();
        let mut resumed = input.reader(position).unwrap();
        assert_eq!(resumed.position(), position);
        assert_eq!(rest(&mut resumed), all[given..], "{position:?}");
        assert_eq!(resumed.bytes_read(), input.bytes());
        let next = reader.next().unwrap();
        assert_eq!(next.as_ref(), all.get(given));
        assert!(reader.position() > behind || next.is_none());
        assert!(reader.bytes_read() >= bytes_read && reader.bytes_read() <= input.bytes());
        (bytes_read, behind) = (reader.bytes_read(), reader.position());
    }
    assert_eq!((reader.position(), bytes_read), (Position { file: 4, record: 4 }, input.bytes()));
    assert!(reader.place().ends_with("e.csv.zst: record 4"), "{}", reader.place());
    let end = Position { file: 5, record: 0 };
    assert_eq!(rest(&mut input.reader(end).unwrap()), Vec::<Vec<u8>>::new());
}

#[test]
fn positions_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = several(folder.path());
    let message = |file, record| {
        let found = input.reader(Position { file, record });
        found.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(message(1, 6).contains("b.csv: has 5 records and should go on after 6"));
    assert!(message(5, 1).contains("there are 5 files"));
    assert!(message(6, 0).contains("there are 5 files"));
}

#[test]
fn files_have_length_and_digest() {
    let folder = tempfile::tempdir().unwrap();
    let paths = vec![write(folder.path(), "a.jsonl", "{}\n"), write(folder.path(), "b.jsonl", "")];
    let input = Input::open(paths.clone(), None).unwrap();
    assert_eq!(input.bytes(), 3);
    let files: Vec<_> = input.files().iter().map(|file| (&file.path, file.bytes)).collect();
    assert_eq!(files, [(&paths[0], 3), (&paths[1], 0)]);
    assert!(input.files().iter().all(|file| file.digest == digest(&file.path).unwrap()));
    std::fs::write(&paths[0], "{ \n").unwrap();
    assert_ne!(input.files()[0].digest, digest(&paths[0]).unwrap());
}

#[test]
fn what_is_wrong_with_a_file_is_said_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "a.csv", "id,at,note\n");
    let message = |name: &str, text: &str, mapping: Option<&str>| {
        let bad = write(folder.path(), name, text);
        let mapping = mapping.map(|text| Mapping::parse(text).unwrap());
        Input::open(vec![good.clone(), bad], mapping).unwrap_err().to_string()
    };
    let renamed = message("b.csv", "id,At,Notes\n", Some(MAPPING));
    let expect =
        "b.csv: no column `at`, which the mapping names; the nearest are `At`, `id`, `Notes`";
    assert!(renamed.ends_with(expect), "{renamed}");
    let unknown = message("b.xlsx", "", Some(MAPPING));
    assert!(unknown.contains("b.xlsx: ") && unknown.contains(".parquet"), "{unknown}");
    let parquet = message("b.parquet", "PAR1", Some(MAPPING));
    assert!(parquet.contains("b.parquet: is not Parquet as it should be"), "{parquet}");
    let unmapped = message("c.csv", "id,at\n", None);
    assert!(unmapped.contains("a.csv: no column is called like a field"), "{unmapped}");
    let missing = Input::open(vec![folder.path().join("none.jsonl")], None).unwrap_err();
    assert!(missing.to_string().contains("none.jsonl: "), "{missing}");
}

#[test]
fn a_file_that_breaks_off_is_an_error_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.jsonl.gz", "a.jsonl.zst"] {
        let lines: String = (0..30_000u32).map(|n| format!("{}\n", n.wrapping_mul(7919))).collect();
        let mut content = compressed(name, lines.as_bytes());
        content.truncate(content.len() / 2);
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut reader =
            Input::open(vec![path], None).unwrap().reader(Position::default()).unwrap();
        let error = loop {
            match reader.next() {
                Ok(payload) => assert!(payload.is_some(), "{name}: its end is not its end"),
                Err(error) => break error.to_string(),
            }
        };
        let record = reader.position().record + 1;
        assert!(record > 100 && error.contains(&format!("{name}: record {record}: ")), "{error}");
        assert!(reader.place().ends_with(&format!("{name}: record {}", record - 1)));
        assert_eq!(reader.next().unwrap_err().to_string(), error, "nothing is left out");
    }
}

#[test]
fn a_reader_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Reader>();
}
