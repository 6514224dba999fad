use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::control::ControlState;
use crate::id::EventType;

fn test(check: Check) -> Test {
    Test { checks: vec![check] }
}

#[test]
fn values_compare_within_one_type() {
    let eq = |a: Value, b: Value| test(Check::Eq(b)).holds(Some(&a));
    let lt = |a: Value, b: Value| test(Check::Lt(b)).holds(Some(&a));
    assert!(eq(json!(3), json!(3.0)) && eq(json!(3.0), json!(3)) && eq(json!(-0.0), json!(0)));
    assert!(!eq(json!(true), json!(1)) && !eq(json!("3"), json!(3)) && !eq(json!([3]), json!(3)));
    let big = 9_007_199_254_740_993_u64;
    assert!(!eq(json!(big), json!(9_007_199_254_740_992.0)));
    assert!(lt(json!(9_007_199_254_740_992.0), json!(big)) && !lt(json!(big), json!(big)));
    assert!(lt(json!(u64::MAX), json!(1e300)) && lt(json!(-1e300), json!(i64::MIN)));
    assert!(lt(json!(i64::MIN), json!(u64::MAX)) && lt(json!(2), json!(2.5)));
    assert!(lt(json!(-2.5), json!(-2)) && lt(json!("Z"), json!("a")) && lt(json!("a"), json!("é")));
    assert!(!lt(json!("2"), json!(3)) && !lt(json!(2), json!("3")));
}

#[test]
fn what_is_absent_passes_only_ne_and_exists_false() {
    for value in [None, Some(&Value::Null)] {
        for check in [
            Check::Eq(json!(1)),
            Check::In(vec![json!(1)]),
            Check::Gt(json!(1)),
            Check::Gte(json!(1)),
            Check::Lt(json!(1)),
            Check::Lte(json!(1)),
            Check::Contains(json!("")),
            Check::Prefix("".into()),
            Check::Exists(true),
        ] {
            assert!(!test(check.clone()).holds(value), "{check:?}");
        }
        assert!(test(Check::Ne(json!(1))).holds(value));
        assert!(test(Check::Exists(false)).holds(value));
    }
    assert!(test(Check::Ne(json!(1))).holds(Some(&json!("1"))));
}

#[test]
fn parts_of_texts_and_elements_of_arrays() {
    let contains = |value: Value, part: Value| test(Check::Contains(part)).holds(Some(&value));
    assert!(contains(json!("Jakarta"), json!("kar")) && !contains(json!("Jakarta"), json!("KAR")));
    assert!(contains(json!(["a", 3.0]), json!(3)) && !contains(json!(["abc"]), json!("b")));
    assert!(!contains(json!(33), json!(3)) && !contains(json!("33"), json!(3)));
    let both = Test { checks: vec![Check::Prefix("a".into()), Check::Ne(json!("ab"))] };
    assert!(both.holds(Some(&json!("abc"))) && !both.holds(Some(&json!("ab"))));
}

/// What definitions of account `a` say.
fn definitions(when: Value, metric: Value) -> Definitions {
    let mut state = ControlState::new();
    let mut metric = metric;
    metric["metric"] = json!("m");
    metric["account_id"] = json!("a");
    let segment = json!({"segment_id": "s", "account_id": "a", "when": when});
    let record = json!({"segments": [segment], "metrics": [metric]});
    state.apply(record.to_string().as_bytes()).unwrap();
    Definitions::clone(&state.definitions())
}

fn metric() -> Value {
    json!({"denominator": "broadcast.sent", "numerator": "broadcast.read", "within": "1d"})
}

fn resolved(definitions: &Definitions) -> Definitions {
    let group_of = |name: &str| name.starts_with("broadcast.").then(|| "broadcast_id".to_owned());
    definitions.resolved(group_of, |account, name, text| format!("~{account}/{name}/{text}"))
}

/// The facts that an event of `a` leaves, and whether they name a group.
fn facts(
    definitions: &Definitions,
    name: &str,
    properties: Value,
) -> BTreeSet<(u64, Option<String>)> {
    let mut facts = BTreeSet::new();
    let properties = properties.as_object().unwrap();
    let emit = |event: EventType, group: Option<std::borrow::Cow<str>>| {
        assert!(facts.insert((event.0, group.map(|group| group.into_owned()))));
    };
    Selectors::new(definitions).derived("a", EventType::named(name), properties, emit);
    facts
}

