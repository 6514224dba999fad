//! `cebe eval` on small cases: `eval/<case>/{events.jsonl,definitions.json,args}` and the answers
//! that the contract gives, `eval/<case>/expected/<view>.jsonl`. Expected rows are written by hand.
//! A row names the columns that it is about, and is compared in these; rows and their order are
//! compared whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eval")
}

fn eval(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_cebe");
    Command::new(binary).arg("eval").args(arguments).output().expect("cebe starts")
}

/// File → bytes, of one case on so many workers.
fn answers(case: &Path, workers: &str) -> BTreeMap<String, String> {
    let out = tempfile::tempdir().expect("a folder");
    let path = |name: &str| case.join(name).to_string_lossy().into_owned();
    let (events, definitions, out_path) =
        (path("events.jsonl"), path("definitions.json"), out.path().to_string_lossy().into_owned());
    let args = fs::read_to_string(case.join("args")).unwrap_or_default();
    let mut arguments = vec!["--events", &events, "--out", &out_path, "--workers", workers];
    if Path::new(&definitions).exists() {
        arguments.extend(["--definitions", &definitions]);
    }
    arguments.extend(args.split_whitespace());
    let output = eval(&arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", case.display());
    let files = fs::read_dir(out.path()).expect("a folder");
    files
        .map(|file| {
            let file = file.expect("a file");
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read_to_string(file.path()).expect("text"))
        })
        .collect()
}

fn rows(text: &str) -> Vec<Map<String, Value>> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// What is wrong with `found`, in words.
fn difference(found: &str, expected: &str) -> Option<String> {
    let (found, expected) = (rows(found), rows(expected));
    for (at, row) in expected.iter().enumerate() {
        let Some(other) = found.get(at) else {
            return Some(format!("row {at} is missing: {row:?}"));
        };
        if let Some((column, value)) = row.iter().find(|(c, v)| other.get(*c) != Some(v)) {
            return Some(format!("row {at}: {column} is not {value}: {other:?}"));
        }
    }
    let more = found.get(expected.len());
    more.map(|row| format!("row {} is too much: {row:?}", expected.len()))
}

/// What is wrong in the cases of `folder`, and how many files were compared.
fn check(folder: &Path) -> (Vec<String>, usize) {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for case in fs::read_dir(folder).expect("cases") {
        let case = case.expect("a case").path();
        let found = answers(&case, "1");
        for workers in ["2", "3"] {
            assert_eq!(answers(&case, workers), found, "{}: {workers} workers", case.display());
        }
        for expected in fs::read_dir(case.join("expected")).expect("expected") {
            let path = expected.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let expected = fs::read_to_string(&path).expect("text");
            checked += 1;
            if let Some(difference) = difference(&found[&name], &expected) {
                wrong.push(format!("{}: {difference}", path.display()));
            }
        }
    }
    (wrong, checked)
}

#[test]
fn every_case_is_answered_as_the_contract_says_on_any_number_of_workers() {
    let (wrong, checked) = check(&cases());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 20, "only {checked} files were compared");
}

#[test]
fn a_difference_is_found() {
    let found = "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n";
    assert_eq!(difference(found, "{\"a\":1}\n{\"b\":4}\n"), None);
    for expected in
        ["{\"a\":2}\n{\"a\":3}", "{\"a\":1}", "{\"a\":1}\n{\"a\":3}\n{}", "{\"c\":1}\n{}"]
    {
        assert!(difference(found, expected).is_some(), "{expected}");
    }
}

/// Standard error of an evaluation that fails.
fn failure(events: &str, definitions: Option<&str>, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (file, out) = (path("events.jsonl"), path("out"));
    fs::write(&file, events).expect("a file");
    let mut all = vec!["--events", &file, "--out", &out];
    let definitions_file = path("definitions.json");
    if let Some(text) = definitions {
        fs::write(&definitions_file, text).expect("a file");
        all.extend(["--definitions", &definitions_file]);
    }
    all.extend(arguments);
    let output = eval(&all);
    assert!(!output.status.success(), "{events} {definitions:?} {arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let error = failure("", Some("{\"segments\":[{\"segment_id\":\"s\"}]}"), &[]);
    assert!(error.contains("definitions.json: /segments/0/account_id: is required"), "{error}");
    let error = failure("{\"received_at\":2}\n{\"received_at\":1}\n", None, &[]);
    assert!(error.contains("events.jsonl:2") && error.contains("sort"), "{error}");
    let error = failure("", None, &["--workers", "65"]);
    assert!(error.contains("give 1 to 64"), "{error}");
    let error = failure("", None, &["--at", "noon"]);
    assert!(error.contains("RFC 3339"), "{error}");
}

#[test]
fn a_wrong_control_line_is_named_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let control = "{\"received_at\":1,\"x\":1}\n\
                   {\"received_at\":2,\"control\":{\"sources\":{\"cdp\":\"yes\"}}}\n";
    fs::write(path("events.jsonl"), control).expect("a file");
    let output = eval(&["--events", &path("events.jsonl"), "--out", &path("out")]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("events.jsonl:2: without effect: /control/sources/cdp"), "{said}");
    let rejected = fs::read_to_string(path("out/rejected_events.jsonl")).expect("rows");
    assert!(rejected.contains("/sources/cdp"), "{rejected}");
}

#[test]
fn a_summary_for_machines() {
    let case = cases().join("rates/events.jsonl").to_string_lossy().into_owned();
    let out = tempfile::tempdir().expect("a folder");
    let out = out.path().to_string_lossy().into_owned();
    let output =
        eval(&["--events", &case, "--at", "2026-12-01T00:00:00Z", "--out", &out, "--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["records"], summary["verdicts"]["accepted"]);
    assert!(summary["rows"]["metric_values"].as_u64() > Some(0), "{summary}");
}
