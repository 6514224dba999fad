//! Values of Parquet as JSON.

use std::borrow::Cow;
use std::fmt::{Debug, Write};

use parquet::data_type::ByteArray;
use parquet::record::Field;

use super::super::cell::Cell;
use super::super::json::{self, Container};
use super::schema::Kind;

const DAY_MS: i64 = 86_400_000;
/// A double holds so many decimal digits, whichever they are.
const DOUBLE_DIGITS: usize = 15;

/// A column's value; none: null, or the NaN that stands for it.
pub(super) fn cell(field: Field, kind: Kind) -> Option<Cell<'static>> {
    Some(match (field, kind) {
        (Field::Null, _) => return None,
        (Field::Float16(number), _) if number.is_nan() => return None,
        (Field::Float(number), _) if number.is_nan() => return None,
        (Field::Double(number), _) if number.is_nan() => return None,
        (Field::Str(text), _) => Cell::Text(Cow::Owned(text)),
        (Field::Bytes(bytes), Kind::Uuid) => Cell::Text(Cow::Owned(uuid(&bytes))),
        (Field::Bytes(bytes), _) => Cell::Text(Cow::Owned(text_of(&bytes))),
        (Field::Date(days), _) => Cell::Local(i64::from(days) * DAY_MS),
        (Field::Long(ns), Kind::Nanos) => Cell::Time(ns.div_euclid(1_000_000)),
        (Field::Long(ns), Kind::LocalNanos) => Cell::Local(ns.div_euclid(1_000_000)),
        (Field::TimestampMillis(ms), Kind::Local) => Cell::Local(ms),
        (Field::TimestampMillis(ms), _) => Cell::Time(ms),
        (Field::TimestampMicros(us), Kind::Local) => Cell::Local(us.div_euclid(1000)),
        (Field::TimestampMicros(us), _) => Cell::Time(us.div_euclid(1000)),
        (field, _) => {
            let mut out = Vec::new();
            write(&field, &mut out);
            // JSON throughout.
            let json = String::from_utf8_lossy(&out).into_owned();
            match json.starts_with('"').then(|| serde_json::from_str(&json)) {
                Some(Ok(text)) => Cell::Text(Cow::Owned(text)),
                _ => Cell::Json(Cow::Owned(json)),
            }
        }
    })
}

/// Appends a value as JSON.
fn write(field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::Null => out.extend_from_slice(b"null"),
        Field::Bool(truth) => put(out, truth),
        Field::Byte(number) => put(out, number),
        Field::Short(number) => put(out, number),
        Field::Int(number) => put(out, number),
        Field::Long(number) => put(out, number),
        Field::UByte(number) => put(out, number),
        Field::UShort(number) => put(out, number),
        Field::UInt(number) => put(out, number),
        Field::ULong(number) => put(out, number),
        Field::Float16(number) => write_float(f32::from(*number), out),
        Field::Float(number) => write_float(*number, out),
        Field::Double(number) => write_float(*number, out),
        Field::Decimal(_) => write_decimal(&field.to_string(), out),
        Field::Str(text) => json::string(out, text),
        Field::Bytes(bytes) => json::string(out, &text_of(bytes)),
        Field::Date(days) => json::time(out, i64::from(*days) * DAY_MS),
        Field::TimeMillis(_) | Field::TimeMicros(_) => json::string(out, &field.to_string()),
        Field::TimestampMillis(ms) => json::time(out, *ms),
        Field::TimestampMicros(us) => json::time(out, us.div_euclid(1000)),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            write_nested(field, out)
        }
    }
}

fn write_nested(field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::ListInternal(list) => {
            let mut array = Container::array(out);
            for item in list.elements() {
                array.item(out);
                write(item, out);
            }
            array.end(out);
        }
        Field::Group(row) => {
            let mut object = Container::object(out);
            for (name, member) in row.get_column_iter() {
                object.key(out, name);
                write(member, out);
            }
            object.end(out);
        }
        Field::MapInternal(map) => {
            let mut object = Container::object(out);
            for (key, member) in map.entries() {
                let name = cell(key.clone(), Kind::Plain);
                let name = name.as_ref().and_then(Cell::text).unwrap_or_default();
                object.key(out, &name);
                write(member, out);
            }
            object.end(out);
        }
        _ => write(field, out),
    }
}

fn put(out: &mut Vec<u8>, value: impl ToString) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// The shortest digits that mean the number; infinity is text, which no field takes for a number.
fn write_float(number: impl Into<f64> + Debug, out: &mut Vec<u8>) {
    let text = format!("{number:?}");
    match number.into() {
        number if number.is_finite() => out.extend_from_slice(text.as_bytes()),
        number if number.is_nan() => out.extend_from_slice(b"null"),
        _ => json::string(out, &text),
    }
}

/// A number where a double holds it, else text.
fn write_decimal(text: &str, out: &mut Vec<u8>) {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.bytes().filter(u8::is_ascii_digit).count() <= DOUBLE_DIGITS {
        out.extend_from_slice(text.as_bytes());
    } else {
        json::string(out, text);
    }
}

/// Many writers do not say which bytes are text. Others are given in hex.
fn text_of(bytes: &ByteArray) -> String {
    let found = std::str::from_utf8(bytes.data());
    found.map_or_else(|_| hex(bytes.data()), str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into memory does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn uuid(bytes: &ByteArray) -> String {
    let hex = hex(bytes.data());
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let groups = groups.into_iter().map(|range| hex.get(range));
    groups.collect::<Option<Vec<_>>>().map_or(hex.clone(), |groups| groups.join("-"))
}
