mod times;

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::super::cell::Cell;
use super::*;

const BASE: &str = r#"
event_name = { const = "broadcast.replied" }
schema_version = { const = 1 }
source_module = { const = "broadcast" }
idempotency_key = { column = "id" }
account_id = { const = "acc-17" }
"#;
const OCCURRED: &str = "occurred_at = { column = \"created\" }\n";

fn mapping(more: &str) -> Mapping {
    Mapping::parse(&format!("{BASE}{OCCURRED}{more}")).unwrap()
}

/// The envelope of texts, as of a table, without what `BASE` says.
fn mapped(mapping: &Mapping, cells: &[(&str, &str)]) -> Json {
    let texts = |text: &str| (!text.is_empty()).then(|| Cell::Text(Cow::Owned(text.to_owned())));
    let cells: Vec<_> = cells.iter().map(|(name, text)| (*name, texts(text))).collect();
    mapped_cells(mapping, &cells)
}

fn mapped_cells(mapping: &Mapping, cells: &[(&str, Option<Cell>)]) -> Json {
    let columns: Vec<String> = cells.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut row = Row::new(mapping);
    for ((name, cell), usage) in cells.iter().zip(mapping.uses(&columns)) {
        row.put(usage, *name, cell.clone());
    }
    let envelope = mapping.envelope(&row);
    let mut envelope: Json = serde_json::from_slice(&envelope).expect("an envelope is JSON");
    let fields = envelope.as_object_mut().unwrap();
    let base = ["event_name", "schema_version", "source_module", "account_id"];
    fields.retain(|name, _| !base.contains(&name.as_str()));
    envelope
}

#[test]
fn every_field_has_its_source() {
    let mapping = Mapping::parse(
        r#"
        event_name = { column = "kind", prefix = "broadcast." }
        schema_version = { column = "version" }
        source_module = { const = "broad\"cast" }
        idempotency_key = { column = "id", prefix = "crm-", suffix = "-1" }
        account_id = { column = "account" }
        team_id = { column = "team" }
        qontak_customer_id = { column = "customer" }
        occurred_at = { const = "2026-01-01T00:00:00Z" }
        [[identifiers]]
        type = "phone"
        value = { column = "phone", prefix = "+" }
        [[identifiers]]
        type = "email"
        value = { column = "mail" }
        [properties]
        note = { column = "note", suffix = "!" }
        source = { const = { a = [1, 2.5, true], b = 2026-01-01 } }
        "#,
    )
    .unwrap();
    let columns = ["kind", "version", "id", "account", "team", "customer", "phone", "mail", "note"];
    let texts = ["replied", "2", "7", "acc", "t", "c", "62", "a@b", "é"];
    let columns = columns.map(str::to_owned);
    assert_eq!(mapping.missing(&columns), None);
    let mut row = Row::new(&mapping);
    for ((text, name), usage) in texts.iter().zip(&columns).zip(mapping.uses(&columns)) {
        row.put(usage, name, Some(Cell::Text(Cow::Borrowed(text))));
    }
    let expect = concat!(
        r#"{"event_name":"broadcast.replied","schema_version":2,"source_module":"broad\"cast","#,
        r#""idempotency_key":"crm-7-1","account_id":"acc","team_id":"t","#,
        r#""qontak_customer_id":"c","occurred_at":"2026-01-01T00:00:00Z","#,
        r#""identifiers":[{"type":"phone","value":"+62"},{"type":"email","value":"a@b"}],"#,
        r#""properties":{"note":"é!","source":{"a":[1,2.5,true],"b":"2026-01-01"}}}"#,
    );
    assert_eq!(String::from_utf8(mapping.envelope(&row)).unwrap(), expect);
    let nothing = mapping.envelope(&Row::new(&mapping));
    let left: Json = serde_json::from_slice(&nothing).unwrap();
    assert_eq!(left.as_object().unwrap().len(), 3, "constants alone: {left}");
}

#[test]
fn properties_have_types() {
    let mapping = mapping(
        r#"
        [properties]
        text = { column = "a" }
        number = { column = "a", type = "number" }
        bool = { column = "a", type = "bool" }
        json = { column = "a", type = "json" }
        "#,
    );
    let properties = |text| {
        let envelope = mapped(&mapping, &[("id", ""), ("created", ""), ("a", text)]);
        envelope.get("properties").cloned()
    };
    let of = |text: Json, number: Json, bool: Json, json: Json| {
        Some(json!({"text": text, "number": number, "bool": bool, "json": json}))
    };
    assert_eq!(properties("1"), of("1".into(), 1.into(), true.into(), 1.into()));
    assert_eq!(properties("[]"), of("[]".into(), "[]".into(), "[]".into(), json!([])));
    assert_eq!(properties("x"), of("x".into(), "x".into(), "x".into(), "x".into()));
    assert_eq!(properties(""), None);
}

