mod target;

use std::path::PathBuf;

use parquet::basic::Compression;
use parquet::data_type::Int96;
use serde_json::{Value as Json, json};

use super::super::{Input, InputError, Mapping, Position};
use target::{Column, Target, Written, required, texts};

fn open(path: PathBuf, mapping: Option<&str>) -> Result<Input, InputError> {
    Input::open(vec![path], mapping.map(|text| Mapping::parse(text).unwrap()))
}

fn payloads(input: &Input, from: Position) -> Vec<String> {
    let mut reader = input.reader(from).unwrap();
    let payloads = std::iter::from_fn(|| reader.next().unwrap());
    payloads.map(|payload| String::from_utf8(payload).unwrap()).collect()
}

fn all(path: PathBuf, mapping: Option<&str>) -> Vec<String> {
    payloads(&open(path, mapping).unwrap(), Position::default())
}

/// The property `x` of each row of a column.
fn of_column(kind: &str, column: Column) -> Vec<Json> {
    let target = Target::new(&format!("required binary event_name; required {kind};"));
    let count = match &column {
        Column::Bools(v) => v.len(),
        Column::Ints(v) => v.len(),
        Column::Longs(v) => v.len(),
        Column::Int96s(v) => v.len(),
        Column::Floats(v) => v.len(),
        Column::Doubles(v) => v.len(),
        Column::Bytes(v) | Column::Fixed(v) => v.len(),
    };
    let names = texts(&vec!["a"; count]);
    let path = target.write(vec![vec![required(names), required(column)]]);
    let rows = all(path, None);
    let parsed = rows.iter().map(|row| serde_json::from_str::<Json>(row).unwrap());
    parsed.map(|row| row["properties"]["x"].clone()).collect()
}

#[test]
fn values_keep_what_they_are() {
    let found = of_column("boolean properties.x", Column::Bools(vec![true, false]));
    assert_eq!(found, [json!(true), json!(false)]);
    let found = of_column("int32 properties.x", Column::Ints(vec![i32::MIN, 7]));
    assert_eq!(found, [json!(i32::MIN), json!(7)]);
    let found = of_column("int32 properties.x (INTEGER(8,false))", Column::Ints(vec![200]));
    assert_eq!(found, [json!(200)]);
    let found = of_column("int64 properties.x", Column::Longs(vec![i64::MAX, i64::MIN]));
    assert_eq!(found, [json!(i64::MAX), json!(i64::MIN)]);
    let found = of_column("int64 properties.x (INTEGER(64,false))", Column::Longs(vec![-1]));
    assert_eq!(found, [json!(u64::MAX)]);
    let found = of_column("float properties.x", Column::Floats(vec![0.1, f32::NAN]));
    assert_eq!(found, [json!(0.1), Json::Null]);
    let doubles = vec![1e300, 2.0, f64::NAN, f64::NEG_INFINITY];
    let found = of_column("double properties.x", Column::Doubles(doubles));
    assert_eq!(found, [json!(1e300), json!(2.0), Json::Null, json!("-inf")]);
    let bytes = vec!["é".as_bytes().to_vec(), vec![0xff, 1]];
    let found = of_column("binary properties.x", Column::Bytes(bytes));
    assert_eq!(found, [json!("é"), json!("ff01")]);
    let uuid = Column::Fixed(vec![(0..16).collect()]);
    let found = of_column("fixed_len_byte_array(16) properties.x (UUID)", uuid);
    assert_eq!(found, [json!("00010203-0405-0607-0809-0a0b0c0d0e0f")]);
}

#[test]
fn decimals_keep_their_digits() {
    let found = of_column("int32 properties.x (DECIMAL(9,2))", Column::Ints(vec![1250, -5]));
    assert_eq!(found, [json!(12.5), json!(-0.05)]);
    let found = of_column("int64 properties.x (DECIMAL(18,0))", Column::Longs(vec![12]));
    assert_eq!(found, [json!(12)]);
    let long = vec![123_456_789_012_345_678];
    let found = of_column("int64 properties.x (DECIMAL(18,4))", Column::Longs(long));
    assert_eq!(found, [json!("12345678901234.5678")]);
    let found = of_column("binary properties.x (DECIMAL(20,1))", Column::Bytes(vec![vec![1, 0]]));
    assert_eq!(found, [json!(25.6)]);
}

