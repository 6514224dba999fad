use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::{Node, parse};

fn compile(path: &str, schema: &Value) -> Result<Catalogue, CatalogueError> {
    Catalogue::compile([(path, schema.to_string())])
}

fn schema(schema: &Value) -> EventSchema {
    EventSchema::compile("s/e/1.json", ("s", "e", 1), &schema.to_string()).unwrap()
}

fn violation(schema: &EventSchema, properties: &Value) -> Option<(String, String)> {
    let text = properties.to_string();
    let Node::Object(members) = parse(text.as_bytes()).unwrap() else { panic!("{text}") };
    schema.violation(&members)
}

#[test]
fn the_shipped_catalogue() {
    let catalogue = Catalogue::shipped().unwrap();
    let list: Vec<String> = catalogue.list().map(|(s, e, v)| format!("{s}/{e}/{v}")).collect();
    assert_eq!(list.len() + 1, Catalogue::shipped_files().count(), "all but the envelope");
    assert_eq!(list.first().map(String::as_str), Some("ads/ad.clicked/1"));
    // Whatever is shipped is judged by the fast checks alone.
    assert!(
        catalogue
            .sources
            .values()
            .flat_map(|e| e.values())
            .flat_map(|v| v.values())
            .all(|s| s.complete)
    );
    assert!(["phone", "email", "name"].iter().all(|name| catalogue.is_pii_name(name)));
    assert!(!catalogue.is_pii_name("broadcast_id"));
    assert!(catalogue.text("cdp", "customer.created", None).unwrap().contains("x-cebe-pii"));
    assert_eq!(catalogue.text("cdp", "customer.created", Some(2)), None);
}

