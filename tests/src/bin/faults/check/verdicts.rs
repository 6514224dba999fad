//! Each record has the verdict of the contract, and exactly the row that belongs to it.

use std::collections::{BTreeMap, BTreeSet};

use cebe_tests::oracle::{Verdict, Verdicts};
use serde_json::{Value, json};

use super::Check;
use super::bound::{Line, Place};
use crate::load::CONTROL_TOPIC;

/// What ClickHouse has to hold about the records that were bound, each row as a JSON array.
#[derive(Default)]
pub struct Expected {
    accepted: Vec<String>,
    rejected: Vec<String>,
    skipped: Vec<String>,
    /// Of records that were rejected since they came before the time that they speak of.
    pub early: BTreeSet<Place>,
    /// Accepted live events, by source.
    sources: BTreeMap<String, u64>,
    /// By topic and partition: read, accepted, duplicate, rejected, skipped.
    ledger: BTreeMap<(String, i32), [u64; 5]>,
}

/// Judges `lines`, in their order; `verdicts` knows afterwards what is in force.
pub fn expected(lines: &[Line], verdicts: &mut Verdicts) -> Expected {
    let mut expected = Expected::default();
    // The control records of a logical time come before its events.
    for tick in lines.chunk_by(|a, b| a.t_ms == b.t_ms) {
        for line in tick.iter().filter(|line| line.place.0 == CONTROL_TOPIC) {
            verdicts.control(&String::from_utf8_lossy(&line.payload));
        }
        for line in tick.iter().filter(|line| line.place.0 != CONTROL_TOPIC) {
            let verdict = verdicts.take(&String::from_utf8_lossy(&line.payload), line.t_ms);
            expected.push(line, verdict);
        }
    }
    expected
}

impl Expected {
    fn push(&mut self, line: &Line, verdict: Verdict) {
        let (topic, partition, offset) = &line.place;
        let counts = self.ledger.entry((topic.clone(), *partition)).or_default();
        counts[0] += 1;
        match verdict {
            Verdict::Accepted { account, source, key } => {
                counts[1] += 1;
                let row = json!([topic, partition, offset, account, source, key]);
                self.accepted.push(row.to_string());
                if topic.starts_with("cebe.events.") {
                    *self.sources.entry(source).or_default() += 1;
                }
            }
            Verdict::Duplicate => counts[2] += 1,
            Verdict::Rejected(reason) => {
                counts[3] += 1;
                if reason == "future_event" {
                    self.early.insert(line.place.clone());
                }
                self.rejected.push(json!([topic, partition, offset, reason]).to_string());
            }
            Verdict::Skipped => {
                counts[4] += 1;
                self.skipped.push(json!([topic, partition, offset]).to_string());
            }
        }
    }

    /// Records by verdict, in the order of the ledger.
    pub fn totals(&self) -> [u64; 5] {
        let mut totals = [0; 5];
        for counts in self.ledger.values() {
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
        totals
    }

    /// Compared with what `rows` gives of ClickHouse's views.
    pub fn compare(
        self,
        rows: impl Fn(&str) -> anyhow::Result<Vec<Value>>,
    ) -> anyhow::Result<Vec<Check>> {
        let texts = |sql: &str| -> anyhow::Result<Vec<String>> {
            Ok(rows(sql)?.iter().map(Value::to_string).collect())
        };
        // Read, the four verdicts, and a difference of 0.
        let ledger = self.ledger.into_iter().map(|((topic, partition), [a, b, c, d, e])| {
            json!([topic, partition, a, b, c, d, e, 0]).to_string()
        });
        Ok(vec![
            Check::of("view events").rows(self.accepted, texts(EVENTS)?),
            Check::of("view rejected_events").rows(self.rejected, texts(REJECTED)?),
            Check::of("view skipped_ranges").rows(self.skipped, texts(SKIPPED)?),
            Check::of("view ingest_ledger").rows(ledger, texts(LEDGER)?),
            propagation(&self.sources, &rows(PROPAGATION)?),
        ])
    }
}

/// No event goes unmeasured. A loader that was frozen may have its last batches measured twice: they are
/// told by their first tick, and another loader groups ticks differently.
fn propagation(sources: &BTreeMap<String, u64>, found: &[Value]) -> Check {
    let mut check = Check::of("view propagation");
    for (source, accepted) in sources {
        check.compared += accepted;
        let row = found.iter().find(|row| row[0] == **source);
        let measured = row.and_then(|row| row[1].as_u64()).unwrap_or_default();
        if measured < *accepted {
            check.lost(format!("{source}: {measured} of {accepted} events are measured"));
        }
    }
    check
}

const EVENTS: &str = "SELECT topic, partition, offset, account_id, source_module, idempotency_key \
                      FROM cebe.events";
const REJECTED: &str = "SELECT topic, partition, offset, reason FROM cebe.rejected_events";
const SKIPPED: &str = "SELECT topic, partition, \
                       arrayJoin(range(toUInt64(from_offset), toUInt64(to_offset))) \
                       FROM cebe.skipped_ranges";
const LEDGER: &str = "SELECT topic, partition, records_read, accepted, duplicate, rejected, skipped, \
                      difference FROM cebe.ingest_ledger \
                      WHERE startsWith(topic, 'cebe.events.') OR startsWith(topic, 'cebe.backfill.')";

const PROPAGATION: &str =
    "SELECT source_module, sum(events) FROM cebe.propagation GROUP BY source_module";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(topic: &str, offset: i64, t_ms: i64, payload: &Value) -> Line {
        let payload = payload.to_string().into_bytes();
        Line { place: (topic.into(), 0, offset), t_ms, payload }
    }

