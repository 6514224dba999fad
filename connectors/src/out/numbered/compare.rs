//! Whether a replay publishes what is out.

use std::collections::BTreeMap;

use cebe_schemas::row::{Progress, ProgressEntry};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;

/// A replayed tick differs from what was published.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "replay differs at T {} (binding {binding}), {where_}: published {published}, now {now}. \
     Nothing more is published: run the version that wrote it, or rebuild the outputs",
    format_rfc3339(*t_ms)
)]
pub struct Difference {
    /// The T of the tick.
    pub t_ms: Millis,
    /// The number of the binding.
    pub binding: u64,
    /// View and partition, or `the tick`.
    pub where_: String,
    /// What was published.
    pub published: String,
    /// What the replay gives.
    pub now: String,
}

/// Compares a replayed tick with what was published. The generation does not matter: it is the
/// binding's, and part of no row.
///
/// # Errors
/// The first difference.
pub fn compare(published: &Progress, now: &Progress) -> Result<(), Box<Difference>> {
    let difference = |where_: String, before: String, after: String| {
        Err(Box::new(Difference {
            t_ms: now.through,
            binding: now.binding,
            where_,
            published: before,
            now: after,
        }))
    };
    if (published.binding, published.through) != (now.binding, now.through) {
        let tick = |p: &Progress| format!("binding {} at {}", p.binding, format_rfc3339(p.through));
        return difference("the tick".to_owned(), tick(published), tick(now));
    }
    let index = |progress: &Progress| -> BTreeMap<(View, u32), String> {
        let entry = |e: &ProgressEntry| {
            ((e.view, e.partition), format!("{} records with hash {}", e.count, e.hash))
        };
        progress.entries.iter().map(entry).collect()
    };
    let (before, after) = (index(published), index(now));
    for place in before.keys().chain(after.keys()) {
        let (b, a) = (before.get(place), after.get(place));
        if a != b {
            let text = |side: Option<&String>| side.map_or("nothing".to_owned(), String::clone);
            let where_ = format!("view {} partition {}", place.0.name(), place.1);
            return difference(where_, text(b), text(a));
        }
    }
    Ok(())
}