#[test]
fn times_are_rfc_3339() {
    let expect = [json!("1970-01-01T00:00:01.500Z"), json!("1969-12-31T23:59:59.999Z")];
    for (unit, per_ms) in [("MILLIS", 1), ("MICROS", 1000), ("NANOS", 1_000_000)] {
        for utc in [true, false] {
            let kind = format!("int64 properties.x (TIMESTAMP({unit},{utc}))");
            let found = of_column(&kind, Column::Longs(vec![1500 * per_ms, -per_ms]));
            assert_eq!(found, expect, "{kind}");
        }
    }
    let found = of_column("int32 properties.x (DATE)", Column::Ints(vec![-1]));
    assert_eq!(found, [json!("1969-12-31T00:00:00.000Z")]);
    let found = of_column("int32 properties.x (TIME(MILLIS,true))", Column::Ints(vec![61_001]));
    assert_eq!(found, [json!("00:01:01.001")]);
    let mut at = Int96::new();
    at.set_data(1_000_000, 0, 2_440_588);
    let found = of_column("int96 properties.x", Column::Int96s(vec![at]));
    assert_eq!(found, [json!("1970-01-01T00:00:00.001Z")]);
}

const MAPPING: &str = r#"
event_name = { const = "broadcast.replied" }
schema_version = { column = "version" }
source_module = { const = "broadcast" }
idempotency_key = { column = "id", prefix = "crm-" }
account_id = { const = "acc-17" }
qontak_customer_id = { column = "customer" }
occurred_at = { column = "at", zone = "Asia/Jakarta" }
"#;
const COLUMNS: &str = "required int64 id; required double version; optional double customer; \
                       required int64 at (TIMESTAMP(MICROS,false)); optional binary note (UTF8);";

fn rows(ids: std::ops::Range<i64>) -> Vec<Written> {
    let count = ids.clone().count();
    let customers =
        Column::Doubles(ids.clone().filter(|id| id % 2 == 0).map(|id| id as f64).collect());
    let present = ids.clone().map(|id| i16::from(id % 2 == 0)).collect();
    let notes = Column::Bytes(ids.clone().skip(1).map(|id| id.to_string().into_bytes()).collect());
    let noted = (0..count).map(|at| i16::from(at > 0)).collect();
    vec![
        required(Column::Longs(ids.collect())),
        required(Column::Doubles(vec![1.0; count])),
        Written(customers, Some(present), None),
        required(Column::Longs(vec![7 * 3_600_000_000; count])),
        Written(notes, Some(noted), None),
    ]
}

#[test]
fn rows_are_mapped_and_nulls_left_out() {
    let target = Target::new(COLUMNS);
    let path = target.write(vec![rows(2..4)]);
    let others = format!("other_columns = \"properties\"\n{MAPPING}");
    let found = all(path, Some(&others));
    let first = r#"{"event_name":"broadcast.replied","schema_version":1,"source_module":"broadcast","idempotency_key":"crm-2","account_id":"acc-17","qontak_customer_id":"2","occurred_at":"1970-01-01T00:00:00.000Z"}"#;
    let second = r#"{"event_name":"broadcast.replied","schema_version":1,"source_module":"broadcast","idempotency_key":"crm-3","account_id":"acc-17","occurred_at":"1970-01-01T00:00:00.000Z","properties":{"note":"3"}}"#;
    assert_eq!(found, [first, second]);
}

#[test]
fn reading_goes_on_at_every_row_whatever_the_compression() {
    let mut target = Target::new(COLUMNS);
    let gzip = Compression::GZIP(Default::default());
    let zstd = Compression::ZSTD(Default::default());
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip, zstd, Compression::LZ4_RAW]
    {
        target.compression = compression;
        let path = target.write(vec![rows(0..5), rows(5..6), rows(6..13)]);
        let input = open(path, Some(MAPPING)).unwrap();
        let all = payloads(&input, Position::default());
        assert_eq!(all.len(), 13);
        let mut reader = input.reader(Position::default()).unwrap();
        let mut shares = Vec::new();
        for given in 0..=13 {
            assert_eq!(payloads(&input, reader.position()), all[given..], "{compression} {given}");
            shares.push(reader.bytes_read());
            reader.next().unwrap();
        }
        let share = |rows: u64| input.bytes() * rows / 13;
        assert_eq!(shares, (0..=13).map(share).collect::<Vec<_>>());
        let beyond = input.reader(Position { file: 0, record: 14 });
        assert!(matches!(beyond.err(), Some(InputError::TooShort { has: 13, .. })));
    }
}

