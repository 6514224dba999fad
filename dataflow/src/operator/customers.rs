//! Of all that is said of each customer, what counts: the last statement about each thing (product
/// §4), unless it was erased (§9.2).
use std::cmp::Ordering;
use std::sync::Arc;

use cebe_schemas::fact::Identifier;
use cebe_schemas::id::Subject;
use cebe_schemas::time::Millis;
use differential_dataflow::VecCollection;

use super::sharded::Sharded;
use super::{Shared, by_time, route};
use crate::row::{Fact, Member, Said, Statement};

impl Statement {
    /// When the event happened that says so.
    fn occurred_at_ms(&self) -> Millis {
        match self {
            Statement::Attribute(fact) => fact.stamp.occurred_at_ms,
            Statement::Assertion(fact) => fact.stamp.occurred_at_ms,
            Statement::Link(fact) => fact.stamp.occurred_at_ms,
            Statement::Identifier(said) => said.1,
            Statement::Mention(said) => said.2,
            Statement::AliasTeam(_, at) => *at,
        }
    }

    /// Orders things that statements are about; equal: about the same.
    fn cmp_thing(&self, other: &Statement) -> Ordering {
        use Statement::*;
        match (self, other) {
            (Attribute(a), Attribute(b)) => a.name.cmp(&b.name),
            (Assertion(a), Assertion(b)) => a.segment.cmp(&b.segment),
            (Identifier(a), Identifier(b)) => a.0.cmp(&b.0),
            (AliasTeam(a, at), AliasTeam(b, bt)) => (a, at).cmp(&(b, bt)),
            (Link(a), Link(b)) => a.pair.cmp(&b.pair),
            (Mention(a), Mention(b)) => (a.0, a.1.subject).cmp(&(b.0, b.1.subject)),
            (a, b) => a.kind().cmp(&b.kind()),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Statement::Attribute(_) => 0,
            Statement::Assertion(_) => 1,
            Statement::Identifier(_) => 2,
            Statement::Link(_) => 3,
            Statement::Mention(_) => 4,
            Statement::AliasTeam(..) => 5,
        }
    }

    /// Whether this one counts, and not `last`.
    fn overrules(&self, last: &Statement) -> bool {
        match (self, last) {
            (Statement::Attribute(a), Statement::Attribute(b)) => a.stamp > b.stamp,
            (Statement::Assertion(a), Statement::Assertion(b)) => a.stamp > b.stamp,
            (Statement::Link(a), Statement::Link(b)) => a.stamp > b.stamp,
            (a, b) => a.occurred_at_ms() > b.occurred_at_ms(),
        }
    }

    /// Whether it says the same as any other about the same thing, only of another time.
    fn is_repetition(&self) -> bool {
        matches!(self, Statement::Identifier(_) | Statement::Mention(_))
    }
}

/// What follows from a statement while it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    /// The person of the customer has this.
    Fact(Fact),
    /// The customer exists.
    Member(Arc<Member>),
    /// The customer holds the identifier.
    Holds(Identifier),
    /// One of the two says that they are linked.
    Linked((Subject, Subject)),
    /// One of the two says that an event of the first names the second.
    Mention(Subject, Arc<Member>),
}

impl Statement {
    fn counts(&self) -> [Option<Counts>; 2] {
        match self {
            Statement::Attribute(fact) => [
                Some(Counts::Fact(Fact::Attribute(fact.clone()))),
                fact.identifier.map(Counts::Holds),
            ],
            Statement::Assertion(fact) => [Some(Counts::Fact(Fact::Assertion(fact.clone()))), None],
            Statement::Identifier(said) => [Some(Counts::Holds(said.0)), None],
            Statement::AliasTeam(team, at) => {
                let said = Box::new((team.clone(), *at));
                [Some(Counts::Fact(Fact::AliasTeam(said))), None]
            }
            Statement::Link(fact) => [fact.linked.then_some(Counts::Linked(fact.pair)), None],
            Statement::Mention(said) => [Some(Counts::Mention(said.0, said.1.clone())), None],
        }
    }
}

