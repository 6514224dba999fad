//! What the engine has always published for certain records and changes, byte for byte. A replay
//! compares what it publishes with what is out, so other bytes are another `LOGIC_VERSION`.
//!
//! `golden/records.txt`: the records. `golden/published.txt`: what is published of them and of
//! [`moments`]. With `CEBE_BLESS=1` in the environment it is written anew.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use cebe_connectors::adapter::Adapter;
use cebe_connectors::binding::{Binding, Digest};
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::source::Record;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::number;
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::change::{Cause, Change, Moment, Profile, Quarantine, Rate, Seen};
use cebe_schemas::control::ControlState;
use cebe_schemas::fact::AttributeValue;
use cebe_schemas::id::{Subject, Token};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;
use serde_json::{Value, json};

const T: Millis = 1_795_000_000_000;

#[test]
fn what_is_published_stays_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let records = std::fs::read_to_string(folder.join("records.txt")).unwrap();
    let (found, held) = (published(&records), folder.join("published.txt"));
    if std::env::var_os("CEBE_BLESS").is_some() {
        std::fs::write(&held, &found).unwrap();
    }
    let expect = std::fs::read_to_string(&held).unwrap();
    for (at, (found, expect)) in found.lines().zip(expect.lines()).enumerate() {
        assert_eq!(found, expect, "line {}", at + 1);
    }
    assert_eq!(found.len(), expect.len());
}

fn published(records: &str) -> String {
    let keys = Arc::new(Keys::development());
    let judge = Judge { catalogue: Catalogue::shipped().unwrap().into(), keys: keys.clone() };
    let index = MemoryKeyIndex::default();
    let mut adapter = Adapter::new(judge, Topics::default(), index, ControlState::new());
    let (mut out, mut ordinal) = (String::new(), 100);
    for (at, lines) in records.split("\n--\n").enumerate() {
        let t_ms = T + 1_000 * at as Millis;
        let records: Vec<Record> =
            lines.lines().filter(|line| !line.starts_with('#')).zip(40..).map(record).collect();
        let rows = adapter.adapt(t_ms, ordinal, &records).unwrap().rows;
        let binding = Binding {
            number: at as u64,
            t_ms,
            generation: 1,
            logic_version: 1,
            previous: Digest::NONE,
            first_ordinal: ordinal,
            ranges: vec![],
        };
        let moments = [t_ms - 7, t_ms].map(|t_ms| Moment { t_ms, changes: changes() });
        let numbered = number(&binding, rows, moments.into(), &keys).unwrap();
        for record in &numbered.records {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            let (view, key, value) = (record.view.name(), text(&record.key), text(&record.value));
            writeln!(out, "{view} {} {} {key} {value}", record.partition, record.t_ms).unwrap();
        }
        writeln!(out, "{}", serde_json::to_string(&numbered.progress).unwrap()).unwrap();
        ordinal += records.len() as u64;
    }
    out
}

fn record((line, offset): (&str, i64)) -> Record {
    let (topic, payload) = line.split_once(' ').unwrap();
    Record {
        topic: topic.into(),
        partition: 3,
        offset,
        created_ms: T - 5,
        payload: payload.into(),
        ..Record::default()
    }
}

/// Every kind of change, the awkward ones too.
fn changes() -> Vec<Change> {
    let account_id: Arc<str> = "a".into();
    let mut changes = vec![
        Change::Forgotten {
            account_id: account_id.clone(),
            token: Token(255),
            until_ms: T - 50,
            erased: true,
        },
        Change::Forgotten {
            account_id: account_id.clone(),
            token: Token(1),
            until_ms: -1,
            erased: false,
        },
    ];
    for (n, customer) in ["7", "8", "", "kü\"\\\n", "1048576", "12", "13"].into_iter().enumerate()
    {
        let (account_id, customer_id): (Arc<str>, Arc<str>) = (account_id.clone(), customer.into());
        let (n, even) = (n as i64, n % 2 == 0);
        let rate = |n: i64| Rate { numerator: n as u64, denominator: 3 * (n as u64 % 3) };
        changes.extend([
            Change::Identity {
                account_id: account_id.clone(),
                qontak_customer_id: customer_id.clone(),
                old: even.then(|| "1".into()),
                new: (n % 3 != 0).then(|| customer_id.clone()),
                cause: Cause::Merge,
            },
            Change::Customer {
                account_id: account_id.clone(),
                customer_id: customer_id.clone(),
                old: even.then(|| profile(n)),
                new: (n % 3 != 0).then(|| profile(n + 1)),
                cause: Cause::Unmerge,
            },
            Change::Seen {
                account_id: account_id.clone(),
                customer_id: customer_id.clone(),
                old: even.then_some(Seen { first_ms: n, last_ms: T }),
                new: (n % 3 != 0).then_some(Seen { first_ms: -1, last_ms: T + n }),
                cause: Cause::LateEvent,
            },
            Change::Segment {
                account_id: account_id.clone(),
                segment_id: if even { "s" } else { "ß" }.into(),
                customer_id: customer_id.clone(),
                entered: n % 3 == 0,
                definition_version: n as u32,
                cause: Cause::Time,
            },
            Change::Metric {
                account_id: account_id.clone(),
                metric: "reply_rate".into(),
                group_key: customer_id.clone(),
                old: rate(n),
                new: rate(n + 1),
                cause: Cause::Event,
            },
            Change::Quarantine {
                account_id,
                reason: if even { Quarantine::Holders } else { Quarantine::Members },
                token: even.then_some(Token(7)),
                cluster: (!even).then_some(Subject(9)),
                qontak_customer_id: customer_id,
                entered: n % 3 == 0,
                cause: Cause::Definition,
            },
        ]);
    }
    changes
}

fn profile(n: i64) -> Arc<Profile> {
    let value = |value: Value| Arc::new(AttributeValue::new(value));
    Arc::new(Profile {
        member_ids: (0..n).map(|id| id.to_string().into()).collect(),
        attributes: vec![
            ("city".into(), value(json!("De\"pok\u{7f}\u{1f}"))),
            ("ltv".into(), value(json!(n as f64 / 3.0))),
            ("more".into(), value(json!({"b": [n, null], "a": 1e300}))),
        ],
        team_ids: if n == 2 { vec![] } else { vec!["t-1".into(), "t-2".into()] },
    })
}
