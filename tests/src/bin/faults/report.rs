//! What a run says: a line per fault, then a summary, or one JSON object.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::check::Check;

/// A fault that was carried out.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    pub at_ms: u64,
    pub fault: String,
    /// What came of it.
    pub result: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// None: a run was only checked again.
    pub seed: Option<u64>,
    pub passed: bool,
    /// Why it was given up before the checks.
    pub error: Option<String>,
    /// Processes of the engine, Kafka and ClickHouse that were killed.
    pub kills: usize,
    pub faults: Vec<Done>,
    /// Engines that ended although nobody killed them.
    pub gave_up: Vec<String>,
    /// Records that Kafka acknowledged, copies included.
    pub acknowledged: usize,
    pub records_read: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub lost: u64,
    pub doubled: u64,
    pub invented: u64,
    pub disordered: u64,
    pub checks: Vec<Check>,
    pub seconds: u64,
    /// Logs and data; none: deleted.
    pub folder: Option<PathBuf>,
}

impl Report {
    pub fn take_in(&mut self, checks: Vec<Check>, totals: [u64; 5]) {
        let sum = |of: fn(&Check) -> u64| checks.iter().map(of).sum();
        self.lost = sum(|check| check.lost);
        self.doubled = sum(|check| check.doubled);
        self.invented = sum(|check| check.invented);
        self.disordered = sum(|check| check.disordered);
        [self.records_read, self.accepted, self.duplicate, self.rejected, self.skipped] = totals;
        self.passed = checks.iter().all(Check::is_clean) && self.gave_up.is_empty();
        self.checks = checks;
    }

    /// For people.
    pub fn print(&self) {
        for check in &self.checks {
            let mark = if check.is_clean() { "ok  " } else { "FAIL" };
            println!("{mark} {:38} {:>8} compared", check.name, check.compared);
            if let Some(first) = &check.first {
                let Check { lost, doubled, invented, disordered, .. } = check;
                println!(
                    "     {lost} lost, {doubled} doubled, {invented} invented, \
                     {disordered} out of order; {first}"
                );
            }
        }
        for last_words in &self.gave_up {
            println!("FAIL an engine ended by itself: {last_words}");
        }
        if let Some(error) = &self.error {
            println!("FAIL {error}");
        }
        println!(
            "{} records read: {} accepted, {} duplicate, {} rejected, {} skipped",
            self.records_read, self.accepted, self.duplicate, self.rejected, self.skipped
        );
        let (kills, faults) = (self.kills, self.faults.len());
        let run = match self.seed {
            Some(seed) => format!("seed {seed}: {kills} kills, {faults} faults"),
            None => "checked again".to_owned(),
        };
        println!(
            "{run}, {} s: {} lost, {} doubled, {} invented, {} out of order: {}",
            self.seconds,
            self.lost,
            self.doubled,
            self.invented,
            self.disordered,
            if self.passed { "passed" } else { "FAILED" }
        );
        if let Some(folder) = &self.folder {
            println!("logs and data: {}", folder.display());
        }
    }
}

/// Lines of the faults as they happen, and how far the run is where somebody looks.
pub struct Screen {
    bar: ProgressBar,
    to_stderr: bool,
}

impl Screen {
    /// A bar hides itself where there is no terminal.
    pub fn new(length: Duration, json: bool) -> Screen {
        let bar = ProgressBar::new(length.as_secs());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}") {
            bar.set_style(style);
        }
        Screen { bar, to_stderr: json }
    }

    pub fn line(&self, line: &str) {
        self.bar.suspend(|| if self.to_stderr { eprintln!("{line}") } else { println!("{line}") });
    }

    pub fn at(&self, elapsed: Duration, doing: &str) {
        self.bar.set_position(elapsed.as_secs());
        self.bar.set_message(doing.to_owned());
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
