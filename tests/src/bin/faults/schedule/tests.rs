//! The same seed gives the same; every kind has its turn; the points are those of the code.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn size(seed: u64, kills: usize) -> Size {
    Size { seed, kills, length: Duration::from_secs(180), torn: true }
}

#[test]
fn same_seed_same_schedule() {
    assert_eq!(schedule(size(1, 12)), schedule(size(1, 12)));
    assert_ne!(schedule(size(1, 12)), schedule(size(2, 12)));
}

#[test]
fn it_kills_as_often_as_asked_within_its_time() {
    for (seed, kills) in (0..20).zip([0, 1, 12, 50].into_iter().cycle()) {
        let steps = schedule(size(seed, kills));
        assert!(steps.iter().map(|step| step.fault.kills()).sum::<usize>() >= kills);
        assert!(steps.is_sorted_by_key(|step| step.at));
        assert!(steps.iter().all(|step| step.at < Duration::from_secs(180)));
    }
}

#[test]
fn every_kind_and_every_point_has_its_turn() {
    let steps = schedule(size(5, 60));
    let names: BTreeSet<&str> = steps
        .iter()
        .filter_map(|step| match step.fault {
            Fault::DieAt { point, .. } => Some(point),
            _ => None,
        })
        .collect();
    assert_eq!(names.len(), POINTS.len());
    let kinds: BTreeSet<_> =
        steps.iter().map(|step| format!("{:?}", std::mem::discriminant(&step.fault))).collect();
    assert_eq!(kinds.len(), 10);
    let calm = schedule(Size { torn: false, ..size(5, 60) });
    assert!(!calm.iter().any(|step| matches!(step.fault, Fault::Torn { .. })));
}

/// The names in the calls of `fault::point` and `fault::point_after` below `folder`.
fn points_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points_in(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for call in text.split("fault::point").skip(1) {
            let call = call.trim_start_matches("_after");
            let name = call.strip_prefix("(\"").and_then(|rest| rest.split('"').next());
            found.extend(name.map(str::to_owned));
        }
    }
}

#[test]
fn points_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    points_in(&root.join("connectors/src"), &mut found);
    points_in(&root.join("deploy/cebe/src"), &mut found);
    let known: BTreeSet<String> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known, "POINTS has to list the points of the code");
}