#[test]
fn nested_values_are_json() {
    let target = Target::new(
        "required binary event_name (UTF8); \
         optional group identifiers (LIST) { repeated group list { required group element { \
         required binary type (UTF8); required binary value (UTF8); } } } \
         optional group properties { optional int64 a; optional group b (MAP) { \
         repeated group key_value { required binary key (UTF8); optional int32 value; } } } \
         required group properties.c { required double d; }",
    );
    let path = target.write(vec![vec![
        required(texts(&["a", "b"])),
        Written(texts(&["phone", "email"]), Some(vec![2, 2, 0]), Some(vec![0, 1, 0])),
        Written(texts(&["62", "a@b"]), Some(vec![2, 2, 0]), Some(vec![0, 1, 0])),
        Written(Column::Longs(vec![i64::MAX]), Some(vec![2, 0]), None),
        Written(texts(&["k"]), Some(vec![3, 0]), Some(vec![0, 0])),
        Written(Column::Ints(vec![]), Some(vec![3, 0]), Some(vec![0, 0])),
        required(Column::Doubles(vec![0.5, 1.0])),
    ]]);
    let first = r#"{"event_name":"a","identifiers":[{"type":"phone","value":"62"},{"type":"email","value":"a@b"}],"properties":{"a":9223372036854775807,"b":{"k":null},"c":{"d":0.5}}}"#;
    let second = r#"{"event_name":"b","properties":{"c":{"d":1.0}}}"#;
    assert_eq!(all(path, None), [first, second]);
}

#[test]
fn columns_that_are_not_used_are_not_read() {
    let target = Target::new(
        "required binary event_name; required fixed_len_byte_array(12) for (INTERVAL);",
    );
    let path = target
        .write(vec![vec![required(texts(&["a"])), required(Column::Fixed(vec![vec![0; 12]]))]]);
    assert_eq!(all(path.clone(), None), [r#"{"event_name":"a"}"#]);
    let mapping = MAPPING.replace("zone = \"Asia/Jakarta\"", "format = \"epoch_ms\"");
    let mapping = ["\"version\"", "\"id\"", "\"customer\"", "\"at\""]
        .iter()
        .fold(mapping, |text, column| text.replace(column, "\"event_name\""));
    let others = format!("other_columns = \"properties\"\n{mapping}");
    let error = open(path, Some(&others)).unwrap_err().to_string();
    assert!(error.contains("a.parquet: column `for` has a type"), "{error}");
}

#[test]
fn a_mapping_of_constants_alone_reads_no_column() {
    let target = Target::new(COLUMNS);
    let path = target.write(vec![rows(0..3)]);
    let mapping = r#"
        event_name = { const = "a" }
        schema_version = { const = 1 }
        source_module = { const = "b" }
        idempotency_key = { const = "c" }
        account_id = { const = "d" }
        occurred_at = { const = "2026-01-01T00:00:00Z" }
    "#;
    assert_eq!(all(path, Some(mapping)).len(), 3);
}

#[test]
fn a_column_that_is_not_there_is_named() {
    let target = Target::new(COLUMNS);
    let path = target.write(vec![rows(0..1)]);
    let mapping = MAPPING.replace("\"customer\"", "\"customers\"");
    let error = open(path, Some(&mapping)).unwrap_err().to_string();
    assert!(error.contains("no column `customers`") && error.contains("`customer`"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_or_other_data() {
    let target = Target::new(COLUMNS);
    let path = target.write(vec![rows(0..50)]);
    let whole = std::fs::read(&path).unwrap();
    let mut given_up = 0;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= if at % 2 == 0 { 1 } else { 8 };
        std::fs::write(&path, &damaged).unwrap();
        let Ok(input) = open(path.clone(), Some(MAPPING)) else { continue };
        let mut reader = input.reader(Position::default()).unwrap();
        let fault = (0..100).find_map(|_| reader.next().err());
        given_up += i32::from(fault.is_some_and(|error| error.to_string().contains("gave up")));
    }
    assert!(given_up > 0, "the parquet crate no longer panics: catch no more");
}
