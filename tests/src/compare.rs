//! Tables against the oracle.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde_json::Value;

use crate::oracle::{Answers, Identities, Metrics};
use crate::system::System;

/// What the analysts' views hold for accounts that begin with `prefix`.
pub fn loaded(system: &System, prefix: &str) -> anyhow::Result<Answers> {
    let of = format!("FROM cebe.{{}} WHERE startsWith(account_id, '{prefix}')");
    let from = |view: &str| of.replace("{}", view);
    let mut answers = Answers::default();
    for row in system
        .rows(&format!("SELECT account_id, source_module, idempotency_key {}", from("events")))?
    {
        let key = (text(&row, 0), text(&row, 1), text(&row, 2));
        ensure!(answers.events.insert(key.clone()), "{key:?} is there twice");
    }
    answers.identities = system
        .rows(&format!(
            "SELECT account_id, qontak_customer_id, customer_id {}",
            from("identities")
        ))?
        .iter()
        .map(|row| ((text(row, 0), text(row, 1)), text(row, 2)))
        .collect::<Identities>();
    // The oracle knows this rate only; `cebe verify` compares the others.
    answers.metrics = system
        .rows(&format!(
            "SELECT account_id, metric, group_key, numerator, denominator {} AND metric = 'reply_rate'",
            from("metric_values")
        ))?
        .iter()
        .map(|row| ((text(row, 0), text(row, 1), text(row, 2)), (number(row, 3), number(row, 4))))
        .collect::<Metrics>();
    answers.repliers = system
        .rows(&format!(
            "SELECT account_id, customer_id {} AND segment_id = 'repliers'",
            from("segment_members")
        ))?
        .iter()
        .map(|row| (text(row, 0), text(row, 1)))
        .collect::<BTreeSet<_>>();
    Ok(answers)
}

/// The ledger and the reasons of rejection, over everything ever read.
pub fn verdicts(system: &System) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut verdicts = BTreeMap::new();
    let sums = "sum(accepted) a, sum(duplicate) b, sum(skipped) c, sum(abs(difference)) d";
    for row in system.rows(&format!("SELECT {sums} FROM cebe.ingest_ledger"))? {
        ensure!(number(&row, 3) == 0, "the ledger has a difference: {row}");
        for (at, name) in ["accepted", "duplicate", "skipped"].into_iter().enumerate() {
            verdicts.insert(name.into(), number(&row, at));
        }
    }
    let reasons = "SELECT reason, count() n FROM cebe.rejected_events GROUP BY reason";
    for row in system.rows(reasons)? {
        verdicts.insert(text(&row, 0), number(&row, 1));
    }
    verdicts.retain(|_, n| *n > 0);
    Ok(verdicts)
}

/// The first difference between the two, in words; none if they are equal.
pub fn first_difference(loaded: &Answers, expected: &Answers) -> Option<String> {
    fn sets<T: Ord + std::fmt::Debug>(
        name: &str,
        loaded: &BTreeSet<T>,
        expected: &BTreeSet<T>,
    ) -> Option<String> {
        let missing = expected.difference(loaded).next().map(|x| format!("{name}: no {x:?}"));
        missing.or_else(|| {
            loaded.difference(expected).next().map(|x| format!("{name}: {x:?} is too much"))
        })
    }
    fn rows<K: Ord + Clone, V: Ord + Clone>(map: &BTreeMap<K, V>) -> BTreeSet<(K, V)> {
        map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }
    sets("events", &loaded.events, &expected.events)
        .or_else(|| sets("identities", &rows(&loaded.identities), &rows(&expected.identities)))
        .or_else(|| sets("metrics", &rows(&loaded.metrics), &rows(&expected.metrics)))
        .or_else(|| sets("segment", &loaded.repliers, &expected.repliers))
}

fn text(row: &Value, at: usize) -> String {
    row[at].as_str().unwrap_or_default().into()
}

fn number(row: &Value, at: usize) -> u64 {
    row[at].as_u64().unwrap_or_default()
}
