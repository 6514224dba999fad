//! Views of the small tenants against the contract, evaluated naively over their raw records.

use std::collections::{BTreeMap, BTreeSet};

use cebe_tests::compare::COMPARED;
use cebe_tests::oracle::{Verdicts, evaluate};
use serde_json::Value;

use super::Check;
use super::bound::{Line, Place};
use crate::load::SMALL;

/// One check for each view, over all tenants. `verdicts` knows what is in force at the end; `rows` asks
/// ClickHouse, which is complete through `through_ms`. Records came too `early` by when they came, which the
/// evaluation does not know: to it everything is as of the end.
pub fn answers(
    lines: &[Line],
    early: &BTreeSet<Place>,
    verdicts: &Verdicts,
    through_ms: i64,
    rows: impl Fn(&str) -> anyhow::Result<Vec<Value>>,
) -> anyhow::Result<Vec<Check>> {
    let mut tenants: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in lines.iter().filter(|line| !early.contains(&line.place)) {
        if let Some((account, text)) = of_small(line) {
            tenants.entry(account).or_default().push(text);
        }
    }
    let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (account, lines) in tenants {
        let views = evaluate(Some(&verdicts.definitions_of(account)), &lines, through_ms);
        for (view, columns) in COMPARED {
            expected.entry(view).or_default().extend(texts(&views.table(view, columns)));
        }
    }
    let check = |(view, columns): (&str, &[&str])| {
        let (columns, accounts) = (columns.join(", "), SMALL.join("', '"));
        let sql = format!("SELECT {columns} FROM cebe.{view} WHERE account_id IN ('{accounts}')");
        let check = Check::of(format!("contract: {view}"));
        Ok(check.rows(expected.remove(view).unwrap_or_default(), texts(&rows(&sql)?)))
    };
    COMPARED.into_iter().map(check).collect()
}

/// A record of a small tenant, with its account.
fn of_small(line: &Line) -> Option<(&'static str, String)> {
    let text = String::from_utf8(line.payload.clone()).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    let account = SMALL.into_iter().find(|account| value["account_id"] == **account)?;
    Some((account, text))
}

fn texts(rows: &[Value]) -> Vec<String> {
    rows.iter().map(Value::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The checks of one event, as if ClickHouse held it and `extra` identities.
    fn compare(early: &[Place], extra: &[Value]) -> Vec<[u64; 2]> {
        let t_ms = 1_700_000_000_000;
        let event = json!({"event_name": "customer.updated", "schema_version": 1,
            "source_module": "cdp", "idempotency_key": "k", "account_id": SMALL[1],
            "qontak_customer_id": "1", "occurred_at": t_ms});
        let line = Line { place: place(), t_ms, payload: event.to_string().into_bytes() };
        let rows = |sql: &str| {
            let mut rows = Vec::new();
            if sql.contains("FROM cebe.events") {
                rows.push(json!([SMALL[1], "cdp", "k"]));
            } else if sql.contains("FROM cebe.identities") {
                rows.push(json!([SMALL[1], "1", "1"]));
                rows.extend_from_slice(extra);
            }
            Ok(rows)
        };
        let early = early.iter().cloned().collect();
        let checks = answers(&[line], &early, &Verdicts::new(), t_ms, rows).unwrap();
        checks.iter().map(|check| [check.lost, check.invented]).collect()
    }

    fn place() -> Place {
        ("cebe.events.cdp".to_owned(), 0, 0)
    }

    #[test]
    fn what_the_contract_does_not_give_is_seen() {
        assert_eq!(compare(&[], &[]), [[0; 2]; 4]);
        let other = json!([SMALL[1], "2", "1"]);
        assert_eq!(compare(&[], &[other]), [[0, 0], [0, 1], [0, 0], [0, 0]]);
    }

    #[test]
    fn a_record_that_came_early_gives_nothing() {
        assert_eq!(compare(&[place()], &[]), [[0, 1], [0, 1], [0, 0], [0, 0]]);
    }
}
