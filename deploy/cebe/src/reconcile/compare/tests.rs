use cebe_connectors::binding::Range;

use super::*;
use crate::reconcile::report::differences;

/// A time on the hour; what is held 24 months before it was rejected then.
const T: Millis = 1_795_395_600_000;

/// Everything equal: one partition with ten records, of which five came an hour later.
struct World {
    cut: Cut,
    records: Records,
    stored: Stored,
}

fn ads() -> Place {
    ("cebe.events.ads".into(), 3)
}

fn hour(hour_ms: Millis) -> Hour {
    ("ads".into(), hour_ms)
}

/// A partition whose first offset held is `held_from`: two bindings, of five records each.
fn bound(held_from: i64) -> Bound {
    let mut bound = Bound::default();
    for (from, to, t_ms) in [(100, 105, T), (105, 112, T + HOUR_MS)] {
        let range = Range { topic: ads().0, partition: 3, from, to, records: 5 };
        bound.take_in(&range, t_ms, held_from, false);
    }
    bound
}

impl World {
    fn new() -> World {
        let cut = Cut { partitions: [(ads(), bound(0))].into(), ..Cut::default() };
        let mut records = Records::default();
        records.partitions.insert(ads(), 10);
        records.read = [(hour(T), 5), (hour(T + HOUR_MS), 5)].into();
        records.emitted.insert(hour(T), 5);
        let entry = Entry { records_read: 10, accepted: 4, duplicate: 3, rejected: 2, skipped: 1 };
        let mut stored = Stored::default();
        stored.ledger.insert(ads(), entry);
        stored.events.insert(ads(), 3);
        stored.expired.insert(ads(), 1);
        stored.rejected.insert(ads(), 2);
        stored.skipped.insert(ads(), 1);
        // An ended hour in which nothing came has a row.
        stored.hours = [
            (hour(T), (Some(5), 5)),
            (hour(T + HOUR_MS), (None, 5)),
            (hour(T + 2 * HOUR_MS), (None, 0)),
        ]
        .into();
        World { cut, records, stored }
    }

    fn checks(&self) -> Vec<Check> {
        let World { cut, records, stored } = self;
        let topics = &Topics::default();
        Sides { topics, cut, records, stored, now_ms: T + HOUR_MS }.checks(&|_| true)
    }

    fn after<R>(change: impl FnOnce(&mut World) -> R) -> Vec<String> {
        let mut world = World::new();
        change(&mut world);
        differences(&world.checks())
    }
}

fn entry(world: &mut World) -> &mut Entry {
    world.stored.ledger.entry(ads()).or_default()
}

#[test]
fn equal_is_equal_and_each_number_is_checked() {
    let checks = World::new().checks();
    assert_eq!(checks.len(), 5 + 2 * 3);
    assert!(checks.iter().all(|check| check.is_checked() && !check.differs()), "{checks:?}");
    let none =
        World { cut: Cut::default(), records: Records::default(), stored: Stored::default() };
    assert!(none.checks().is_empty());
}

#[test]
fn each_difference_is_named() {
    let named = |found: Vec<String>, names: &[&str]| {
        let begin = |(line, name): (&String, &&str)| line.starts_with(name);
        assert!(found.len() == names.len() && found.iter().zip(names).all(begin), "{found:?}");
    };
    let place = "cebe.events.ads/3";
    let of = |name: &str| format!("{place} {name}:");
    named(World::after(|w| w.stored.events.insert(ads(), 2)), &[&of("accepted")]);
    named(World::after(|w| w.stored.events.insert(ads(), 4)), &[&of("accepted")]);
    named(World::after(|w| w.stored.rejected.remove(&ads())), &[&of("rejected")]);
    named(World::after(|w| w.stored.skipped.insert(ads(), 2)), &[&of("skipped")]);
    named(World::after(|w| w.records.partitions.insert(ads(), 9)), &[&of("records")]);
    named(World::after(|w| entry(w).duplicate += 1), &[&of("sum")]);
    named(World::after(|w| entry(w).records_read -= 1), &[&of("records"), &of("sum")]);
    named(
        World::after(|w| w.stored.ledger.clear()),
        &[&of("records"), &of("accepted"), &of("rejected"), &of("skipped")],
    );
    let forged = World::after(|w| w.stored.events.insert(("forged".into(), 0), 1));
    named(forged, &["forged/0 accepted: 1 rows of events"]);
    let of = |hour_ms, name| format!("ads {} {name}:", format_rfc3339(hour_ms));
    named(World::after(|w| w.records.read.remove(&hour(T))), &[&of(T, "read")]);
    let lost = World::after(|w| w.stored.hours.remove(&hour(T)));
    named(lost, &[&of(T, "read"), &of(T, "emitted")]);
    let said = World::after(|w| w.records.emitted.insert(hour(T + HOUR_MS), 0));
    named(said, &[&of(T + HOUR_MS, "emitted")]);
    assert!(World::after(|w| w.stored.hours.remove(&hour(T + 2 * HOUR_MS))).is_empty());
}

#[test]
fn what_retention_has_deleted_is_not_counted_as_equal() {
    let gone = |counted, read: u64| {
        let mut world = World::new();
        world.cut.partitions.insert(ads(), bound(103));
        world.records.partitions.insert(ads(), counted);
        world.records.read.insert(hour(T), read);
        world.checks()
    };
    let checks = gone(5, 0);
    assert!(differences(&checks).is_empty(), "{checks:?}");
    let unchecked = |what| {
        let check = checks.iter().find(|check| check.what == what).unwrap();
        (check.is_checked(), check.unchecked.as_ref().unwrap().why.clone())
    };
    let (is_checked, why) = unchecked(What::Records);
    assert!(is_checked && why.starts_with("not checkable before offset 105"), "{why}");
    let (is_checked, why) = unchecked(What::Read);
    assert!(
        !is_checked
            && why
                .starts_with(&format!("not checkable before {}", format_rfc3339(T + 2 * HOUR_MS)))
    );
    assert_eq!(differences(&gone(4, 0)).len(), 1, "one of those that are left is missing");
    assert_eq!(differences(&gone(5, 6)).len(), 1, "more than was read");
    let mut world = World::new();
    world.cut.partitions.insert(ads(), bound(i64::MAX));
    let nothing = world.checks().into_iter().find(|check| check.what == What::Records);
    assert!(nothing.is_some_and(|check| !check.is_checked() && !check.differs()));
}

#[test]
fn rejected_rows_past_their_retention_are_not_counted_as_equal() {
    let after = |rejected| {
        let mut world = World::new();
        world.stored.rejected.insert(ads(), rejected);
        let World { cut, records, stored } = &world;
        let (topics, now_ms) = (&Topics::default(), T + 800 * 24 * HOUR_MS);
        let checks = Sides { topics, cut, records, stored, now_ms }.checks(&|_| true);
        checks.into_iter().find(|check| check.what == What::Rejected).unwrap()
    };
    assert!(!after(1).differs() && !after(1).is_checked());
    assert!(!after(2).differs() && !after(2).is_checked());
    assert!(after(3).differs());
}

#[test]
fn of_some_topics_only_their_sources_are_checked() {
    let World { cut, records, mut stored } = World::new();
    stored.hours.insert(("cdp".into(), T), (None, 1));
    let topics = &Topics::default();
    let sides = Sides { topics, cut: &cut, records: &records, stored: &stored, now_ms: T };
    assert_eq!(sides.checks(&|topic| topic == "cebe.events.ads").len(), 11);
    assert_eq!(sides.checks(&|topic| topic == "cebe.events.cdp").len(), 2);
}