#[test]
fn other_columns_are_left_out_or_properties() {
    let cells = [("id", "1"), ("created", ""), ("a", "2"), ("b", "3"), ("c", ""), ("a", "4")];
    let some = "[properties]\nb = { column = \"a\" }";
    let left_out = mapped(&mapping(some), &cells);
    assert_eq!(left_out, json!({"idempotency_key": "1", "properties": {"b": "2"}}));
    let all = Mapping::parse(&format!(
        "other_columns = \"properties\"\n{BASE}{OCCURRED}[properties]\nx = {{ column = \"a\" }}"
    ))
    .unwrap();
    let taken_in = mapped(&all, &cells);
    assert_eq!(taken_in["properties"], json!({"x": "2", "b": "3"}));
    let all = Mapping::parse(&format!(
        "other_columns = \"properties\"\n{BASE}{OCCURRED}[properties]\na = {{ const = 0 }}"
    ))
    .unwrap();
    assert_eq!(mapped(&all, &cells)["properties"], json!({"a": 0, "b": "3"}), "the named one wins");
}

#[test]
fn json_is_taken_as_it_is() {
    let mapping = Mapping::parse(&format!(
        "other_columns = \"properties\"\n{BASE}{OCCURRED}[properties]\nt = {{ column = \"a\", type = \"text\" }}"
    ))
    .unwrap();
    let line = r#"{"id": 18446744073709551615, "a": 1.50, "b": 12345678901234567890.25, "\u0063": "\ud800",
        "d": null, "e": {"f": [1]}, "created": 5, "e": "\u00e9"}"#;
    let row = json_row(line.as_bytes(), &mapping).unwrap();
    let envelope = String::from_utf8(mapping.envelope(&row)).unwrap();
    assert!(envelope.contains(r#""idempotency_key":"18446744073709551615""#), "{envelope}");
    assert!(envelope.contains(r#""occurred_at":5,"#), "{envelope}");
    let properties =
        r#"{"t":"1.50","b":12345678901234567890.25,"c":"\ud800","e":{"f": [1]},"e":"é"}"#;
    assert!(envelope.contains(properties), "{envelope}");
    for no_object in ["[1]", "", "{", "{} x", "\"a\""] {
        assert!(json_row(no_object.as_bytes(), &mapping).is_none(), "{no_object}");
    }
}

#[test]
fn mappings_that_say_nothing_clear_are_refused() {
    let whole = format!("{BASE}{OCCURRED}");
    let replaced = |from: &str, to: &str| whole.replace(from, to);
    let occurred = |source: &str| replaced("column = \"created\"", source);
    for (text, expect) in [
        (String::new(), "missing field `event_name`"),
        ("event_name = 1".to_owned(), "line 1"),
        (replaced("const = 1", "const = \"1\""), "line 3"),
        (replaced("const = 1", "const = -1"), "line 3"),
        (replaced("const = 1", ""), "schema_version: give either `const` or `column`"),
        (
            replaced("column = \"id\"", "column = \"id\", const = \"a\""),
            "idempotency_key: give either",
        ),
        (replaced("column = \"id\"", "col = \"id\""), "line 5: unknown field `col`"),
        (replaced("const = \"acc-17\"", "const = \"a\", prefix = \"b\""), "`prefix` does not go"),
        (format!("{whole}customer_id = {{ column = \"a\" }}"), "unknown field `customer_id`"),
        (format!("{whole}other_columns = \"all\""), "expected `properties`"),
        (
            format!("{whole}[properties]\nother_columns = \"properties\""),
            "before the first [table]",
        ),
        (format!("{whole}[properties]\na = {{ column = \"a\", type = \"int\" }}"), "`int`"),
        (
            format!(
                "{whole}[properties]\na = {{ column = \"a\", type = \"bool\", suffix = \"b\" }}"
            ),
            "properties.a: `type` does not go with `prefix` or `suffix`",
        ),
        (format!("{whole}[properties]\na = {{ const = nan }}"), "properties.a: `const` holds"),
        (format!("{whole}[[identifiers]]\ntype = \"phone\""), "missing field `value`"),
        (
            format!("{whole}[[identifiers]]\ntype = \"phone\"\nvalue = {{}}"),
            "identifiers: give either",
        ),
        (occurred("const = \"2026-01-01\""), "`2026-01-01` is no RFC 3339"),
        (occurred("const = \"2026-01-01T00:00:00Z\", zone = \"UTC\""), "`zone` does not go"),
        (occurred("column = \"a\", zone = \"Asia/Bandung\""), "no time zone `Asia/Bandung`"),
        (occurred("column = \"a\", format = \"epoch_s\", zone = \"UTC\""), "an epoch format"),
        (occurred("column = \"a\", format = \"epoch_us\""), "format `epoch_us` cannot be read"),
        (occurred("column = \"a\", format = \"%Y-%m\""), "format `%Y-%m` cannot be read"),
        (occurred("column = \"a\", format = \"%F %!\""), "cannot be read"),
        (occurred("column = \"a\", format = \"%F %T %Z\""), "cannot be read"),
    ] {
        let error = Mapping::parse(&text).expect_err(&text).to_string();
        assert!(error.starts_with("mapping: ") && error.contains(expect), "{error}\n{text}");
    }
}

#[test]
fn columns_called_like_fields_are_those() {
    let columns = ["schema_version", "note", "properties.b", "occurred_at", "qontak_customer_id"];
    let columns = columns.map(str::to_owned);
    let mapping = Mapping::of_columns(&columns);
    assert_eq!(mapping.missing(&columns), None);
    let cells = [
        ("schema_version", "2"),
        ("note", "left out"),
        ("properties.b", "3"),
        ("occurred_at", "5"),
        ("qontak_customer_id", "7"),
    ];
    let mut row = Row::new(&mapping);
    for ((name, text), usage) in cells.iter().zip(mapping.uses(&columns)) {
        row.put(usage, *name, Some(Cell::Text(Cow::Borrowed(text))));
    }
    let expect =
        r#"{"qontak_customer_id":"7","schema_version":2,"occurred_at":5,"properties":{"b":"3"}}"#;
    assert_eq!(String::from_utf8(mapping.envelope(&row)).unwrap(), expect);
    assert!(Mapping::of_columns(&["id".to_owned()]).is_empty());
}

#[test]
fn properties_of_two_kinds_of_columns_are_one_object() {
    let columns = ["event_name", "identifiers", "properties", "properties.b"].map(str::to_owned);
    let mapping = Mapping::of_columns(&columns);
    let envelope = |properties: Option<Cell<'static>>, b: Option<Cell<'static>>| {
        let mut row = Row::new(&mapping);
        let identifiers = Some(Cell::Text("[ ]".into()));
        let cells = [None, identifiers, properties, b];
        for (cell, usage) in cells.into_iter().zip(mapping.uses(&columns)) {
            row.put(usage, "", cell);
        }
        String::from_utf8(mapping.envelope(&row)).unwrap()
    };
    let text = |text: &'static str| Some(Cell::Text(text.into()));
    let nested = |json: &'static str| Some(Cell::Json(json.into()));
    for (properties, b, expect) in [
        (text(r#" {"a": 1} "#), text("2"), r#","properties":{"a": 1,"b":"2"}"#),
        (nested(r#"{"a":1}"#), nested("2"), r#","properties":{"a":1,"b":2}"#),
        (text("{ }"), text("2"), r#","properties":{"b":"2"}"#),
        (text("{ }"), None, r#","properties":{}"#),
        (None, text("2"), r#","properties":{"b":"2"}"#),
        (text("{\"a\":"), text("2"), r#","properties":"{\"a\":""#),
        (text("[1]"), None, r#","properties":[1]"#),
        (None, None, ""),
    ] {
        let expect = format!(r#"{{"identifiers":[ ]{expect}}}"#);
        assert_eq!(envelope(properties, b), expect);
    }
}

#[test]
fn a_missing_column_is_named_with_the_nearest() {
    let columns = ["ID", "created_at", "phone", "amount"].map(str::to_owned);
    let (column, near) = mapping("").missing(&columns).unwrap();
    assert_eq!((column.as_str(), near[0].as_str(), near.len()), ("id", "ID", 3));
    assert_eq!(mapping("").missing(&[]).unwrap().1, Vec::<String>::new());
}
