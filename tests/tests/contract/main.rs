//! `cebe eval` against the contract evaluated naively, on random histories of raw lines: every row of
//! every view, every change at every logical time, on 1, 2 and 3 workers, byte for byte between them.
//!
//! A failing history is kept in `regressions.txt` and run first; `KEEP=DIR` writes its files there.

mod pool;
mod scenario;
mod world;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cebe_tests::oracle::{differences, evaluate};
use cebe_tests::system::binary;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use world::{Case, World, world};

static BINARY: LazyLock<PathBuf> = LazyLock::new(|| binary().expect("cebe is built"));

/// File → text, on so many workers.
fn answers(folder: &Path, at: i64, workers: &str) -> BTreeMap<String, String> {
    let out = folder.join(format!("out-{workers}"));
    let output = Command::new(&*BINARY)
        .arg("eval")
        .arg("--events")
        .arg(folder.join("events.jsonl"))
        .arg("--definitions")
        .arg(folder.join("definitions.json"))
        .arg("--out")
        .arg(&out)
        .args(["--at", &at.to_string(), "--workers", workers])
        .output()
        .expect("cebe starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = fs::read_dir(out).expect("a folder").map(|file| file.expect("a file").path());
    files
        .map(|path| {
            let view = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (view, fs::read_to_string(path).expect("text"))
        })
        .collect()
}

fn write(folder: &Path, case: &Case) {
    fs::write(folder.join("events.jsonl"), case.lines.join("\n") + "\n").expect("a file");
    fs::write(folder.join("definitions.json"), case.definitions.to_string()).expect("a file");
}

/// Where the answers are not the oracle's.
fn unequal(case: &Case, found: &BTreeMap<String, String>) -> Vec<String> {
    differences(found, &evaluate(Some(&case.definitions), &case.lines, case.at))
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let case = world.case();
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &case);
    let found = answers(folder.path(), case.at, "1");
    let wrong = unequal(&case, &found);
    let others = ["2", "3"].map(|workers| answers(folder.path(), case.at, workers) == found);
    if (!wrong.is_empty() || others.contains(&false))
        && let Ok(keep) = std::env::var("KEEP")
    {
        fs::create_dir_all(&keep).expect("a folder");
        write(Path::new(&keep), &case);
        fs::write(Path::new(&keep).join("at"), case.at.to_string()).expect("a file");
    }
    prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    prop_assert_eq!(others, [true, true], "two or three workers answer otherwise");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        max_shrink_iters: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/regressions.txt"),
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_row_is_the_contracts(world in world(14)) {
        check(&world)?;
    }
}

/// Worlds must get to every cause, reason and verdict, or they prove little.
#[test]
fn worlds_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let case = world(14).new_tree(&mut runner).expect("a world").current().case();
        let views = evaluate(Some(&case.definitions), &case.lines, case.at);
        for (view, column) in [
            ("segment_changes", "cause"),
            ("metric_changes", "cause"),
            ("identity_quarantine", "reason"),
            ("rejected_events", "reason"),
        ] {
            let values = views.of(view).iter().map(|row| row[column].as_str().unwrap_or_default());
            seen.extend(values.map(|value| format!("{view} {value}")));
        }
        for verdict in ["accepted", "duplicate", "rejected", "skipped"] {
            let some = views.of("ingest_ledger").iter().any(|row| row[verdict] != 0);
            seen.extend(some.then(|| format!("ledger {verdict}")));
        }
    }
    let causes = "definition erase event late_event merge time unmerge";
    let reasons = "future_event malformed_json missing_identity schema_violation too_old \
                   unknown_event unsupported_version";
    for (view, wanted) in [
        ("segment_changes", causes),
        ("metric_changes", causes),
        ("identity_quarantine", "holders members"),
        ("rejected_events", reasons),
        ("ledger", "accepted duplicate rejected skipped"),
    ] {
        for value in wanted.split(' ') {
            assert!(seen.contains(&format!("{view} {value}")), "no {view} {value}");
        }
    }
}