    /// Off, taken in, the same again, broken.
    fn lines() -> Vec<Line> {
        let event = |key: &str| {
            json!({"event_name": "customer.updated", "schema_version": 1, "source_module": "cdp",
                "idempotency_key": key, "account_id": "a", "qontak_customer_id": "1",
                "occurred_at": 1_700_000_000_000_i64})
        };
        let t = 1_700_000_000_000;
        let topic = "cebe.events.cdp";
        vec![
            line(topic, 0, t, &event("k")),
            line(topic, 1, t + 1, &event("k")),
            line(CONTROL_TOPIC, 0, t + 1, &json!({"sources": {"cdp": "on"}})),
            line(topic, 2, t + 2, &event("k")),
            line(topic, 3, t + 2, &json!(7)),
        ]
    }

    /// The checks on what the views hold; `doctor` may change that before.
    fn compare(doctor: impl Fn(&str, &mut Vec<Value>)) -> Vec<[u64; 3]> {
        let found = |sql: &str| {
            let mut rows = match sql {
                EVENTS => vec![json!(["cebe.events.cdp", 0, 1, "a", "cdp", "k"])],
                REJECTED => vec![json!(["cebe.events.cdp", 0, 3, "malformed_json"])],
                SKIPPED => vec![json!(["cebe.events.cdp", 0, 0])],
                PROPAGATION => vec![json!(["cdp", 1])],
                _ => vec![json!(["cebe.events.cdp", 0, 4, 1, 1, 1, 1, 0])],
            };
            doctor(sql, &mut rows);
            Ok(rows)
        };
        let checks = expected(&lines(), &mut Verdicts::new()).compare(found).unwrap();
        checks.iter().map(|check| [check.lost, check.doubled, check.invented]).collect()
    }

    #[test]
    fn right_views_are_right() {
        assert_eq!(compare(|_, _| {}), [[0; 3]; 5]);
    }

    #[test]
    fn a_row_lost_doubled_or_invented_is_seen_in_every_view() {
        for (at, view) in [EVENTS, REJECTED, SKIPPED, LEDGER].into_iter().enumerate() {
            let only = |change: fn(&mut Vec<Value>)| {
                let doctor = move |sql: &str, rows: &mut Vec<Value>| {
                    if sql == view {
                        change(rows);
                    }
                };
                compare(doctor)[at]
            };
            assert_eq!(only(|rows| rows.clear()), [1, 0, 0], "{view}");
            assert_eq!(only(|rows| rows.push(rows[0].clone())), [0, 1, 0], "{view}");
            assert_eq!(only(|rows| rows.push(json!(["cebe.events.cdp", 9]))), [0, 0, 1], "{view}");
        }
    }

    #[test]
    fn an_event_that_is_not_measured_is_seen() {
        let measured = |events: u64| {
            compare(move |sql, rows| {
                if sql == PROPAGATION {
                    rows[0][1] = json!(events);
                }
            })[4]
        };
        assert_eq!(measured(2), [0, 0, 0]);
        assert_eq!(measured(0), [1, 0, 0]);
    }

    #[test]
    fn a_ledger_that_does_not_add_up_is_seen() {
        let checks = compare(|sql, rows| {
            if sql == LEDGER {
                rows[0][7] = json!(1);
            }
        });
        assert_eq!(checks[3], [1, 0, 1]);
    }
}
