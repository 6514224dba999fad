//! Facts as files: read as they were written, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::Membership;
use cebe_schemas::fact::{
    AssertionFact, AttributeFact, AttributeValue, EventFact, GroupName, Identifier,
    IdentifierValue, Known, MergeFact, Naming, Stamp, TickInput,
};
use cebe_schemas::id::{EventKey, EventType, Group, Subject, Token};
use cebe_schemas::time::Millis;
use cebe_schemas::view::View;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::content::Content;
use super::facts::Facts;
use super::published::{Published, PublishedOne};
use super::{document, keys};
use crate::key_index::Use;

fn subject() -> impl Strategy<Value = Subject> {
    // In every part, however many there are.
    (0u128..8).prop_map(|n| Subject(n << 125 | n))
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(vec!["", "a", "b", "Jalan \u{1f600}"]).prop_map(Arc::from)
}

fn identifier() -> impl Strategy<Value = Identifier> {
    (0u128..3, 0u64..2).prop_map(|(token, value)| Identifier {
        token: Token(token << 100),
        value: IdentifierValue(value),
    })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (0i64..4, text(), 0u64..50).prop_map(|(occurred_at_ms, key, ordinal)| Stamp {
        occurred_at_ms,
        key,
        ordinal,
    })
}

fn told() -> impl Strategy<Value = TickInput> {
    let known =
        (
            subject(),
            text(),
            text(),
            -3i64..3,
            prop::option::of(subject()),
            prop::option::of(text()),
        )
            .prop_map(|(subject, account_id, customer_id, occurred_at_ms, by, team)| {
                Known { subject, account_id, customer_id, occurred_at_ms, by, team }
            });
    let event = (subject(), 0u64..3, 0u64..3, 0i64..4).prop_map(|(subject, event, group, at)| {
        let (event, group) = (EventType(event), Group(group));
        (subject, EventFact { event, group, occurred_at_ms: at })
    });
    let value =
        prop::option::of(text().prop_map(|text| {
            Arc::new(AttributeValue::new(serde_json::json!([&*text, 1.5, null])))
        }));
    let attribute = (subject(), text(), stamp(), value, prop::option::of(identifier())).prop_map(
        |(subject, name, stamp, value, identifier)| AttributeFact {
            name,
            stamp,
            subject,
            value,
            identifier,
        },
    );
    let naming = (subject(), text(), identifier(), 0i64..3).prop_map(
        |(subject, account_id, Identifier { token, .. }, occurred_at_ms)| Naming {
            account_id,
            subject,
            token,
            occurred_at_ms,
        },
    );
    let merge = (subject(), subject(), any::<bool>(), stamp())
        .prop_map(|(a, b, linked, stamp)| MergeFact { pair: (a.min(b), a.max(b)), linked, stamp });
    let assertion = (subject(), text(), text(), stamp(), any::<bool>()).prop_map(
        |(subject, account_id, segment_id, stamp, entered)| AssertionFact {
            account_id,
            segment_id,
            stamp,
            subject,
            entered,
        },
    );
    let group = (0u64..4)
        .prop_map(|n| GroupName { group: Group(n << 62), group_key: format!("g{n}").into() });
    let common = (
        vec(known, 0..8),
        vec(event, 0..8),
        vec((subject(), identifier()), 0..4),
        vec(attribute, 0..8),
    );
    let seldom = (
        vec((subject(), identifier(), 0i64..4), 0..4),
        vec(naming, 0..4),
        vec(merge, 0..4),
        vec(assertion, 0..4),
        vec((subject(), text(), 0i64..3), 0..4),
        prop_oneof![3 => Just(Vec::new()), 1 => vec((subject(), 0i64..4), 0..3)],
        vec(group, 0..3),
    );
    (common, seldom).prop_map(
        |(
            (known, events, anonymous, attributes),
            (identifiers, namings, merges, assertions, teams, erasures, groups),
        )| {
            TickInput {
                known,
                events,
                anonymous,
                attributes,
                identifiers,
                namings,
                merges,
                assertions,
                teams,
                erasures,
                groups,
                ..TickInput::default()
            }
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let membership = (text(), text(), text(), 0i64..4, any::<bool>(), 0u32..3).prop_map(
        |(account_id, segment_id, customer_id, t_ms, entered, definition_version)| Membership {
            account_id,
            segment_id,
            customer_id,
            t_ms,
            entered,
            definition_version,
        },
    );
    (told(), vec(membership, 0..6)).prop_map(|(told, memberships)| Facts { told, memberships })
}

fn shown(facts: &Facts) -> String {
    format!("{facts:?}")
}

fn settled(mut facts: Facts) -> Facts {
    facts.settle(false);
    facts
}

fn joined(parts: impl IntoIterator<Item = Facts>) -> Facts {
    let mut all = Facts::default();
    parts.into_iter().for_each(|part| all.append(part));
    all
}

fn published() -> impl Strategy<Value = Published> {
    let views = prop::sample::select(vec![View::Identities, View::Segments]);
    let one = (views, 0i64..9, 0u8..6, any::<bool>(), 0u8..3);
    let one = one.prop_map(|(view, t_ms, key, deleted, value)| PublishedOne {
        view,
        t_ms,
        key: format!("[\"{key}\"]").into_bytes(),
        value: format!("{{\"{key}\":{}}}", value + 3 * t_ms as u8).into_bytes(),
        deleted: deleted && t_ms % 2 == 0,
    });
    vec(one, 0..12).prop_map(|rows| {
        let mut published = Published::default();
        rows.into_iter().for_each(|one| published.push(one));
        published
    })
}

/// What holds of each key, the slow way.
fn holding(published: &Published) -> BTreeMap<(View, Vec<u8>), Vec<u8>> {
    let mut rows = published.rows().to_vec();
    rows.sort_by_key(|one| (one.t_ms, one.deleted));
    let mut holding = BTreeMap::new();
    for one in rows {
        match one.deleted {
            true => drop(holding.remove(&(one.view, one.key))),
            false => drop(holding.insert((one.view, one.key), one.value)),
        }
    }
    holding
}

proptest! {
    #[test]
    fn what_was_published_last_stays(
        mut a in published(),
        b in published(),
        parts in 0u32..4,
    ) {
        // Of a key and a time there is one row.
        let mut seen = BTreeSet::new();
        let mut once = Published::default();
        for one in a.rows().iter().chain(b.rows()) {
            if seen.insert((one.view, one.key.clone(), one.t_ms)) {
                once.push(one.clone());
            }
        }
        let cut = once.rows().len() / 2;
        let (mut b, mut all) = (Published::default(), Published::default());
        a = Published::default();
        for (at, one) in once.rows().iter().enumerate() {
            if at < cut { a.push(one.clone()) } else { b.push(one.clone()) }
        }
        a.settle(false);
        let a = Published::from_bytes(a.to_bytes()).unwrap();
        for mut part in a.split(1 << parts).into_iter().zip(b.split(1 << parts)).map(|(mut a, b)| {
            a.append(b);
            a
        }) {
            part.settle(true);
            prop_assert!(part.rows().iter().all(|one| !one.deleted));
            all.append(part);
        }
        prop_assert_eq!(all.rows().len(), holding(&once).len());
        prop_assert_eq!(holding(&all), holding(&once));
    }
}

proptest! {
    #[test]
    fn facts_are_read_as_they_were_written(facts in facts()) {
        let read = Facts::from_bytes(facts.to_bytes()).unwrap();
        prop_assert_eq!(shown(&read), shown(&facts));
    }

    #[test]
    fn it_does_not_matter_what_is_merged_when(a in facts(), b in facts(), c in facts()) {
        let at_once = settled(joined([a.clone(), b.clone(), c.clone()]));
        let later = settled(joined([settled(joined([a, b])), settled(c)]));
        prop_assert_eq!(shown(&later), shown(&at_once));
    }

    #[test]
    fn every_fact_is_in_one_part(facts in facts(), parts in 0u32..5) {
        let parts = facts.clone().split(1 << parts);
        prop_assert_eq!(shown(&settled(joined(parts.clone()))), shown(&settled(facts)));
        let (few, at) = (parts.len(), parts.iter().position(|part| !part.is_empty()));
        if let Some(at) = at {
            let again = parts[at].clone().split(few * 2);
            let elsewhere = again.iter().enumerate().filter(|(n, _)| n / 2 != at);
            prop_assert!(elsewhere.clone().all(|(_, part)| part.is_empty()), "a part is split within");
        }
    }
}

fn used(count: u64) -> Vec<keys::Used> {
    let one = |n: u64| (EventKey(u128::from(n) << 70), Use { ordinal: n, arrival_ms: n as Millis });
    (0..count).map(one).collect()
}

/// Of `whole`, nothing but the whole can be read.
fn check_damage(whole: Vec<u8>, read: impl Fn(Vec<u8>) -> bool) {
    assert!(read(whole.clone()));
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(!read(flipped), "bit {bit} of byte {at}");
        }
        assert!(!read(whole[..at].to_vec()), "the first {at} bytes");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(!read(longer));
}

#[test]
fn no_damaged_file_is_believed() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let facts = facts().new_tree(&mut runner).unwrap().current();
    check_damage(facts.to_bytes(), |bytes| Facts::from_bytes(bytes).is_ok());
    let published = published().new_tree(&mut runner).unwrap().current();
    check_damage(published.to_bytes(), |bytes| Published::from_bytes(bytes).is_ok());
    assert!(Facts::from_bytes(published.to_bytes()).is_err(), "what was published is no fact");
    check_damage(keys::to_bytes(&used(3)), |bytes| keys::from_bytes(bytes).is_ok());
    check_damage(document::write(&("manifest", 5)).unwrap(), |bytes| {
        document::read::<(String, u32)>(&bytes).is_ok()
    });
    let of_keys = keys::to_bytes(&used(3));
    assert!(Facts::from_bytes(of_keys).is_err(), "a whole file of another kind");
}

#[test]
fn keys_are_read_as_they_were_written() {
    assert_eq!(keys::from_bytes(keys::to_bytes(&used(5))).unwrap(), used(5));
}
