//! `cebe segment preview` and `cebe explain` on a file of events. The answers are written by hand.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Events of one account: 31 and 7 share a phone, 31 is sent two broadcasts, 7 answers one; 9 is in
/// Bandung and is sent one with a button.
fn events() -> String {
    let event =
        |at: &str, source: &str, name: &str, key: &str, customer: &str, properties: Value| {
            json!({
                "received_at": at, "event_name": name, "schema_version": 1, "source_module": source,
                "idempotency_key": key, "account_id": "acc-17", "qontak_customer_id": customer,
                "occurred_at": at, "properties": properties,
            })
        };
    let sent = |at, key, customer, id: &str, channel: &str| {
        let properties = json!({"broadcast_id": id, "channel": channel});
        event(at, "broadcast", "broadcast.sent", key, customer, properties)
    };
    let reply = json!({"broadcast_id": "b-1"});
    let lines = [
        event(
            "2026-11-23T01:00:00Z",
            "cdp",
            "customer.created",
            "c-1",
            "31",
            json!({"phone": "0812-3456-7890"}),
        ),
        event(
            "2026-11-23T01:00:00Z",
            "cdp",
            "customer.created",
            "c-3",
            "9",
            json!({"city": "Bandung"}),
        ),
        sent("2026-11-23T01:30:00Z", "s-1", "31", "b-1", "sms"),
        sent("2026-11-23T01:30:00Z", "s-2", "9", "b-1", "wa"),
        event(
            "2026-11-23T02:00:00Z",
            "cdp",
            "customer.created",
            "c-2",
            "7",
            json!({"phone": "+62 812 3456 7890", "city": "Depok"}),
        ),
        sent("2026-11-23T02:30:00Z", "s-3", "31", "b-2", "wa"),
        event("2026-11-23T03:00:00Z", "broadcast", "broadcast.replied", "r-1", "7", reply),
    ];
    lines.map(|line| line.to_string() + "\n").concat()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(definitions: &Value) -> Files {
        let files = Files(tempfile::tempdir().expect("a folder"));
        files.write("events.jsonl", &events());
        files.write("definitions.json", &definitions.to_string());
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).expect("written");
    }

    /// Runs `cebe` at 04:00 on the files.
    fn cebe(&self, arguments: &[&str]) -> Output {
        let folder: &Path = self.0.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cebe"));
        command.current_dir(folder).args(arguments);
        command.args(["--events", "events.jsonl", "--definitions", "definitions.json"]);
        command.args(["--at", "2026-11-23T04:00:00Z"]).output().expect("cebe starts")
    }

    fn answer(&self, arguments: &[&str]) -> Value {
        let on = |workers| {
            let output = self.cebe(&[arguments, &["--json", "--workers", workers][..]].concat());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{stderr}");
            serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
        };
        let answer = on("1");
        assert_eq!(answer, on("3"), "on any number of workers");
        answer
    }

    fn preview(&self, document: &Value) -> Value {
        self.write("document.json", &document.to_string());
        self.answer(&["segment", "preview", "document.json"])
    }

    fn explain(&self, customer: &str, segment: &str) -> Value {
        let ids = ["--account", "acc-17", "--customer", customer, "--segment", segment];
        self.answer(&[&["explain"][..], &ids].concat())
    }
}

fn segment(id: &str, when: Value) -> Value {
    json!({"segment_id": id, "account_id": "acc-17", "when": when})
}

fn unanswered() -> Value {
    segment(
        "unanswered",
        json!({"did": "broadcast.sent", "then_not": "broadcast.replied",
        "within": "90m", "same": "broadcast_id"}),
    )
}

