//! Named points at which the process can be made to die, for tests of faults and for nothing else.
//!
//! `CEBE_FAULT=mid_insert:3` ends the process at the third passing of the point `mid_insert`, the
//! way a crash does: nothing is flushed and no destructor runs. `CEBE_FAULT=mid_insert` means the
//! first passing. Without the variable a point costs one atomic load.
//!
//! A point is one line where the code is between two effects, named in `snake_case` after what has
//! happened or what is about to. `cargo faults` knows all of them (docs/guides/faults.md).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms a point.
pub const VARIABLE: &str = "CEBE_FAULT";

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// `CEBE_FAULT=older_logic`: this process is to pass for the version of CEBE before, whose logic is another.
pub fn is_older_logic() -> bool {
    ARMED.get_or_init(armed).as_ref().is_some_and(|armed| armed.name == "older_logic")
}

/// The process dies here if this passing of the point is the one that is armed.
pub fn point(name: &str) {
    point_after(name, || {});
}

/// As [`point`], but lets `settle` finish first what would still be on its way at that moment, such
/// as records in a client's queue. `settle` runs only in a process that is about to die.
pub fn point_after(name: &str, settle: impl FnOnce()) {
    let Some(armed) = ARMED.get_or_init(armed) else { return };
    if armed.is_due(name) {
        settle();
        tracing::error!(point = name, "{VARIABLE}: this process dies here");
        std::process::abort();
    }
}

fn armed() -> Option<Armed> {
    let text = std::env::var(VARIABLE).ok()?;
    let armed = Armed::parse(&text);
    if armed.is_none() {
        tracing::error!("{VARIABLE} is {text:?}: give name:count; no fault is armed");
    }
    armed
}

/// The passing of a point that ends the process.
struct Armed {
    name: String,
    count: u64,
    passed: AtomicU64,
}

impl Armed {
    fn parse(text: &str) -> Option<Armed> {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let count = count.parse().ok().filter(|count| *count > 0 && !name.is_empty())?;
        Some(Armed { name: name.to_owned(), count, passed: AtomicU64::new(0) })
    }

    fn is_due(&self, name: &str) -> bool {
        self.name == name && self.passed.fetch_add(1, Ordering::Relaxed) + 1 == self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_passing_is_due_and_no_other() {
        let armed = Armed::parse("after_bind:3").unwrap();
        let names = ["after_bind", "mid_insert", "after_bind", "after_bind", "after_bind"];
        assert_eq!(names.map(|name| armed.is_due(name)), [false, false, false, true, false]);
    }

    #[test]
    fn a_name_alone_is_the_first_passing() {
        assert!(Armed::parse("after_bind").unwrap().is_due("after_bind"));
    }

    #[test]
    fn what_is_no_name_and_count_arms_nothing() {
        for text in ["", ":1", "after_bind:0", "after_bind:x", "after_bind:-1"] {
            assert!(Armed::parse(text).is_none(), "{text}");
        }
    }
}
