//! The house rules that a machine can check: which crate may import what, and how long a file is.

use std::path::{Path, PathBuf};

use toml::Table;

/// Folder, what it must never depend on, what its source must never say.
const RULES: [(&str, &[&str], &[&str]); 5] = [
    (
        "schemas",
        &["timely", "differential-dataflow", "rdkafka", "clickhouse", "axum", "tokio", "cebe-"],
        &["std::fs", "std::net", "SystemTime", "Instant::now"],
    ),
    (
        "dataflow",
        &["tokio", "rdkafka", "clickhouse", "axum", "cebe-connectors", "cebe-query", "cebe-dev"],
        &["std::fs", "std::net", "SystemTime", "Instant::now"],
    ),
    ("connectors", &["cebe-dataflow", "cebe-query", "cebe-dev", "timely", "differential"], &[]),
    ("query", &["cebe-dataflow", "cebe-connectors", "cebe-dev", "timely", "differential"], &[]),
    ("deploy/cebe", &["cebe-dev", "timely", "differential"], &[]),
];

const FILE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().expect("a manifest is TOML");
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

fn breaches<'a>(dependencies: &'a [String], never: &[&str]) -> Vec<&'a String> {
    dependencies.iter().filter(|name| never.iter().any(|n| name.starts_with(n))).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("folder is readable") {
        let path = entry.expect("entry is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_forbidden_edge() {
    for (folder, never, _) in RULES {
        let path = root().join(folder).join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path).expect("manifest is readable");
        let dependencies = dependencies(&manifest);
        assert!(!dependencies.is_empty(), "{folder}: no dependencies read");
        let breaches = breaches(&dependencies, never);
        assert!(breaches.is_empty(), "{folder} must never import {breaches:?}");
    }
}

#[test]
fn a_forbidden_edge_is_seen() {
    let manifest = "[dependencies]\nserde.workspace = true\ncebe-dataflow.workspace = true\n";
    let dependencies = dependencies(manifest);
    assert_eq!(breaches(&dependencies, &["cebe-dataflow"]), ["cebe-dataflow"]);
}

#[test]
fn pure_crates_touch_no_outside() {
    for (folder, _, never) in RULES {
        let mut files = Vec::new();
        rust_files(&root().join(folder).join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).expect("source is readable");
            for word in never {
                assert!(!text.contains(word), "{}: {word} has no place here", file.display());
            }
        }
    }
}

#[test]
fn files_are_about_one_thing() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 20, "only {} files seen", files.len());
    for file in files {
        let lines = std::fs::read_to_string(&file).expect("source is readable").lines().count();
        assert!(lines <= FILE_LINES_MAX, "{}: {lines} lines; split it", file.display());
    }
}

#[test]
fn only_the_dataflow_names_timely() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    for file in files.iter().filter(|f| !f.starts_with(root().join("dataflow"))) {
        let text = std::fs::read_to_string(file).expect("source is readable");
        let names = ["use timely", "timely::", "use differential_dataflow"];
        let own = file.ends_with("tests/tests/tidy.rs");
        assert!(own || !names.iter().any(|n| text.contains(n)), "{}", file.display());
    }
}

#[test]
fn one_module_may_say_unsafe() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    let says = |file: &&PathBuf| {
        let text = std::fs::read_to_string(file).expect("source is readable");
        text.contains("allow(unsafe_code)") && !file.ends_with("tests/tests/tidy.rs")
    };
    let says: Vec<_> = files.iter().filter(says).collect();
    assert!(
        matches!(says[..], [file] if file.ends_with("connectors/src/snapshot/codec.rs")),
        "{says:?}"
    );
    for entry in std::fs::read_dir(root()).expect("folder is readable") {
        let manifest = entry.expect("entry is readable").path().join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&manifest) else { continue };
        let is_exception = manifest.parent().is_some_and(|folder| folder.ends_with("connectors"));
        let forbids = text.contains("[lints]\nworkspace = true");
        assert_eq!(forbids, !is_exception, "{}", manifest.display());
    }
}
