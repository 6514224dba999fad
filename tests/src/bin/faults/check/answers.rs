//! Views of the small tenant against the contract, evaluated naively over its raw records.

use cebe_tests::compare::COMPARED;
use cebe_tests::oracle::{Verdicts, evaluate};
use serde_json::Value;

use super::Check;
use super::bound::Line;
use crate::load::SMALL;

/// `verdicts` knows what is in force at the end; `rows` asks ClickHouse, which is complete through
/// `through_ms`.
pub fn answers(
    lines: &[Line],
    verdicts: &Verdicts,
    through_ms: i64,
    rows: impl Fn(&str) -> anyhow::Result<Vec<Value>>,
) -> anyhow::Result<Vec<Check>> {
    let of_small = |line: &Line| {
        let text = String::from_utf8(line.payload.clone()).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        (value["account_id"] == SMALL).then_some(text)
    };
    let mine: Vec<String> = lines.iter().filter_map(of_small).collect();
    let views = evaluate(Some(&verdicts.definitions_of(SMALL)), &mine, through_ms);
    let check = |(view, columns): (&str, &[&str])| {
        let columns_sql = columns.join(", ");
        let sql = format!("SELECT {columns_sql} FROM cebe.{view} WHERE account_id = '{SMALL}'");
        let found = rows(&sql)?;
        let expected = views.table(view, columns);
        let check = Check::of(format!("contract: {view} of {SMALL}"));
        Ok(check.rows(texts(&expected), texts(&found)))
    };
    COMPARED.into_iter().map(check).collect()
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
            "source_module": "cdp", "idempotency_key": "k", "account_id": SMALL,
            "qontak_customer_id": "1", "occurred_at": t_ms});
        let place = ("cebe.events.cdp".to_owned(), 0, 0);
        let line = Line { place, t_ms, payload: event.to_string().into_bytes() };
        let compare = |extra: bool| {
            let rows = |sql: &str| {
                let mut rows = Vec::new();
                if sql.contains("FROM cebe.events") {
                    rows.push(json!([SMALL, "cdp", "k"]));
                } else if sql.contains("FROM cebe.identities") {
                    rows.push(json!([SMALL, "1", "1"]));
                    rows.extend(extra.then(|| json!([SMALL, "2", "1"])));
                }
                Ok(rows)
            };
            answers(std::slice::from_ref(&line), &Verdicts::new(), t_ms, rows).unwrap()
        };
        assert!(compare(false).iter().all(Check::is_clean), "{:?}", compare(false));
        assert_eq!(compare(true).iter().map(|check| check.invented).sum::<u64>(), 1);
    }
}
