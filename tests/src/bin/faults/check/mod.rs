//! What has to hold once everything is quiet.
//!
//! * [`bound`]: what came in, read from Kafka, in the order in which it was bound.
//! * [`published`]: that is what the publisher sent.
//! * [`verdicts`]: each record has the verdict of the contract, and its row in ClickHouse.
//! * [`feeds`]: order, numbers and continuity of each feed. [`folded`]: a feed, summed up, is its view.
//! * [`answers`]: views of one tenant against the contract, evaluated naively.
//!
//! None of them shares code with the product; `cebe verify`, which does, is run beside them.

pub mod answers;
pub mod bound;
pub mod feeds;
pub mod folded;
pub mod published;
pub mod verdicts;

use std::collections::BTreeMap;

use serde::Serialize;

/// What one check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    /// How many things it looked at.
    pub compared: u64,
    pub lost: u64,
    pub doubled: u64,
    pub invented: u64,
    pub disordered: u64,
    /// The first thing that is wrong.
    pub first: Option<String>,
}

impl Check {
    pub fn of(name: impl Into<String>) -> Check {
        Check { name: name.into(), ..Check::default() }
    }

    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.invented + self.disordered == 0
    }

    pub fn lost(&mut self, what: impl Into<String>) {
        self.lost += 1;
        self.note("lost", what.into());
    }

    pub fn doubled(&mut self, what: impl Into<String>) {
        self.doubled += 1;
        self.note("doubled", what.into());
    }

    pub fn invented(&mut self, what: impl Into<String>) {
        self.invented += 1;
        self.note("invented", what.into());
    }

    pub fn disordered(&mut self, what: impl Into<String>) {
        self.disordered += 1;
        self.note("out of order", what.into());
    }

    fn note(&mut self, kind: &str, what: String) {
        self.first.get_or_insert_with(|| format!("{kind}: {what}"));
    }

    /// Looks for each expected row once among those found, and for no other.
    pub fn rows(
        mut self,
        expected: impl IntoIterator<Item = String>,
        found: impl IntoIterator<Item = String>,
    ) -> Check {
        let mut left: BTreeMap<String, i64> = BTreeMap::new();
        for row in expected {
            self.compared += 1;
            *left.entry(row).or_default() += 1;
        }
        for row in found {
            match left.get_mut(&row) {
                None => self.invented(row),
                Some(count) => {
                    *count -= 1;
                    if *count < 0 {
                        self.doubled(row);
                    }
                }
            }
        }
        for (row, count) in left {
            (0..count).for_each(|_| self.lost(row.clone()));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(expected: &[&str], found: &[&str]) -> [u64; 3] {
        let texts = |rows: &[&str]| rows.iter().map(|row| row.to_string()).collect::<Vec<_>>();
        let check = Check::of("rows").rows(texts(expected), texts(found));
        assert_eq!(check.is_clean(), check.first.is_none());
        [check.lost, check.doubled, check.invented]
    }

    #[test]
    fn rows_that_are_wrong_are_counted_by_kind() {
        assert_eq!(rows(&["a", "b", "b"], &["b", "a", "b"]), [0, 0, 0]);
        assert_eq!(rows(&["a", "b"], &["a"]), [1, 0, 0]);
        assert_eq!(rows(&["a"], &["a", "a"]), [0, 1, 0]);
        assert_eq!(rows(&["a"], &["a", "c"]), [0, 0, 1]);
        assert_eq!(rows(&["a"], &[]), [1, 0, 0]);
    }
}