#[test]
fn a_new_event_type_is_one_more_file() {
    let more = [("order.paid/1.json", "{}"), ("shop/order.paid/2.json", r#"{"title":"x"}"#)];
    assert!(Catalogue::compile(more).is_err(), "a source is missing");
    let files = Catalogue::shipped_files().chain([more[1], ("/x/ads/ad.lead/1.json", "{}")]);
    let catalogue = Catalogue::compile(files).unwrap();
    assert_eq!(catalogue.versions("shop", "order.paid").unwrap().keys().collect::<Vec<_>>(), [&2]);
    assert_eq!(catalogue.text("ads", "ad.lead", Some(1)), Some("{}"), "the later file wins");
}

#[test]
fn broken_files_are_named() {
    for path in [
        "",
        "1.json",
        "e/1.json",
        "s/e/1.yaml",
        "s/e/0.json",
        "s/e/01.json",
        "s/e/x.json",
        "s//1.json",
    ] {
        let error = compile(path, &json!({})).unwrap_err();
        assert!(matches!(error, CatalogueError::Path { .. }), "{path}: {error}");
    }
    let error = Catalogue::compile([("s/e/1.json", "{")]).unwrap_err().to_string();
    assert!(error.starts_with("s/e/1.json: not JSON: "), "{error}");
    for wrong in [
        json!({"type": "text"}),
        json!({"required": "a"}),
        json!({"x-cebe-max-bytes": "a"}),
        json!(5),
    ] {
        let error = compile("s/e/1.json", &wrong).unwrap_err();
        assert!(matches!(error, CatalogueError::Schema { .. }), "{wrong}: {error}");
    }
    let hidden =
        json!({"$defs": {"p": {"x-cebe-pii": true}}, "properties": {"p": {"$ref": "#/$defs/p"}}});
    let error = compile("s/e/1.json", &hidden).unwrap_err();
    assert!(matches!(error, CatalogueError::HiddenMark { .. }), "{error}");
    assert!(
        compile("s/e/1.json", &json!({"$ref": "http://127.0.0.1:1/x"})).is_err(),
        "nothing is fetched"
    );
}

#[test]
fn a_missing_field_is_named_itself() {
    let schema = schema(&json!({
        "properties": {"a/b": {"properties": {"c": {"type": "string"}}, "required": ["c", "d~e"]}},
        "required": ["a/b"],
    }));
    for (properties, pointer) in [
        (json!({}), "/a~1b"),
        (json!({"a/b": null}), "/a~1b"),
        (json!({"a/b": {"d~e": 1}}), "/a~1b/c"),
        (json!({"a/b": {"c": "x"}}), "/a~1b/d~0e"),
        // Only at the first level is null no value.
        (json!({"a/b": {"c": null, "d~e": 1}}), "/a~1b/c"),
    ] {
        assert_eq!(violation(&schema, &properties).unwrap().0, pointer, "{properties}");
    }
}

#[test]
fn other_keywords_are_judged_by_the_full_validator() {
    let schema = schema(&json!({"properties": {"a": {"pattern": "^x", "x-cebe-max-bytes": 3}}}));
    assert!(!schema.complete);
    assert_eq!(violation(&schema, &json!({"a": "xy"})), None);
    assert_eq!(violation(&schema, &json!({"a": "y"})).unwrap().0, "/a");
    let (pointer, message) = violation(&schema, &json!({"a": "xyyy"})).unwrap();
    assert_eq!((pointer.as_str(), message.as_str()), ("/a", "value has more than 3 bytes"));
}

/// A schema with the keywords of the fast checks, and now and then another.
fn schemas() -> impl Strategy<Value = Value> {
    let number =
        prop_oneof![(-2i64..4).prop_map(|n| json!(n)), Just(json!(1.5)), Just(json!(u64::MAX))];
    let name = prop::sample::select(vec!["a", "b", "~/"]);
    let types = prop::sample::subsequence(
        vec!["null", "boolean", "integer", "number", "string", "array", "object"],
        1..4,
    );
    let leaf = prop_oneof![
        types.prop_map(|types| json!({"type": types})),
        (
            prop::sample::select(vec![
                "minimum",
                "maximum",
                "exclusiveMinimum",
                "exclusiveMaximum"
            ]),
            number
        )
            .prop_map(|(keyword, limit)| json!({keyword: limit})),
        (
            prop::sample::select(vec![
                "minLength",
                "maxLength",
                "x-cebe-max-bytes",
                "minItems",
                "maxItems"
            ]),
            0..4
        )
            .prop_map(|(keyword, limit)| json!({keyword: limit})),
        Just(json!({"enum": [null, 1, "é", true, 1.5]})),
        Just(json!({"title": "x", "x-cebe-pii": true})),
        prop::collection::btree_set(name.clone(), 1..3)
            .prop_map(|names| json!({"required": names})),
        Just(json!({"pattern": "^a"})),
        Just(json!({"minProperties": 1})),
    ];
    let merged = |parts: Vec<Value>| {
        let keywords = parts.iter().filter_map(Value::as_object).flatten();
        Value::Object(keywords.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    prop::collection::vec(leaf, 0..3).prop_map(merged).prop_recursive(3, 12, 3, move |inner| {
        let below = prop_oneof![
            prop::collection::btree_map(name.clone(), inner.clone(), 0..3)
                .prop_map(|properties| json!({"properties": properties})),
            inner.clone().prop_map(|items| json!({"items": items})),
            inner,
        ];
        prop::collection::vec(below, 1..3).prop_map(merged)
    })
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::Bool),
        (-3i64..5).prop_map(|n| json!(n)),
        prop::sample::select(vec![1.0, 1.5, -2.0, 1e300]).prop_map(|n| json!(n)),
        Just(json!(u64::MAX)),
        "[aé]{0,4}".prop_map(Value::String),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "~/"]), inner, 0..3)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// The fast checks and the full validator find the same records wrong, in the same places.
    #[test]
    fn agrees_with_the_full_validator(
        schema_of in prop::collection::btree_map(prop::sample::select(vec!["a", "b", "~/"]), schemas(), 0..3),
        required in prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c"]), 0..3),
        members in prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c", "~/"]), values(), 0..4),
    ) {
        let schema = schema(&json!({"properties": schema_of, "required": required}));
        let text = json!(members).to_string();
        let Node::Object(members) = parse(text.as_bytes()).unwrap() else { unreachable!() };
        let pointers: Vec<String> = schema.errors(&members).into_iter().map(|(at, _)| at).collect();
        match schema.violation(&members) {
            Some((pointer, message)) => {
                prop_assert!(pointers.contains(&pointer), "{} not in {:?}", pointer, pointers);
                prop_assert_ne!(message, "does not match the schema");
            }
            None => prop_assert!(pointers.is_empty(), "{:?}", pointers),
        }
        if schema.complete {
            prop_assert_eq!(schema.shape.violation(&members).is_some(), !pointers.is_empty());
        }
    }
}
