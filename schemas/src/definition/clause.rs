//! Clauses: who belongs to a segment.

use std::sync::Arc;

use super::predicate::Test;
use super::selector::Selector;
use crate::time::Millis;

/// One clause of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Each of them; true if there is none.
    All(Vec<Clause>),
    /// One of them; false if there is none.
    Any(Vec<Clause>),
    /// Not so.
    Not(Box<Clause>),
    /// An attribute of the profile passes a test.
    Attribute {
        /// Which attribute.
        name: Arc<str>,
        /// What it has to be.
        test: Test,
    },
    /// Enough events, and not too many.
    Did(Did),
    /// Membership of another segment: asserted, or by its definition.
    InSegment {
        /// Which segment of the account.
        segment_id: Arc<str>,
        /// Its definition, itself expanded; none: there is none, and only assertions count.
        defined: Option<Arc<Clause>>,
    },
}

/// A number of events, each of which counts from some time until some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Did {
    /// Which events are counted.
    pub event: Selector,
    /// How many there must be.
    pub at_least: u32,
    /// How many there may be.
    pub at_most: u32,
    /// An event at `t` counts while `now − within_ms < t ≤ now`; none: from `t` for ever.
    pub within_ms: Option<Millis>,
    /// What has to follow it before it counts.
    pub then: Option<Then>,
}

/// What has to follow an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then {
    /// What follows: strictly later, up to `within_ms` later, both ends of the same group if
    /// `same_group`.
    pub event: Selector,
    /// How much later at most.
    pub within_ms: Option<Millis>,
    /// Both events name the same group; a first one that names none is not counted.
    pub same_group: bool,
    /// None may follow: the first counts once `within_ms` is over, from `t + within_ms + 1`. Without
    /// `within_ms` that never comes.
    pub is_missing: bool,
}

impl Clause {
    /// Did `event` at least `at_least` times, within the last `within_ms` if given.
    pub fn did(event: impl Into<Selector>, at_least: u32, within_ms: Option<Millis>) -> Clause {
        let event = event.into();
        Clause::Did(Did { event, at_least, at_most: u32::MAX, within_ms, then: None })
    }

    /// The clause with each leaf, whatever is neither `All`, `Any` nor `Not`, replaced.
    pub(crate) fn map_leaves<E>(
        &self,
        leaf: &mut impl FnMut(&Clause) -> Result<Clause, E>,
    ) -> Result<Clause, E> {
        Ok(match self {
            Clause::All(all) => {
                Clause::All(all.iter().map(|one| one.map_leaves(leaf)).collect::<Result<_, _>>()?)
            }
            Clause::Any(any) => {
                Clause::Any(any.iter().map(|one| one.map_leaves(leaf)).collect::<Result<_, _>>()?)
            }
            Clause::Not(inner) => Clause::Not(Box::new(inner.map_leaves(leaf)?)),
            _ => leaf(self)?,
        })
    }

    /// Calls `visit` with every selector in it, those of expanded segments included.
    pub fn selectors<'c>(&'c self, visit: &mut impl FnMut(&'c Selector)) {
        match self {
            Clause::All(of) | Clause::Any(of) => of.iter().for_each(|one| one.selectors(visit)),
            Clause::Not(inner) => inner.selectors(visit),
            Clause::Did(did) => {
                visit(&did.event);
                if let Some(then) = &did.then {
                    visit(&then.event);
                }
            }
            Clause::InSegment { defined: Some(defined), .. } => defined.selectors(visit),
            Clause::InSegment { .. } | Clause::Attribute { .. } => {}
        }
    }
}
