//! What the tables say of the demo.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Value, json};

use crate::Services;

/// Counts over all accounts.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub records_read: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub ledger_difference: u64,
    pub people: u64,
    /// Customer ids that are another person's.
    pub merges: u64,
    /// Members of the demo's segment now.
    pub members: u64,
    /// By reason code.
    pub reasons: BTreeMap<String, u64>,
    /// The newest broadcasts: account, broadcast, numerator, denominator.
    pub rates: Vec<(String, String, u64, u64)>,
    /// Rows of each view.
    pub views: BTreeMap<String, u64>,
}

const VIEWS: [&str; 7] = [
    "events",
    "identities",
    "customers",
    "segment_members",
    "segment_changes",
    "metric_values",
    "rejected_events",
];

impl Report {
    /// Asks ClickHouse; all zero while there is nothing.
    pub fn read(services: &Services) -> anyhow::Result<Report> {
        let ledger = numbers(
            services,
            "SELECT sum(records_read), sum(accepted), sum(duplicate), sum(rejected), sum(skipped), \
             sum(abs(difference)) FROM cebe.ingest_ledger",
        )?;
        let people = numbers(
            services,
            "SELECT uniqExact(account_id, customer_id), countIf(qontak_customer_id != customer_id) \
             FROM cebe.identities",
        )?;
        let rates = rows(
            services,
            "SELECT account_id, group_key, numerator, denominator FROM cebe.metric_values \
             WHERE metric = 'reply_rate' ORDER BY length(group_key) DESC, group_key DESC, account_id \
             LIMIT 6",
        )?;
        let reasons =
            rows(services, "SELECT reason, count() FROM cebe.rejected_events GROUP BY reason")?;
        let counts: Vec<String> =
            VIEWS.iter().map(|v| format!("(SELECT count() FROM cebe.{v})")).collect();
        let counts = numbers(services, &format!("SELECT {}", counts.join(", ")))?;
        let views: BTreeMap<_, _> =
            VIEWS.iter().map(|v| v.to_string()).zip(counts.iter().copied()).collect();
        let at = |numbers: &[u64], i: usize| numbers.get(i).copied().unwrap_or_default();
        Ok(Report {
            records_read: at(&ledger, 0),
            accepted: at(&ledger, 1),
            duplicate: at(&ledger, 2),
            rejected: at(&ledger, 3),
            skipped: at(&ledger, 4),
            ledger_difference: at(&ledger, 5),
            people: at(&people, 0),
            merges: at(&people, 1),
            members: views.get("segment_members").copied().unwrap_or_default(),
            reasons: reasons
                .iter()
                .filter_map(|r| Some((r.first()?.clone(), r.get(1)?.parse().ok()?)))
                .collect(),
            rates: rates
                .iter()
                .filter_map(|r| {
                    let [account, group, n, d] = r.as_slice() else { return None };
                    Some((account.clone(), group.clone(), n.parse().ok()?, d.parse().ok()?))
                })
                .collect(),
            views,
        })
    }

    /// This run's share of the verdicts: what earlier runs left on the same services goes.
    pub fn since(mut self, before: &Report) -> Report {
        self.records_read -= before.records_read;
        self.accepted -= before.accepted;
        self.duplicate -= before.duplicate;
        self.rejected -= before.rejected;
        self.skipped -= before.skipped;
        self.people -= before.people;
        self.merges -= before.merges.min(self.merges);
        for (reason, n) in &before.reasons {
            self.reasons.entry(reason.clone()).and_modify(|now| *now -= n);
        }
        self
    }

    /// For machines.
    pub fn summary(&self, latencies_ms: &[u64], published: u64) -> Value {
        json!({
            "published": published,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "rejected": self.rejected,
            "skipped": self.skipped,
            "ledger_difference": self.ledger_difference,
            "propagation_ms": {
                "p50": quantile(latencies_ms, 0.5),
                "p99": quantile(latencies_ms, 0.99),
                "max": latencies_ms.last(),
                "events": latencies_ms.len(),
            },
            "people": self.people,
            "merges": self.merges,
            "rejected_by_reason": self.reasons,
            "rows": self.views,
        })
    }
}

/// The value that a share `q` of `sorted` does not exceed.
pub fn quantile(sorted: &[u64], q: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

fn rows(services: &Services, sql: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let text = services.query(sql)?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_string).collect()).collect())
}

fn numbers(services: &Services, sql: &str) -> anyhow::Result<Vec<u64>> {
    let rows = rows(services, sql)?;
    let row = rows.first().with_context(|| format!("{sql}: no row"))?;
    row.iter().map(|n| n.parse().with_context(|| format!("{sql}: {n:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_of_the_list() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&sorted, 0.5), Some(50));
        assert_eq!(quantile(&sorted, 0.99), Some(99));
        assert_eq!(quantile(&[7], 0.99), Some(7));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
