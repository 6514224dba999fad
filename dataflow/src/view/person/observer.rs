//! Whoever watches a person being judged.

use cebe_schemas::definition::Clause;
use cebe_schemas::fact::EventFact;
use cebe_schemas::time::Millis;

/// When an event counts: from the first on, and until the second comes.
pub type Period = (Millis, Option<Millis>);

/// Is told, clause by clause, what a person is judged by.
pub trait Observer {
    /// Whether clauses are judged that decide nothing any more.
    const WHOLE: bool;
    /// What follows until [`Observer::end`] is about this clause, and clauses in it.
    fn begin(&mut self);
    /// An event is looked at.
    fn event(&mut self, event: &EventFact);
    /// That event was followed by another.
    fn follower(&mut self, at: Millis);
    /// That event counts from then on, and until then.
    fn period(&mut self, period: Period);
    /// Whether the clause is true, and until when that stays so.
    fn end(&mut self, clause: &Clause, holds: bool, until: Option<Millis>);
}

/// Nobody.
impl Observer for () {
    const WHOLE: bool = false;
    fn begin(&mut self) {}
    fn event(&mut self, _: &EventFact) {}
    fn follower(&mut self, _: Millis) {}
    fn period(&mut self, _: Period) {}
    fn end(&mut self, _: &Clause, _: bool, _: Option<Millis>) {}
}
