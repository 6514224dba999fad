//! The contract, evaluated naively: what every view holds after a file of events, recomputed from
//! the raw lines at each logical time by brute force. It reads the schema files and shares no code
//! with what it checks.
//!
//! * `value`: times, durations and identifiers as the contract reads them (product §9.1, §9.2).
//! * `control`: flags, definitions and settings in force.
//! * `judge`: verdicts and dedup. `verdicts`: the same for one record after the other.
//! * `people`: what survives erasures, and who is who.
//! * `clause`, `metric`: segments and rates of one person.
//! * `history`: changes between neighbouring answers, with their causes.
//! * `views`: the rows.
//! * `differences`: the files of `cebe eval` against these.

mod clause;
mod control;
mod differences;
mod history;
mod judge;
mod metric;
mod people;
mod value;
mod verdicts;
mod views;

use std::collections::BTreeSet;

use serde_json::Value;

use control::Control;
pub use differences::differences;
use history::History;
use judge::{Judge, Outcome};
pub use verdicts::{Verdict, Verdicts};
pub use views::Views;

/// Everything that is known at one logical time.
#[derive(Clone, Debug, Default)]
struct State {
    /// Accepted, in order of arrival.
    events: Vec<judge::Event>,
    /// In force.
    control: Control,
}

/// The views after `lines`, in order of arrival, as of `at` (epoch milliseconds). `definitions` is
/// in force from the beginning.
pub fn evaluate(definitions: Option<&Value>, lines: &[String], at: i64) -> Views {
    let mut state = State { control: Control::new(definitions), ..State::default() };
    let mut judge = Judge::default();
    let mut history = History::default();
    let arrived = arrivals(lines, at);
    let times: BTreeSet<i64> = arrived.iter().copied().filter(|t| *t <= at).collect();
    for t in times {
        let before = state.clone();
        let mine: Vec<_> = (0..lines.len()).filter(|line| arrived[*line] == t).collect();
        for line in &mine {
            if let Some(record) = control::record(&lines[*line]) {
                state.control.apply(&record);
            }
        }
        for line in mine {
            if let Outcome::Accepted(event) = judge.take(line, &lines[line], t, &state.control) {
                state.events.push(*event);
            }
        }
        history.pass(&before, t - 1);
        history.arrive(&before, &state, t);
    }
    history.pass(&state, at);
    Views::new(&state, &history, &judge)
}

/// The arrival of each line: its `received_at`, or that of the line before.
fn arrivals(lines: &[String], at: i64) -> Vec<i64> {
    let own =
        |line: &String| value::time(serde_json::from_str::<Value>(line).ok()?.get("received_at")?);
    let own: Vec<_> = lines.iter().map(own).collect();
    let mut last = own.iter().flatten().next().copied().unwrap_or(at);
    own.into_iter()
        .map(|own| {
            last = own.unwrap_or(last);
            last
        })
        .collect()
}
