use serde_json::{Value as Json, json};

use super::super::super::cell::Cell;
use super::*;

fn time(source: &str, text: &str) -> Json {
    let mapping =
        Mapping::parse(&format!("{BASE}occurred_at = {{ column = \"at\", {source} }}")).unwrap();
    mapped(&mapping, &[("id", ""), ("at", text)])["occurred_at"].clone()
}

#[test]
fn times_are_read_by_their_format() {
    for (source, text, expect) in [
        (r#"format = "rfc3339""#, "2026-01-01T00:00:00+07:00", json!("2026-01-01T00:00:00+07:00")),
        (r#"format = "rfc3339""#, "2026-01-01 00:00:00", json!("2026-01-01 00:00:00")),
        (r#"format = "rfc3339""#, "1700000000123", json!(1_700_000_000_123_i64)),
        (r#"zone = "Asia/Jakarta""#, "2026-01-01 07:00:00.5", json!("2026-01-01T00:00:00.500Z")),
        (r#"zone = "Asia/Jakarta""#, "2026-01-01T07:00:00Z", json!("2026-01-01T07:00:00Z")),
        (
            r#"zone = "Asia/Jakarta""#,
            "2026-01-01T07:00:00+01:00",
            json!("2026-01-01T07:00:00+01:00"),
        ),
        (r#"format = "epoch_s""#, "1700000000", json!("2023-11-14T22:13:20.000Z")),
        (r#"format = "epoch_s""#, "1700000000.1239", json!("2023-11-14T22:13:20.123Z")),
        (r#"format = "epoch_s""#, "-0.5", json!("1969-12-31T23:59:59.500Z")),
        (r#"format = "epoch_s""#, "99999999999999", json!(99_999_999_999_999_000_i64)),
        (r#"format = "epoch_s""#, "9999999999999999999", json!("9999999999999999999")),
        (r#"format = "epoch_s""#, "soon", json!("soon")),
        (r#"format = "epoch_ms""#, "1700000000123.9", json!("2023-11-14T22:13:20.123Z")),
        (r#"format = "epoch_ms""#, "1e3", json!("1e3")),
        (r#"format = "%d.%m.%Y""#, " 31.12.2025", json!("2025-12-31T00:00:00.000Z")),
        (r#"format = "%Y-%m-%d %H:%M:%S""#, "2025-12-31", json!("2025-12-31")),
        (r#"format = "%Y-%m-%d %H:%M:%S""#, "2025-02-30 00:00:00", json!("2025-02-30 00:00:00")),
        (
            r#"format = "%Y-%m-%d %H:%M:%S%.f", zone = "Asia/Jakarta""#,
            "2026-01-01 07:00:00.9999",
            json!("2026-01-01T00:00:00.999Z"),
        ),
        (
            r#"format = "%b %d, %Y %I:%M %p %z", zone = "Asia/Jakarta""#,
            "Jan 01, 2026 01:00 AM +0100",
            json!("2026-01-01T00:00:00.000Z"),
        ),
        // Into and out of summer time.
        (
            r#"format = "%F %T", zone = "Europe/Berlin""#,
            "2026-03-29 02:30:00",
            json!("2026-03-29T01:30:00.000Z"),
        ),
        (
            r#"format = "%F %T", zone = "Europe/Berlin""#,
            "2026-10-25 02:30:00",
            json!("2026-10-25T00:30:00.000Z"),
        ),
    ] {
        assert_eq!(time(source, text), expect, "{source} {text}");
    }
}

#[test]
fn times_that_are_no_text_are_read_too() {
    let with = |source: &str, cell: Cell| {
        let text = format!("{BASE}occurred_at = {{ column = \"at\"{source} }}");
        let mapping = Mapping::parse(&text).unwrap();
        mapped_cells(&mapping, &[("id", None), ("at", Some(cell))])["occurred_at"].clone()
    };
    let seven = 7 * 3_600_000;
    assert_eq!(with("", Cell::Time(1)), "1970-01-01T00:00:00.001Z");
    assert_eq!(with("", Cell::Local(1)), "1970-01-01T00:00:00.001Z");
    let jakarta = ", zone = \"Asia/Jakarta\"";
    assert_eq!(with(jakarta, Cell::Time(1)), "1970-01-01T00:00:00.001Z");
    assert_eq!(with(jakarta, Cell::Local(seven)), "1970-01-01T00:00:00.000Z");
    assert_eq!(with("", Cell::Json("17".into())), 17);
    assert_eq!(with("", Cell::Json("17.0".into())), 17);
    assert_eq!(with("", Cell::Json("1.5".into())), 1.5);
    let seconds = ", format = \"epoch_s\"";
    assert_eq!(with(seconds, Cell::Json("1.5".into())), "1970-01-01T00:00:01.500Z");
    assert_eq!(with(seconds, Cell::Json("[1]".into())), json!([1]));
    let day = ", format = \"%Y%m%d\"";
    assert_eq!(with(day, Cell::Json("20260101".into())), "2026-01-01T00:00:00.000Z");
    assert_eq!(with(day, Cell::Json("20261301".into())), "20261301", "not epoch milliseconds");
}