#[test]
fn an_event_leaves_a_fact_for_each_selection_it_passes() {
    let big = json!({"did": "ad.converted", "where": [{"property": "value", "gte": 100}]});
    let when = json!({"all": [big, {"not": big}, {"did": "ad.converted"}]});
    let given = definitions(when, metric());
    let passed = facts(&given, "ad.converted", json!({"value": 100.0}));
    assert_eq!(passed.len(), 1);
    let Clause::All(all) = &given.segments[0].when else { panic!() };
    let Clause::Did(did) = &all[0] else { panic!() };
    assert_eq!(passed, [(did.event.event().0, None)].into());
    assert_ne!(did.event.event(), EventType::named("ad.converted"));
    assert!(facts(&given, "ad.converted", json!({"value": "100"})).is_empty());
    assert!(facts(&given, "ad.lead", json!({"value": 100})).is_empty());
    let selectors = Selectors::new(&given);
    let none = |_, _: Option<std::borrow::Cow<str>>| panic!("another account's definition");
    selectors.derived(
        "b",
        EventType::named("ad.converted"),
        json!({"value": 100}).as_object().unwrap(),
        none,
    );
    assert_eq!(selectors.iter().count(), 1);
}

#[test]
fn groups_are_equal_where_values_are() {
    let when = json!({"did": "x", "then": "y", "same": "p"});
    let given = definitions(
        when,
        json!({"denominator": "x", "numerator": "z", "group_by": "p", "within": "1d"}),
    );
    let of = |value: Value| facts(&given, "x", json!({"p": value}));
    assert_eq!(of(json!(3)), of(json!(3.0)));
    // As keys of a rate they read the same; as values they are not.
    let groups =
        |value: Value| of(value).into_iter().map(|(_, group)| group).collect::<BTreeSet<_>>();
    assert_eq!(groups(json!(3)).intersection(&groups(json!("3"))).count(), 1);
    assert_eq!(of(json!(null)).len(), 1);
    assert_eq!(of(json!(null)), facts(&given, "x", json!({})));
    assert!(facts(&given, "x", json!({})).iter().all(|(_, group)| group.is_none()));
    assert!(facts(&given, "y", json!({})).is_empty());
}

#[test]
fn what_every_fact_carries_is_not_derived_again() {
    let when =
        json!({"did": "broadcast.sent", "then": "broadcast.replied", "same": "broadcast_id"});
    let mut by = metric();
    by["group_by"] = json!("broadcast_id");
    let found = resolved(&definitions(when.clone(), by.clone()));
    assert_eq!(Selectors::new(&found).iter().count(), 0);
    let mut names = BTreeSet::new();
    found.segments[0].when.selectors(&mut |selector| names.extend([selector.event().0]));
    let expected = ["broadcast.sent", "broadcast.replied"].map(|name| EventType::named(name).0);
    assert_eq!(names, expected.into());
    assert_eq!(resolved(&found).metrics, found.metrics);
    // A filter, or another property, is more than every fact carries.
    by["where"] = json!([{"property": "channel", "eq": "wa"}]);
    assert_eq!(Selectors::new(&resolved(&definitions(when, by))).iter().count(), 1);
    let other = json!({"did": "broadcast.sent", "then": "ad.lead", "same": "broadcast_id"});
    assert_eq!(Selectors::new(&resolved(&definitions(other, metric()))).iter().count(), 1);
}

#[test]
fn texts_are_compared_as_they_are_stored() {
    let when = json!({"all": [
        {"attribute": "phone", "in": ["0812", 7]},
        {"did": "x", "where": [{"property": "note", "prefix": "hi", "exists": true}]},
    ]});
    let found = resolved(&definitions(when, metric()));
    let segment = &found.segments[0];
    let Clause::All(all) = &segment.when else { panic!() };
    let phone = test(Check::In(vec![json!("~a/phone/0812"), json!(7)]));
    assert_eq!(all[0], Clause::Attribute { name: "phone".into(), test: phone });
    assert_eq!(facts(&found, "x", json!({"note": "~a/note/hi there"})).len(), 1);
    assert!(facts(&found, "x", json!({"note": "hi there"})).is_empty());
    let told: Value = serde_json::from_str(&segment.about.definition).unwrap();
    assert_eq!(told["when"]["all"][0], json!({"attribute": "phone", "in": ["~a/phone/0812", 7]}));
    assert_eq!(told["when"]["all"][1]["where"][0]["prefix"], json!("~a/note/hi"));
    assert_eq!(told["segment_id"], json!("s"));
}

#[test]
fn shipped_metrics_need_no_facts_of_their_own() {
    let definitions = Definitions { metrics: Metric::shipped(), ..Definitions::default() };
    assert_eq!(Selectors::new(&definitions).iter().count(), 0);
    assert_eq!(resolved(&definitions), definitions);
    assert!(Arc::ptr_eq(&resolved(&definitions).metrics[0], &definitions.metrics[0]));
}