#[test]
fn a_preview_says_who_moves_also_by_reference_and_by_properties_never_looked_at() {
    let files = Files::new(&json!({"segments": [
        segment("away", json!({"attribute": "city", "eq": "Bandung"})),
        segment("quiet", json!({"not": {"in_segment": "away"}})),
    ]}));
    let filters = json!([{"property": "channel", "eq": "wa"}]);
    let on_wa = json!({"did": "broadcast.sent", "where": filters});
    let preview = files.preview(&json!({
        "segments": [segment("away", on_wa)],
        "metrics": [{"metric": "reply_rate", "account_id": "acc-17", "denominator": "broadcast.sent",
            "numerator": "broadcast.replied", "group_by": "broadcast_id", "within": "1h"}],
    }));
    let moved = |id: &str, edit: &str, enter: Value, leave: Value| {
        json!({
            "account_id": "acc-17", "segment_id": id, "edit": edit,
            "entering": enter.as_array().map(Vec::len), "leaving": leave.as_array().map(Vec::len),
            "enter": enter, "leave": leave,
        })
    };
    assert_eq!(preview["logical_time"], "2026-11-23T04:00:00.000Z");
    // 7 got b-2 on WhatsApp, as 31; 9 stays.
    let segments = [
        moved("away", "edited", json!(["7"]), json!([])),
        moved("quiet", "refers", json!([]), json!(["7"])),
    ];
    assert_eq!(preview["segments"], json!(segments));
    // The answer came after 90 minutes.
    let rates = json!([{
        "group_key": "b-1", "old_numerator": 1, "old_denominator": 2, "old_rate": 0.5,
        "new_numerator": 0, "new_denominator": 2, "new_rate": 0.0,
    }]);
    assert_eq!(preview["metrics"][0]["rates"], rates);
    assert_eq!(preview["metrics"][0]["edit"], "new");
    let removed = json!({"remove_segments": [{"account_id": "acc-17", "segment_id": "away"}]});
    let removed = files.preview(&removed);
    let segments = [
        moved("away", "removed", json!([]), json!(["9"])),
        moved("quiet", "refers", json!(["9"]), json!([])),
    ];
    assert_eq!(removed["segments"], json!(segments));
}

#[test]
fn an_explanation_names_members_events_and_times() {
    let files = Files::new(&json!({"segments": [unanswered()]}));
    let told = files.explain("31", "unanswered");
    assert_eq!(told["person"]["member_ids"], json!(["7", "31"]));
    assert_eq!(told["person"]["links"][0]["identifier"]["customer_ids"], json!(["7", "31"]));
    // b-1 was answered after exactly 90 minutes, in time; b-2 can be answered until 04:00, in time.
    assert_eq!((&told["is_member"], &told["entered_by_version"]), (&json!(false), &Value::Null));
    let at = json!({"at": "2026-11-23T04:00:00.001Z"});
    assert_eq!((&told["next_change"], &told["clause"]["next_change"]), (&at, &at));
    assert_eq!(told["clause"]["clause"], unanswered()["when"]);
    let events = &told["clause"]["counted"]["events"];
    let [b2, b1] = [&events[0], &events[1]];
    assert_eq!((&b2["counts"], &b2["group_key"]), (&json!("later"), &json!("b-2")));
    assert_eq!(b2["counts_from"], "2026-11-23T04:00:00.001Z");
    assert_eq!(
        (&b2["found"][0]["idempotency_key"], &b2["found"][0]["customer_id"]),
        (&json!("s-3"), &json!("31"))
    );
    assert_eq!((&b1["counts"], &b1["group_key"]), (&json!("not"), &json!("b-1")));
    assert_eq!(b1["followed_by"][0]["found"][0]["idempotency_key"], "r-1");
    let nine = files.explain("9", "unanswered");
    assert_eq!((&nine["is_member"], &nine["entered_by_version"]), (&json!(true), &json!(1)));
    let text = files.cebe(&[
        "explain",
        "--account",
        "acc-17",
        "--customer",
        "9",
        "--segment",
        "unanswered",
    ]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("customer 9 of acc-17 is in segment unanswered\n"), "{text}");
    assert!(text.contains("s-2 of broadcast, 9: {\"broadcast_id\":\"b-1\""), "{text}");
}

#[test]
fn what_is_not_there_is_said() {
    let files = Files::new(&json!({"segments": [unanswered()]}));
    let fails = |arguments: &[&str], message: &str| {
        let output = files.cebe(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    };
    let ids = ["explain", "--account", "acc-17", "--customer"];
    fails(&[&ids[..], &["8", "--segment", "unanswered"]].concat(), "acc-17 has no customer 8");
    fails(&[&ids[..], &["9", "--segment", "vip"]].concat(), "acc-17 has no segment vip");
    let wrong = segment("s", json!({"all": [{"did": "x", "at_lest": 2}]}));
    files.write("document.json", &wrong.to_string());
    fails(&["segment", "preview", "document.json"], "/when/all/0/at_lest: is not a field here");
}
