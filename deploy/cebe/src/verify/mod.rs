//! Everything that is out, compared with what the bound input gives when it is evaluated again.
//!
//! * [`export`]: the bound input, as a file.
//! * [`expect`]: that file evaluated: what every view and every feed has to hold.
//! * [`lines`]: the two compared, line by line, by key. Pure.
//! * [`feeds`]: `cebe.out.*` against that. [`views`]: ClickHouse against that.

mod checks;
mod erasures;
pub mod expect;
pub mod export;
pub mod feeds;
pub mod lines;
pub mod views;

use serde::Serialize;

/// How one view or one feed compares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What was compared, such as `feed segments`.
    pub name: String,
    /// Rows on either side.
    pub rows: u64,
    /// Those that are missing, too much, or not equal.
    pub differences: u64,
    /// The first of them.
    pub first: Option<Difference>,
    /// What was not compared, and why.
    pub note: Option<String>,
}

/// One row; none: it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What the bound input gives.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl Comparison {
    /// Nothing compared so far.
    pub fn of(name: impl Into<String>) -> Comparison {
        Comparison { name: name.into(), ..Comparison::default() }
    }

    /// Counts a row that is wrong.
    pub fn differs(&mut self, expected: Option<String>, found: Option<String>) {
        self.differences += 1;
        self.first.get_or_insert(Difference { expected, found });
    }
}
