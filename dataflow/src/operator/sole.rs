//! Whose the events are that name identifiers and no customer (product §4).

use cebe_schemas::id::Subject;
use differential_dataflow::VecCollection;

use super::sharded::Sharded;
use super::{by_time, route};

/// From (person, seeker), once for each customer of the person that was found, to (seeker, person)
/// where that is the only person.
pub fn sole<'s>(
    found: VecCollection<'s, u64, (Subject, Subject)>,
) -> VecCollection<'s, u64, (Subject, Subject)> {
    let mut seekers: Sharded<Subject, Vec<(Subject, isize)>> = Sharded::default();
    by_time(
        found,
        "Sole",
        |(_, seeker)| route(seeker),
        move |mut rows, emit| {
            rows.sort_unstable_by_key(|((_, seeker), _)| *seeker);
            for same in rows.chunk_by(|a, b| a.0.1 == b.0.1) {
                let seeker = same[0].0.1;
                let shard = seekers.of(&seeker);
                let persons = shard.entry(seeker).or_default();
                let before = only(persons);
                for ((person, _), diff) in same {
                    match persons.iter_mut().find(|(held, _)| held == person) {
                        Some((_, count)) => *count += diff,
                        None => persons.push((*person, *diff)),
                    }
                }
                persons.retain(|(_, count)| *count != 0);
                let after = only(persons);
                if before != after {
                    before.into_iter().for_each(|person| emit((seeker, person), -1));
                    after.into_iter().for_each(|person| emit((seeker, person), 1));
                }
                if persons.is_empty() {
                    shard.remove(&seeker);
                }
            }
        },
    )
}

fn only(persons: &[(Subject, isize)]) -> Option<Subject> {
    match persons {
        [(person, _)] => Some(*person),
        _ => None,
    }
}