/// What counts of one customer, all of it later than `erased_until_ms`.
pub struct Customer {
    /// Who it is, and when its last event happened.
    known: Option<(Arc<Member>, Millis)>,
    /// Who published its events, each with the last one.
    teams: Vec<(Arc<str>, Millis)>,
    /// Everything else, sorted by what it is about.
    pub statements: Vec<Statement>,
    erased_until_ms: Millis,
}

impl Default for Customer {
    fn default() -> Self {
        let (known, teams, statements) = (None, Vec::new(), Vec::new());
        Customer { known, teams, statements, erased_until_ms: Millis::MIN }
    }
}

impl Customer {
    fn erase(&mut self, until_ms: Millis, emit: &mut impl FnMut(Counts, isize)) {
        self.erased_until_ms = self.erased_until_ms.max(until_ms);
        if let Some((member, _)) = self.known.take_if(|(_, last)| *last <= until_ms) {
            emit(Counts::Member(member), -1);
        }
        for (team, _) in self.teams.extract_if(.., |(_, last)| *last <= until_ms) {
            emit(Counts::Fact(Fact::Team(team)), -1);
        }
        for statement in self.statements.extract_if(.., |s| s.occurred_at_ms() <= until_ms) {
            statement.counts().into_iter().flatten().for_each(|counts| emit(counts, -1));
        }
    }

    /// An event of its own happened. Nearly everything that is said is this.
    fn know(
        &mut self,
        member: Member,
        team: Option<Arc<str>>,
        at: Millis,
        emit: &mut impl FnMut(Counts, isize),
    ) {
        if at <= self.erased_until_ms {
            return;
        }
        match &mut self.known {
            Some((_, last)) => *last = at.max(*last),
            None => {
                let member = Arc::new(member);
                emit(Counts::Member(member.clone()), 1);
                self.known = Some((member, at));
            }
        }
        let Some(team) = team else { return };
        match self.teams.iter_mut().find(|(held, _)| *held == team) {
            Some((_, last)) => *last = at.max(*last),
            None => {
                emit(Counts::Fact(Fact::Team(team.clone())), 1);
                self.teams.reserve_exact(1);
                self.teams.push((team, at));
            }
        }
    }

    fn take_in(&mut self, statement: Statement, emit: &mut impl FnMut(Counts, isize)) {
        if statement.occurred_at_ms() <= self.erased_until_ms {
            return;
        }
        let mut emit = |statement: &Statement, diff| {
            statement.counts().into_iter().flatten().for_each(|counts| emit(counts, diff));
        };
        match self.statements.binary_search_by(|held| held.cmp_thing(&statement)) {
            Err(at) => {
                emit(&statement, 1);
                self.statements.reserve_exact(1);
                self.statements.insert(at, statement);
            }
            Ok(at) => {
                let held = &mut self.statements[at];
                if !statement.overrules(held) {
                    return;
                }
                if !statement.is_repetition() {
                    emit(&statement, 1);
                    emit(held, -1);
                }
                *held = statement;
            }
        }
    }
}

/// From everything said to what counts, which `customers` holds. Nothing said is ever retracted.
pub fn customers<'s>(
    said: VecCollection<'s, u64, (Subject, Said)>,
    customers: Shared<Sharded<Subject, Customer>>,
) -> VecCollection<'s, u64, (Subject, Counts)> {
    by_time(
        said,
        "Customers",
        |(subject, _)| route(subject),
        move |rows, emit| {
            let mut customers = customers.borrow_mut();
            for ((subject, said), _) in rows {
                let customer = customers.of(&subject).entry(subject).or_default();
                let emit = &mut |counts, diff| emit((subject, counts), diff);
                match said {
                    Said::Known(member, team, at) => customer.know(member, team, at, emit),
                    Said::Erased(until_ms) => customer.erase(until_ms, emit),
                    Said::Statement(statement) => customer.take_in(statement, emit),
                }
            }
        },
    )
}
