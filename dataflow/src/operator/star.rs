//! From shared identifiers to links between customers.

use std::sync::Arc;

use cebe_schemas::change::Quarantine;
use cebe_schemas::fact::{Identifier, IdentifierValue, Linking};
use cebe_schemas::id::{Subject, Token};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;

use super::persons::Context;
use super::sharded::Sharded;
use super::{Shared, by_time_with, difference, route};
use crate::row::Quarantined;

/// What the holders of an identifier are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Star {
    /// Two of them are linked.
    Link(Subject, Subject),
    /// The second, who names the identifier and no customer, is the person of the first, who holds it.
    Found(Subject, Subject),
    /// One of them is kept from being linked, for there are too many.
    Quarantined(Quarantined),
}

/// What somebody has to do with an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A customer holds it.
    Holds,
    /// Events without a customer id name it.
    Seeks,
}

/// Who holds one identifier, and who names it; each sorted, with how often.
pub struct Holders {
    value: IdentifierValue,
    customers: Vec<(Subject, isize)>,
    seekers: Vec<(Subject, isize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Blocked,
    TooMany,
    Links,
}

impl Holders {
    fn rule(&self, linking: &Linking) -> Rule {
        if linking.blocked.contains(&self.value) {
            Rule::Blocked
        } else if self.customers.len() > linking.holders_max {
            Rule::TooMany
        } else {
            Rule::Links
        }
    }

    /// The customers that are one person by this identifier, unless it identifies nobody.
    pub fn linked(&self, linking: &Linking) -> impl Iterator<Item = Subject> {
        let links = self.rule(linking) == Rule::Links;
        self.customers.iter().filter(move |_| links).map(|(subject, _)| *subject)
    }

    fn stars(&self, token: Token, linking: &Linking) -> Vec<Star> {
        let subjects = self.customers.iter().map(|(subject, _)| *subject);
        match (self.rule(linking), self.customers.first()) {
            (Rule::Blocked, _) | (_, None) => Vec::new(),
            (Rule::TooMany, _) => subjects.map(|subject| quarantined(token, subject)).collect(),
            (Rule::Links, Some((least, _))) => {
                let found = subjects.clone().flat_map(|customer| {
                    let found =
                        move |(seeker, _): &(Subject, isize)| Star::Found(customer, *seeker);
                    self.seekers.iter().map(found)
                });
                subjects.skip(1).map(|other| Star::Link(other, *least)).chain(found).collect()
            }
        }
    }

    /// Whether the customer or seeker came or went, if it did.
    fn count(&mut self, role: Role, subject: Subject, diff: isize) -> Option<isize> {
        let subjects = match role {
            Role::Holds => &mut self.customers,
            Role::Seeks => &mut self.seekers,
        };
        match subjects.binary_search_by_key(&subject, |(subject, _)| *subject) {
            Err(at) => {
                subjects.reserve_exact(usize::from(subjects.is_empty()));
                subjects.insert(at, (subject, diff));
                Some(1)
            }
            Ok(at) => {
                subjects[at].1 += diff;
                (subjects[at].1 == 0).then(|| {
                    subjects.remove(at);
                    -1
                })
            }
        }
    }
}

fn quarantined(token: Token, subject: Subject) -> Star {
    let (reason, token) = (Quarantine::Holders, Some(token));
    Star::Quarantined(Quarantined { reason, token, cluster: None, subject })
}

/// A star for each identifier: every other holder is linked to the least one. An identifier with
/// more holders than may be, or a blocked one, links nobody (product §4). Counting holders here,
/// instead of in a `reduce`, keeps an update of such a hub from reading all of it again.
pub fn stars<'s>(
    held: VecCollection<'s, u64, (Identifier, Role, Subject)>,
    contexts: StreamVec<'s, u64, Arc<Context>>,
    state: Shared<Sharded<Token, Holders>>,
) -> VecCollection<'s, u64, Star> {
    let mut linking = Arc::<Linking>::default();
    by_time_with(
        held,
        contexts,
        "Stars",
        |(identifier, ..)| route(&identifier.token),
        move |mut rows, context, emit| {
            let mut tokens = state.borrow_mut();
            if let Some(new) = context.and_then(|context| context.linking.clone()) {
                for (token, holders) in tokens.iter_mut() {
                    let (before, after) =
                        (holders.stars(*token, &linking), holders.stars(*token, &new));
                    difference(&before, &after, |star, diff| emit(*star, diff));
                }
                linking = new;
            }
            differential_dataflow::consolidation::consolidate(&mut rows);
            for same in rows.chunk_by(|a, b| a.0.0.token == b.0.0.token) {
                let Identifier { token, value } = same[0].0.0;
                let shard = tokens.of(&token);
                let holders = shard.entry(token).or_insert_with(|| Holders {
                    value,
                    customers: Vec::new(),
                    seekers: Vec::new(),
                });
                let hub = holders.rule(&linking) == Rule::TooMany;
                let before = if hub { Vec::new() } else { holders.stars(token, &linking) };
                let mut moved = Vec::new();
                for ((_, role, subject), diff) in same {
                    let turn = holders.count(*role, *subject, *diff);
                    let turn = turn.filter(|_| *role == Role::Holds);
                    moved.extend(turn.map(|diff| (*subject, diff)));
                }
                if hub && holders.rule(&linking) == Rule::TooMany {
                    moved.iter().for_each(|(subject, d)| emit(quarantined(token, *subject), *d));
                } else {
                    let before = if hub { restored(holders, &moved, token) } else { before };
                    let after = holders.stars(token, &linking);
                    difference(&before, &after, |star, diff| emit(*star, diff));
                }
                if holders.customers.is_empty() && holders.seekers.is_empty() {
                    shard.remove(&token);
                }
            }
        },
    )
}

/// What a hub was before customers `moved`, so that it is read as a whole only when it ends.
fn restored(holders: &Holders, moved: &[(Subject, isize)], token: Token) -> Vec<Star> {
    let came = |subject: &Subject| moved.contains(&(*subject, 1));
    let held = holders.customers.iter().map(|(subject, _)| *subject).filter(|s| !came(s));
    let gone = moved.iter().filter(|(_, diff)| *diff < 0).map(|(subject, _)| *subject);
    let mut subjects: Vec<Subject> = held.chain(gone).collect();
    subjects.sort_unstable();
    subjects.into_iter().map(|subject| quarantined(token, subject)).collect()
}
