//! Views of the small tenants against the contract, evaluated naively over their raw records.

use std::collections::BTreeMap;

use cebe_tests::compare::COMPARED;
use cebe_tests::oracle::{Verdicts, evaluate};
use serde_json::Value;

use super::Check;
use super::bound::Line;
use crate::load::SMALL;

/// One check for each view, over all tenants. `verdicts` knows what is in force at the end; `rows` asks
/// ClickHouse, which is complete through `through_ms`.
pub fn answers(
    lines: &[Line],
    verdicts: &Verdicts,
    through_ms: i64,
    rows: impl Fn(&str) -> anyhow::Result<Vec<Value>>,
) -> anyhow::Result<Vec<Check>> {
    let mut tenants: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in lines {
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

    #[test]
    fn what_the_contract_does_not_give_is_seen() {
        let t_ms = 1_700_000_000_000;
        let event = json!({"event_name": "customer.updated", "schema_version": 1,
            "source_module": "cdp", "idempotency_key": "k", "account_id": SMALL[1],
            "qontak_customer_id": "1", "occurred_at": t_ms});
        let place = ("cebe.events.cdp".to_owned(), 0, 0);
        let line = Line { place, t_ms, payload: event.to_string().into_bytes() };
        let compare = |extra: bool| {
            let rows = |sql: &str| {
                let mut rows = Vec::new();
                if sql.contains("FROM cebe.events") {
                    rows.push(json!([SMALL[1], "cdp", "k"]));
                } else if sql.contains("FROM cebe.identities") {
                    rows.push(json!([SMALL[1], "1", "1"]));
                    rows.extend(extra.then(|| json!([SMALL[1], "2", "1"])));
                }
                Ok(rows)
            };
            answers(std::slice::from_ref(&line), &Verdicts::new(), t_ms, rows).unwrap()
        };
        assert!(compare(false).iter().all(Check::is_clean), "{:?}", compare(false));
        assert_eq!(compare(true).iter().map(|check| check.invented).sum::<u64>(), 1);
    }
}
