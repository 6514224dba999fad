//! Events without a customer id that an erasure takes along (product §9.2): those by then with an
//! identifier that the erased customer had named by then, unless a remaining customer had as well.

use cebe_schemas::id::{Subject, Token};
use cebe_schemas::time::Millis;
use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};

use super::sharded::Sharded;
use super::{by_time, difference, route};
use crate::row::AccountId;

/// Something about one identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum About {
    /// An event of the customer that happened then names it.
    Named(Subject, Millis, AccountId),
    /// The customer, who had named it by then, is erased until then.
    Erased(Subject, Millis),
    /// Events without a customer id name it.
    Sought(Subject),
}

/// What is erased along with customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgotten {
    /// What events that name it and no customer said by then.
    Identifier(AccountId, Token, Millis),
    /// What happened by then to those who name it.
    Seeker(Subject, Millis),
}

/// What is known of one identifier, each once.
#[derive(Default)]
struct Names {
    account: Option<AccountId>,
    named: Vec<(Subject, Millis)>,
    erased: Vec<(Subject, Millis)>,
    seekers: Vec<Subject>,
}

impl Names {
    /// Sorted; nothing while nobody is erased.
    fn forgotten(&self, token: Token) -> Vec<Forgotten> {
        let until = |customer: &Subject| {
            let own = self.erased.iter().filter(|(erased, _)| erased == customer);
            own.map(|(_, until_ms)| *until_ms).max()
        };
        let remains_by = |erased: &Subject, until_ms: &Millis| {
            self.named.iter().any(|(customer, at)| {
                customer != erased && at <= until_ms && Some(*at) > until(customer)
            })
        };
        let alone = self.erased.iter().filter(|(erased, until_ms)| !remains_by(erased, until_ms));
        let Some(until_ms) = alone.map(|(_, until_ms)| *until_ms).max() else { return Vec::new() };
        let seekers = self.seekers.iter().map(|seeker| Forgotten::Seeker(*seeker, until_ms));
        let identifier =
            self.account.map(|account| Forgotten::Identifier(account, token, until_ms));
        identifier.into_iter().chain(seekers).collect()
    }

    fn take_in(&mut self, about: About) {
        match about {
            About::Named(customer, at, account) => {
                self.account = Some(account);
                insert(&mut self.named, (customer, at));
            }
            About::Erased(customer, until_ms) => insert(&mut self.erased, (customer, until_ms)),
            About::Sought(seeker) => insert(&mut self.seekers, seeker),
        }
    }
}

fn insert<T: Ord>(values: &mut Vec<T>, value: T) {
    if let Err(at) = values.binary_search(&value) {
        values.insert(at, value);
    }
}

/// From all that is said of identifiers to what is erased along, for each identifier and each who
/// names it. Nothing said is ever retracted.
pub fn forget<'s>(
    said: VecCollection<'s, u64, (Token, About)>,
) -> VecCollection<'s, u64, Forgotten> {
    let mut tokens: Sharded<Token, Names> = Sharded::default();
    by_time(
        said,
        "Forget",
        |(token, _)| route(token),
        move |mut rows, emit| {
            consolidate(&mut rows);
            for same in rows.chunk_by(|a, b| a.0.0 == b.0.0) {
                let token = same[0].0.0;
                let names = tokens.of(&token).entry(token).or_default();
                let before = names.forgotten(token);
                same.iter().for_each(|((_, about), _)| names.take_in(*about));
                difference(&before, &names.forgotten(token), |row, diff| emit(*row, diff));
            }
        },
    )
}
