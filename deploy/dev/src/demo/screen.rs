//! The report for people: redrawn in place on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::report::{Report, quantile};
use crate::Services;

/// Where the report is shown.
pub struct Screen {
    shown: bool,
    terminal: bool,
    /// Lines that the last report took on the terminal.
    drawn: usize,
    ticks: u32,
}

impl Screen {
    /// A screen on standard output; `shown = false` shows nothing.
    pub fn new(shown: bool) -> Screen {
        Screen { shown, terminal: std::io::stdout().is_terminal(), drawn: 0, ticks: 0 }
    }

    /// Whether anybody looks.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// Shows the report.
    pub fn show(&mut self, report: &Report, latencies_ms: &[u64], elapsed: Duration) {
        self.ticks += 1;
        let lines = lines(report, latencies_ms, elapsed);
        let mut out = std::io::stdout().lock();
        let text = if self.terminal {
            let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
            self.drawn = lines.len();
            lines.iter().fold(up, |text, line| text + "\x1b[2K" + line + "\n")
        } else if self.ticks % 10 == 1 {
            lines.join("\n") + "\n\n"
        } else {
            return;
        };
        // Nobody to show it to is no reason to end.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// What to try next.
    pub fn farewell(&self, services: &Services) {
        println!(
            "\nThe services go on running (stop them: cargo run --bin cebe-dev -- down). Try:\n\n  \
             curl -s '{url}/?user={user}&password={password}' --data-binary \\\n    \"SELECT * FROM \
             cebe.metric_values ORDER BY denominator DESC LIMIT 5 FORMAT PrettyCompact\"\n\n  SELECT \
             * FROM cebe.segment_changes ORDER BY logical_time DESC LIMIT 10\n  SELECT customer_id, \
             groupArray(qontak_customer_id) FROM cebe.identities\n    GROUP BY account_id, \
             customer_id HAVING count() > 1 LIMIT 10\n  SELECT * FROM cebe.propagation ORDER BY \
             minute DESC",
            url = services.clickhouse_url,
            user = services.clickhouse_reader,
            password = services.clickhouse_reader_password,
        );
    }
}

fn lines(report: &Report, latencies_ms: &[u64], elapsed: Duration) -> Vec<String> {
    let per_second = report.records_read as f64 / elapsed.as_secs_f64().max(0.001);
    let shown = |q| quantile(latencies_ms, q).map_or("-".into(), |ms| format!("{ms} ms"));
    let reasons: Vec<_> = report.reasons.iter().map(|(r, n)| format!("{r} {n}")).collect();
    let mut lines = vec![
        format!(
            "records      {:>9}   {per_second:.0}/s over {}s",
            report.records_read,
            elapsed.as_secs()
        ),
        format!("propagation  p50 {}, p99 {}", shown(0.5), shown(0.99)),
        format!(
            "verdicts     accepted {}, duplicate {}, rejected {}, skipped {}",
            report.accepted, report.duplicate, report.rejected, report.skipped
        ),
        format!("rejected     {}", reasons.join(", ")),
        format!("difference   {}", report.ledger_difference),
        format!(
            "people       {} of {} customer ids; {} replied within 10 s",
            report.people,
            report.people + report.merges,
            report.members
        ),
        "reply rates".into(),
    ];
    lines.extend(report.rates.iter().map(|(account, group, n, d)| {
        let percent = *n as f64 / (*d).max(1) as f64 * 100.0;
        format!("  {account:11} {group:16} {n:>6} / {d:<6} {percent:5.1} %")
    }));
    // The list grows to its full length once, so that the redrawn area never shrinks.
    while lines.len() < 13 {
        lines.push(String::new());
    }
    lines
}
